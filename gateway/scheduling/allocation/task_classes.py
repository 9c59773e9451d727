"""Which tasks are alike to a policy, where it looks at their circuits as compiled.

Work is dealt out in classes, by what the circuits of a class are on a member on average. That is
right as long as the policy would decide alike for each of them, so a class has one kind of task.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from qiskit_gateway.policies.answers import PolicyError
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.tasks import Compiled, Load, Task, mean_of

# What an offer says by the circuit as compiled.
_BY_CIRCUIT = frozenset({"fidelity", "price_usd"})


def with_kinds(
    tasks: Sequence[Task], profiles: Sequence[MemberProfile], policy: Policy
) -> tuple[Task, ...]:
    """Return tasks with their kinds: from 1, or 0 if the policy does not look at circuits.

    Tasks of one kind are allowed by the policy on the same members, idle or busy, and rank them in
    the same order.
    """
    whole = Load(sum(task.rows for task in tasks), sum(task.rows * task.shots for task in tasks))
    if policy.uses.isdisjoint(_BY_CIRCUIT) or not whole.circuit_shots:
        return tuple(tasks)
    signatures: dict[int, Hashable] = {}
    kinds: dict[Hashable, int] = {}
    for task in tasks:
        # Tasks over one program share what it was compiled to.
        if id(task.compiled) not in signatures:
            offers = _offers(task, profiles, policy, whole)
            signatures[id(task.compiled)] = tuple(_signature(offers, policy))
    return tuple(
        replace(task, kind=kinds.setdefault(signatures[id(task.compiled)], len(kinds) + 1))
        for task in tasks
    )


def means_of(tasks: Sequence[Task]) -> dict[int | tuple[int, int], dict[str, Compiled]]:
    """Average the circuits of each class on each member.

    By kind, and by kind and shots.
    """
    parts: dict[int | tuple[int, int], dict[str, list[tuple[float, Compiled]]]] = {}
    for task in tasks:
        if not (task.kind and task.rows):
            continue
        for key in (task.kind, (task.kind, task.shots)):
            by_member = parts.setdefault(key, {})
            for member, compiled in task.compiled.items():
                by_member.setdefault(member, []).append((task.rows * task.shots, compiled))
    return {
        kind: {member: mean_of(found) for member, found in by_member.items()}
        for kind, by_member in parts.items()
    }


def _offers(
    task: Task, profiles: Sequence[MemberProfile], policy: Policy, whole: Load
) -> list[Offer]:
    """Return the offers of members for one circuit of a task."""
    offers = Offers(
        # Nothing that depends on time, or the cuts of a run with a seed would.
        estimator=Estimator(
            profiles={profile.name: profile for profile in profiles},
            states={profile.name: MemberState() for profile in profiles},
        ),
        assigned={},
        waiting=whole,
        uses=policy.uses,
        now=0.0,
        mix=task.compiled,
    )
    one = whole.part(1 / whole.circuits)
    return [offers(profile.name, one) for profile in profiles if profile.name not in task.refusals]


def _signature(offers: Sequence[Offer], policy: Policy) -> Iterator[Hashable]:
    """Yield the decisions of a policy on offers: the allowed members, and their order."""
    comparable = [offer for offer in offers if _is_comparable(offer, policy)]
    for offer in offers:
        busy = replace(offer, wait_seconds=math.inf, in_flight=math.inf, pending_jobs=math.inf)
        yield offer.member, bool(policy.judge(offer)), bool(policy.judge(busy))
    yield tuple(o.member for o in sorted(comparable, key=policy.minimize.key))


def _is_comparable(offer: Offer, policy: Policy) -> bool:
    try:
        policy.minimize.key(offer)
    except PolicyError:
        return False
    return True
