"""Filters and objectives in words that fit a line."""

from typing import Any

from qiskit_gateway.policies.filters import Anything, Every, Some
from qiskit_gateway.policies.objectives import Scaled, Sum, Then


def write_objective(objective: Any) -> str:
    """Write what is to be least."""
    if isinstance(objective, Then):
        return ", then ".join(map(write_objective, objective.objectives))
    if isinstance(objective, Sum):
        terms = [one for one in objective.objectives if getattr(one, "factor", 1)]
        return " + ".join(map(write_objective, terms))
    if isinstance(objective, Scaled):
        return f"{objective.factor:g} * {write_objective(objective.objective)}"
    return _write_name(objective)


def write_filter(rule: Any) -> str:
    """Write what may be taken."""
    if isinstance(rule, Every):
        rules = [one for one in rule.filters if not isinstance(one, Anything)]
        return " and ".join(map(write_filter, rules or rule.filters[:1]))
    if isinstance(rule, Some):
        return f"({' or '.join(map(write_filter, rule.filters))})"
    return _write_name(rule)


def _write_name(rule: Any) -> str:
    text = repr(rule)
    return text.removesuffix("()").replace("(weights={})", "")
