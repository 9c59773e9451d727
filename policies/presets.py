"""Policies by name: compositions of filters and objectives, nothing more.

Each takes what a :class:`~qiskit_gateway.policies.policy.Policy` holds as keywords, except
``minimize``: ``fastest(spread="shots", budget=Budget(usd=20))``.
"""

from collections.abc import Callable, Mapping
from typing import TypedDict, Unpack

from qiskit_gateway.arguments import check_number
from qiskit_gateway.policies.breaker import BreakerPolicy
from qiskit_gateway.policies.budget import Budget
from qiskit_gateway.policies.filters import Anything, Filter, Named
from qiskit_gateway.policies.objectives import (
    Finish,
    Infidelity,
    Order,
    OrderOf,
    Pending,
    Price,
    RunHours,
    Then,
    Work,
    WorkShare,
)
from qiskit_gateway.policies.policy import OnFailure, Policy
from qiskit_gateway.policies.recall import RecallPolicy
from qiskit_gateway.policies.registry import Registry
from qiskit_gateway.policies.retry import RetryPolicy
from qiskit_gateway.policies.share import Share
from qiskit_gateway.policies.spread import Spread

PRESETS: Registry[Callable[..., Policy]] = Registry("preset")
"""Presets by their names in a configuration file."""


class PolicyOptions(TypedDict, total=False):
    """The fields of a policy besides its objective."""

    where: Filter
    spread: Spread
    retry: RetryPolicy
    breaker: BreakerPolicy
    recall: RecallPolicy
    share: Share
    budget: Budget | None
    deadline_seconds: float | None
    submit_seconds: float
    start_seconds: float | None
    run_seconds: float | None
    collect_seconds: float | None
    cancel_seconds: float
    probe_seconds: float
    queue_seconds: float
    patience_seconds: float | None
    on_failure: OnFailure


@PRESETS.register("cheapest")
def cheapest(**policy: Unpack[PolicyOptions]) -> Policy:
    """Spend the least; among equal prices finish first."""
    return Policy(minimize=Then(Price(), Finish(), Order()), **policy)


@PRESETS.register("fastest")
def fastest(**policy: Unpack[PolicyOptions]) -> Policy:
    """Finish first, whatever it costs; among equals share the work by weight."""
    return Policy(minimize=Then(Finish(), WorkShare(), Order()), **policy)


@PRESETS.register("least_busy")
def least_busy(**policy: Unpack[PolicyOptions]) -> Policy:
    """Go where the fewest jobs queue; among equals share the work by weight."""
    return Policy(minimize=Then(Pending(), WorkShare(), Order()), **policy)


@PRESETS.register("most_faithful")
def most_faithful(**policy: Unpack[PolicyOptions]) -> Policy:
    """Go where the expected fidelity is highest; among equals finish first."""
    return Policy(minimize=Then(Infidelity(), Finish(), Order()), **policy)


@PRESETS.register("round_robin")
def round_robin(**policy: Unpack[PolicyOptions]) -> Policy:
    """Give every member the same work, whatever its weight, in the order of the fleet."""
    return Policy(minimize=Then(Work(), Order()), **policy)


@PRESETS.register("weighted")
def weighted(weights: Mapping[str, float] | None = None, **policy: Unpack[PolicyOptions]) -> Policy:
    """Give every member work in proportion to its weight.

    Args:
        weights: Weights by member name; members not named keep their own.
        **policy: What else the policy holds.
    """
    return Policy(minimize=Then(WorkShare(weights or {}), Order()), **policy)


@PRESETS.register("failover")
def failover(*members: str, **policy: Unpack[PolicyOptions]) -> Policy:
    """Use the first member, and each next one only where those before it cannot be used.

    Args:
        *members: Names of the only members to use, in this order. Without names, the whole fleet
            in its own order.
        **policy: What else the policy holds.
    """
    if not members:
        return Policy(minimize=Order(), **policy)
    policy["where"] = Named(*members) & policy.get("where", Anything())
    return Policy(minimize=OrderOf(*members), **policy)


@PRESETS.register("balanced")
def balanced(
    *,
    usd_per_hour: float = 40.0,
    usd_per_infidelity: float = 0.0,
    **policy: Unpack[PolicyOptions],
) -> Policy:
    """Trade price, time and quality in money: the price of a run against how long it takes.

    With 0 USD an hour it is the cheapest, and the more an hour is worth the faster it becomes.

    Args:
        usd_per_hour: What it is worth to be done with the run an hour earlier, in USD.
        usd_per_infidelity: What it is worth to run a piece at fidelity 1 instead of 0, in USD.
        **policy: What else the policy holds.
    """
    check_number("usd_per_hour", usd_per_hour)
    check_number("usd_per_infidelity", usd_per_infidelity)
    cost = Price() + usd_per_hour * RunHours() + usd_per_infidelity * Infidelity()
    return Policy(minimize=Then(cost, WorkShare(), Order()), **policy)
