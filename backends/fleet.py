"""The members that a router may use, and what is remembered about them between runs."""

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any, Protocol, TypeVar, runtime_checkable

from qiskit.primitives import (
    BackendEstimatorV2,
    BackendSamplerV2,
    BaseEstimatorV2,
    BaseSamplerV2,
)
from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.forks import renew_in_children
from qiskit_gateway.backends.interface.member_terms import check_name
from qiskit_gateway.backends.interface.observer import Mailbox, Observer
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.member_facts import members_html
from qiskit_gateway.backends.pricing.allowance import Allowance, allowance_of
from qiskit_gateway.backends.primitive.estimator_member import EstimatorMember
from qiskit_gateway.backends.primitive.primitive_member import PrimitiveMember, sampler_over
from qiskit_gateway.backends.status import FleetStatus, MemberStatus
from qiskit_gateway.display.cards import Fold, render_folds

T = TypeVar("T")


class Fleet:
    """A set of members with unique names.

    Two routers over one fleet share what is known of its members: their slots in flight, health,
    learned speed, and budgets.

    Args:
        members: Members, backends and native primitives (which become members with their defaults),
            or a mix.
        observers: Told of every event of the runs over the fleet, each in a thread of its own.

    Attributes:
        mailboxes: Where the events for the observers are put.

    Raises:
        TypeError: If something is neither, a name is no text, or an observer has no ``on_event``.
        ValueError: If there are none, one object is named twice, or a name is empty or has control
            characters.
    """

    def __init__(
        self,
        members: "Joining | Iterable[Joining]",
        *,
        observers: Iterable[Observer] = (),
    ) -> None:
        if isinstance(members, BackendV2 | BaseSamplerV2 | BaseEstimatorV2 | FleetMember):
            members = [members]
        if not isinstance(members, Iterable) or isinstance(members, type | str):
            raise TypeError(
                "a fleet is made of backends (BackendV2 objects), native primitives (SamplerV2, "
                f"EstimatorV2), members, or an iterable of these; got {members!r}"
            )
        made = [_as_member(member) for member in members]
        if not made:
            raise ValueError("a fleet needs at least one backend, got none")
        self._members = _name_uniquely(made)
        _check_shared(self)
        self._kept: dict[type, object] = {}
        renew_in_children(self)
        self.mailboxes = tuple(Mailbox(_as_observer(one)) for one in observers)

    @classmethod
    def coerce(cls, backends: "Backends") -> "Fleet":
        """Return a fleet of whatever was given; a fleet is returned as it is."""
        return backends if isinstance(backends, Fleet) else cls(backends)

    def part(self, names: Iterable[str]) -> "Fleet":
        """Make a fleet of some of the members, which shares with this one what is known of them.

        Their slots in flight, health, learned speed and budgets are those of this fleet, and its
        observers are told of runs over the part.

        Args:
            names: The names of the members.

        Raises:
            KeyError: If there is no such member.
            ValueError: If there are no names.
        """
        members = {name: self[name] for name in names}
        if not members:
            raise ValueError("a fleet needs at least one member, got no names")
        part = Fleet.__new__(Fleet)
        part.__setstate__({**self.__dict__, "_members": members})
        return part

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have the members and observers, and remember nothing of runs.

        Jobs in flight, health, learned speed and money spent are not theirs.
        """
        return {**self.__dict__, "_kept": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        renew_in_children(self)

    def __iter__(self) -> Iterator[FleetMember]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> FleetMember:
        """Return a member by its name."""
        if name not in self._members:
            raise KeyError(f"no member {name!r}; there are {', '.join(self._members)}")
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __repr__(self) -> str:
        return f"Fleet([{', '.join(self._members)}])"

    def _repr_html_(self) -> str:
        status = Fold("how they stand", self.status()._repr_html_())
        return members_html(self) + render_folds([status])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in order."""
        return tuple(self._members)

    def status(self) -> FleetStatus:
        """Return the status of the members: health, queues, speed, jobs in flight, money spent and left.

        It is what runs over this fleet have learned in this process; no provider is asked. Print
        it, or look at it in a notebook.
        """
        for kept in self._kept.values():
            if isinstance(kept, StatusTeller):
                return kept.fleet_status(self)
        # Nobody has routed over it yet.
        return FleetStatus(members={name: MemberStatus(name=name) for name in self._members})

    def flush_observers(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until observers were told all that has happened so far.

        Returns:
            Whether they were in time.
        """
        late = [one for one in self.mailboxes if not one.flush(timeout_seconds)]
        return not late

    def renew_in_child(self) -> None:
        """Leave the jobs in flight of a forked child's parent to that."""
        for kept in self._kept.values():
            if hasattr(kept, "renew_in_child"):
                kept.renew_in_child()

    def keep(self, kind: type[T]) -> T:
        """Return the fleet's one object of a kind, made at first use.

        For users of the fleet, to keep what must outlive a run. A kept object with a method
        ``renew_in_child()`` has that called in each forked child.
        """
        if (found := self._kept.get(kind)) is None:
            # Of two threads that make one at once, the first one's counts.
            found = self._kept.setdefault(kind, kind())
        assert isinstance(found, kind)  # noqa: S101
        return found


@runtime_checkable
class StatusTeller(Protocol):
    """Knows the status of a fleet's members; a router over the fleet keeps one with it."""

    def fleet_status(self, fleet: Fleet) -> FleetStatus:
        """Return the status of the members."""
        ...


def _check_shared(fleet: Fleet) -> None:
    """Make sure that members which share an allowance agree on it."""
    first: dict[str, tuple[str, Allowance]] = {}
    for member in fleet:
        own = allowance_of(member.pricing)
        if own is None or not own.name:
            continue
        other, said = first.setdefault(own.name, (member.name, own))
        for key in ("amount", "period", "unit", "used"):
            one, two = getattr(said, key), getattr(own, key)
            if one != two:
                raise ValueError(
                    f"{other!r} and {member.name!r} share the allowance {own.name!r}, and do not "
                    f"agree on its {key}: {one!r} and {two!r}"
                )


def _as_member(given: object) -> FleetMember:
    if isinstance(given, BackendV2):
        sampler = sampler_over(given)
        return Member(given) if sampler is None else PrimitiveMember(sampler)
    if isinstance(given, FleetMember):
        return given
    # They add nothing to their backends but a way to read that many a backend gets zeros by.
    if isinstance(given, BackendSamplerV2):
        return Member(given.backend, run_options=given.options.run_options)
    if isinstance(given, BackendEstimatorV2):
        return Member(given.backend)
    if isinstance(getattr(given, "fleet", None), Fleet):
        raise TypeError(
            f"a fleet cannot hold a router: give the members of the router's fleet, got {given!r}"
        )
    if isinstance(given, BaseSamplerV2):
        return PrimitiveMember(given)
    if isinstance(given, BaseEstimatorV2):
        return EstimatorMember(given)
    raise TypeError(f"a fleet holds backends, native primitives and members, got {given!r}")


def _as_observer(given: object) -> Observer:
    if isinstance(given, Observer) and not isinstance(given, type):
        return given
    raise TypeError(f"an observer has a method on_event(event), got {given!r}")


def _name_uniquely(members: list[FleetMember]) -> dict[str, FleetMember]:
    """Return members by unique name: the second of a name gets ``-2``, and so on."""
    named: dict[str, FleetMember] = {}
    for given in members:
        member = given
        if any(member is other for other in named.values()):
            raise ValueError(f"{member!r} is in the fleet twice")
        check_name(member.name)
        name, number = member.name, 1
        while name in named:
            number += 1
            name = f"{member.name}-{number}"
        if name != member.name:
            # A copy, because the caller may use the member elsewhere under its own name.
            member = copy(member)
            member.name = name
        named[name] = member
    return named


Joining = BackendV2 | BaseSamplerV2 | BaseEstimatorV2 | FleetMember
Backends = Fleet | Joining | Iterable[Joining]
