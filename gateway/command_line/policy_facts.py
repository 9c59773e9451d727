"""A policy in words that fit a line."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from qiskit_gateway.policies.budget import Budget
from qiskit_gateway.policies.filters import Anything, Every, Some
from qiskit_gateway.policies.objectives import Scaled, Sum, Then
from qiskit_gateway.policies.policy import Policy


def policy_of(policy: Policy) -> str:
    """Describe what a policy minimizes, and what it allows."""
    said = f"least {_objective(policy.minimize)}"
    if not isinstance(policy.where, Anything):
        said += f"; only where {_filter(policy.where)}"
    if policy.deadline_seconds is not None:
        said += f"; within {policy.deadline_seconds:g} s"
    return said


def budget_of(budget: Budget | None) -> str:
    """Describe the budget of a policy."""
    if budget is None:
        return "none"
    limits = [
        f"{field.name.replace('_', ' ')} {_amount(getattr(budget, field.name))}"
        for field in fields(budget)
        if field.name != "on_exhausted" and getattr(budget, field.name) is not None
    ]
    return f"{', '.join(limits) or 'no limits'}; then {budget.on_exhausted}"


def _amount(limit: Any) -> str:
    if isinstance(limit, Mapping):
        return ", ".join(f"{name} {_amount(amount)}" for name, amount in limit.items())
    return f"{limit:,.10g}"


def _objective(objective: Any) -> str:
    if isinstance(objective, Then):
        return ", then ".join(map(_objective, objective.objectives))
    if isinstance(objective, Sum):
        terms = [one for one in objective.objectives if getattr(one, "factor", 1)]
        return " + ".join(map(_objective, terms))
    if isinstance(objective, Scaled):
        return f"{objective.factor:g} * {_objective(objective.objective)}"
    return _named(objective)


def _filter(rule: Any) -> str:
    if isinstance(rule, Every):
        return " and ".join(map(_filter, rule.filters))
    if isinstance(rule, Some):
        return f"({' or '.join(map(_filter, rule.filters))})"
    return _named(rule)


def _named(rule: Any) -> str:
    """Write a filter or an objective as its name, without what it says of nothing."""
    text = repr(rule)
    return text.removesuffix("()").replace("(weights={})", "")
