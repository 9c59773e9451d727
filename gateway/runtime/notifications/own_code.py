"""Code of the user's own that decisions call: tariffs, filters, objectives; and how long it takes.

It is called in the event loop, since the scheduler waits for nothing. Where it takes long, all runs of
the process stop meanwhile, for no visible reason.
"""

import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.pricing.allowance import allowance_of
from qiskit_gateway.policies.filters import Every, Some
from qiskit_gateway.policies.objectives import Scaled, Sum, Then
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.runtime.notifications.notify import Notifier
from qiskit_gateway.work.record import run_events as happened

P = ParamSpec("P")
T = TypeVar("T")

_OURS = "qiskit_gateway."
# Decisions take milliseconds. By this long deadlines, cancellations and results of other runs come late.
_LONG_SECONDS = 1.0


def list_own_code(fleet: Fleet, policy: Policy) -> tuple[str, ...]:
    """Name the tariffs, filters and objectives that are nobody's but the user's."""
    tariffs = (
        f"the tariff {_name(tariff)} of {member.name!r}"
        for member in fleet
        if _is_own(tariff := getattr(allowance_of(member.pricing), "meter", member.pricing))
    )
    rules = (
        f"the {word} {type(part).__name__}"
        for word, rule in (("filter", policy.where), ("objective", policy.minimize))
        for part in _parts(rule)
        if _is_own(part)
    )
    return tuple(dict.fromkeys([*tariffs, *rules]))


class Decisions:
    """Makes the decisions of a run, and tells once where code of the user's own makes them slow.

    Args:
        fleet: The members.
        policy: The rules.
        notifier: The way to the observers.
        stopwatch: Tells the time in seconds, of any clock that does not run backwards.
    """

    def __init__(
        self,
        fleet: Fleet,
        policy: Policy,
        notifier: Notifier,
        *,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._fleet, self._policy = fleet, policy
        self._notifier = notifier
        self._stopwatch = stopwatch
        self._is_told = False

    def make(self, decide: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what decides, and return its answer."""
        began = self._stopwatch()
        answer = decide(*args, **kwargs)
        took = self._stopwatch() - began
        if took >= _LONG_SECONDS and not self._is_told:
            self._tell(took)
        return answer

    def _tell(self, took: float) -> None:
        code = list_own_code(self._fleet, self._policy)
        if code:
            self._is_told = True
            self._notifier.tell(
                happened.RunsDelayed,
                delay_seconds=took,
                reason=f"deciding calls {', '.join(code)}, which must answer at once: no run of this "
                "process continues meanwhile",
            )


def _parts(rule: object) -> Iterator[object]:
    """Go through what a filter or an objective is composed of."""
    match rule:
        case Every() | Some():
            inner: tuple[object, ...] = rule.filters
        case Sum() | Then():
            inner = rule.objectives
        case Scaled():
            inner = (rule.objective,)
        case _:
            yield rule
            return
    for part in inner:
        yield from _parts(part)


def _is_own(thing: object) -> bool:
    """Check that something is not from this package: a function, or an instance of a class."""
    home = getattr(thing, "__module__", None) or ""
    return not str(home).startswith(_OURS)


def _name(thing: object) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
