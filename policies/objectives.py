"""Objectives: which of the allowed offers is best?

Each answers a number in a physical unit, lower is better. Numbers of different units are traded
by prices, ``Price() + 40 * Hours()``, or looked at one after the other, ``Then(Price(), Finish())``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from numbers import Real
from typing import ClassVar

from qiskit_gateway.arguments import check_mapping, check_names, check_number, make_plain
from qiskit_gateway.policies.answers import value_of
from qiskit_gateway.policies.offer import OFFER_FIELDS, Offer
from qiskit_gateway.policies.registry import Registry

_GROWING = frozenset({"wait_seconds", "in_flight", "work_assigned"})


class Objective(ABC):
    """A number for one offer, lower is better.

    Subclassing:
        Define ``__call__``. It sees one offer and must answer at once and always the same: no
        clock, no random, no I/O, and never NaN. All runs of the process wait meanwhile. Name the
        fields of the offer that it reads in ``uses``, so that the others need not be computed.
    """

    __slots__ = ()

    @property
    def uses(self) -> frozenset[str]:
        """The names of the fields of an offer that are read; all, unless overridden."""
        return OFFER_FIELDS

    @property
    def names(self) -> frozenset[str]:
        """Names of members that it looks for; none, unless overridden."""
        return frozenset()

    @property
    def grows(self) -> bool:
        """True if the value may rise as a member is given more work."""
        return not self.uses.isdisjoint(_GROWING)

    @abstractmethod
    def __call__(self, offer: Offer) -> float:
        """Return the value of ``offer``, in the unit of this objective."""

    def key(self, offer: Offer) -> tuple[float, ...]:
        """Key by which offers are compared; the least key is the best offer."""
        return (value_of(self, offer),)

    def __add__(self, other: object) -> "Sum":
        return Sum(self, other) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: object) -> "Scaled":
        return Scaled(float(factor), self) if isinstance(factor, Real) else NotImplemented

    __rmul__ = __mul__


OBJECTIVES: Registry[type[Objective]] = Registry("objective")
"""Objectives by their names in a configuration file."""


@dataclass(frozen=True, slots=True, init=False)
class _Several(Objective):
    """Several objectives in one; those of its own kind among them are taken apart."""

    objectives: tuple[Objective, ...]

    def __init__(self, *objectives: Objective) -> None:
        kind, flat = type(self), list[Objective]()
        for objective in objectives:
            _check_objective(objective)
            flat.extend(objective.objectives if isinstance(objective, kind) else [objective])
        if not flat:
            raise ValueError(f"{kind.__name__} needs at least one objective, got none.")
        object.__setattr__(self, "objectives", tuple(flat))

    @property
    def uses(self) -> frozenset[str]:
        """The names of the fields that any of the objectives reads."""
        return frozenset().union(*(one.uses for one in self.objectives))

    @property
    def names(self) -> frozenset[str]:
        """Names of members that any of the objectives looks for."""
        return frozenset().union(*(one.names for one in self.objectives))


@dataclass(frozen=True, slots=True, init=False)
class Sum(_Several):
    """Add the values of several objectives; the same as ``a + b``. Their units must agree."""

    def __init__(self, *objectives: Objective) -> None:
        for objective in objectives:
            _check_scalar(objective)
        _Several.__init__(self, *objectives)

    def __call__(self, offer: Offer) -> float:
        return sum([value_of(objective, offer) for objective in self.objectives], 0.0)


@dataclass(frozen=True, slots=True)
class Scaled(Objective):
    """Multiply the value of an objective; the same as ``factor * objective``.

    Attributes:
        factor: By how much, at least 0: the price of one unit of the objective.
        objective: What is multiplied.
    """

    factor: float
    objective: Objective

    def __post_init__(self) -> None:
        check_number("The factor of an objective", self.factor)
        _check_scalar(self.objective)
        make_plain(self)

    @property
    def uses(self) -> frozenset[str]:
        """The names of the fields that the objective reads; at a price of 0, none."""
        return self.objective.uses if self.factor else frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Names of members that the objective looks for."""
        return self.objective.names

    def __call__(self, offer: Offer) -> float:
        # An infinite value times a price of 0 is 0, not NaN.
        return self.factor * value_of(self.objective, offer) if self.factor else 0.0


@dataclass(frozen=True, slots=True, init=False)
class Then(_Several):
    """Compare by the first objective, on a tie by the next, and so on.

    It has no single value, so it cannot be added, multiplied or called; compare its :meth:`key`.
    """

    def __call__(self, offer: Offer) -> float:
        """Raise: there is no single value.

        Raises:
            TypeError: Always.
        """
        raise TypeError("Then(...) has several values, not one: compare its key(offer).")

    def key(self, offer: Offer) -> tuple[float, ...]:
        """Return the values of the objectives in their order."""
        return tuple([value_of(objective, offer) for objective in self.objectives])


@OBJECTIVES.register("price")
@dataclass(frozen=True, slots=True)
class Price(Objective):
    """The addition of a piece to the bill, in USD."""

    uses: ClassVar[frozenset[str]] = frozenset({"price_usd"})

    def __call__(self, offer: Offer) -> float:
        return offer.price_usd


@OBJECTIVES.register("wait")
@dataclass(frozen=True, slots=True)
class Wait(Objective):
    """The queueing time of a piece, in seconds."""

    uses: ClassVar[frozenset[str]] = frozenset({"wait_seconds"})

    def __call__(self, offer: Offer) -> float:
        return offer.wait_seconds


@OBJECTIVES.register("run")
@dataclass(frozen=True, slots=True)
class Run(Objective):
    """The running time of a piece without the queue, in seconds."""

    uses: ClassVar[frozenset[str]] = frozenset({"run_seconds"})

    def __call__(self, offer: Offer) -> float:
        return offer.run_seconds


@OBJECTIVES.register("finish")
@dataclass(frozen=True, slots=True)
class Finish(Objective):
    """The time until a piece is done, in seconds from now."""

    uses: ClassVar[frozenset[str]] = frozenset({"wait_seconds", "run_seconds"})

    def __call__(self, offer: Offer) -> float:
        return offer.finish_seconds


@OBJECTIVES.register("hours")
@dataclass(frozen=True, slots=True)
class Hours(Objective):
    """The time until a piece is done, in hours from now."""

    uses: ClassVar[frozenset[str]] = frozenset({"wait_seconds", "run_seconds"})

    def __call__(self, offer: Offer) -> float:
        return offer.finish_seconds / 3600.0


@OBJECTIVES.register("run_hours")
@dataclass(frozen=True, slots=True)
class RunHours(Objective):
    """The time until all waiting work is done, in hours from now.

    The value of one offer is that of :class:`Hours`. The difference is in how work is divided:
    under ``Price() + 40 * Hours()`` every circuit weighs its own price and time, and the last is
    sent where they are best for it alone; under ``Price() + 40 * RunHours()`` what is weighed is
    the price of the whole work against the time until the last of it is done.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"wait_seconds", "run_seconds"})

    def __call__(self, offer: Offer) -> float:
        return offer.finish_seconds / 3600.0


@OBJECTIVES.register("infidelity")
@dataclass(frozen=True, slots=True)
class Infidelity(Objective):
    """One minus the expected fidelity; an unknown fidelity counts as the worst, 1."""

    uses: ClassVar[frozenset[str]] = frozenset({"fidelity"})

    def __call__(self, offer: Offer) -> float:
        return 1.0 if offer.fidelity is None else 1.0 - offer.fidelity


@OBJECTIVES.register("failure_rate")
@dataclass(frozen=True, slots=True)
class FailureRate(Objective):
    """Share of recent attempts on the member that failed, in [0, 1]."""

    uses: ClassVar[frozenset[str]] = frozenset({"failure_rate"})

    def __call__(self, offer: Offer) -> float:
        return offer.failure_rate


@OBJECTIVES.register("work")
@dataclass(frozen=True, slots=True)
class Work(Objective):
    """Work the member would have had in this run with this piece, in circuit-shots."""

    uses: ClassVar[frozenset[str]] = frozenset({"circuits", "shots", "work_assigned"})

    def __call__(self, offer: Offer) -> float:
        return offer.work_assigned + offer.circuits * offer.shots


@OBJECTIVES.register("work_share")
@dataclass(frozen=True, slots=True)
class WorkShare(Objective):
    """Work the member would have had in this run with this piece, in circuit-shots per weight.

    A member of weight 0 is taken only where no other may be.

    Attributes:
        weights: Weights by member name, to use in place of the members' own.
    """

    weights: Mapping[str, float] = field(default_factory=dict, hash=False)

    uses: ClassVar[frozenset[str]] = frozenset(
        {"member", "circuits", "shots", "work_assigned", "weight"}
    )

    def __post_init__(self) -> None:
        check_mapping("weights", self.weights)
        for member, weight in self.weights.items():
            check_number(f"The weight of {member!r}", weight)
        object.__setattr__(self, "weights", dict(self.weights))
        make_plain(self)

    @property
    def names(self) -> frozenset[str]:
        """The members that have a weight here."""
        return frozenset(self.weights)

    def __call__(self, offer: Offer) -> float:
        weight = self.weights.get(offer.member, offer.weight)
        work = offer.work_assigned + offer.circuits * offer.shots
        return work / weight if weight else inf


@OBJECTIVES.register("in_flight")
@dataclass(frozen=True, slots=True)
class InFlight(Objective):
    """Jobs of ours on the member, per weight. A member of weight 0 is taken last."""

    uses: ClassVar[frozenset[str]] = frozenset({"in_flight", "weight"})

    def __call__(self, offer: Offer) -> float:
        return offer.in_flight / offer.weight if offer.weight else inf


@OBJECTIVES.register("pending")
@dataclass(frozen=True, slots=True)
class Pending(Objective):
    """Jobs in the member's queue, those of others and ours."""

    uses: ClassVar[frozenset[str]] = frozenset({"pending_jobs", "in_flight"})

    def __call__(self, offer: Offer) -> float:
        return offer.pending_jobs + offer.in_flight


@OBJECTIVES.register("order")
@dataclass(frozen=True, slots=True)
class Order(Objective):
    """Place of the member in the fleet as the user wrote it, from 0."""

    uses: ClassVar[frozenset[str]] = frozenset({"order"})

    def __call__(self, offer: Offer) -> float:
        return float(offer.order)


@OBJECTIVES.register("order_of")
@dataclass(frozen=True, slots=True, init=False)
class OrderOf(Objective):
    """Place of the member in a list of names, from 0; members not in it share the last place."""

    members: tuple[str, ...]

    uses: ClassVar[frozenset[str]] = frozenset({"member"})

    def __init__(self, *members: str) -> None:
        check_names("OrderOf", members)
        object.__setattr__(self, "members", members)

    @property
    def names(self) -> frozenset[str]:
        """The members that have a place."""
        return frozenset(self.members)

    def __call__(self, offer: Offer) -> float:
        known = offer.member in self.members
        return float(self.members.index(offer.member) if known else len(self.members))


@dataclass(frozen=True, slots=True)
class Trade:
    """A price of work and of the time that the whole of it takes, told apart.

    Attributes:
        price_factor: What a dollar of price counts.
        others: What else counts for every circuit, in USD.
        usd_per_hour: What an hour of the whole work counts.
    """

    price_factor: float
    others: tuple[Objective, ...]
    usd_per_hour: float

    @classmethod
    def of(cls, objective: Objective) -> "Trade | None":
        """Return the trade that an objective makes first of all, or ``None`` if it makes none.

        It makes one if it weighs a price, and nothing that rises with the load but the time of the
        whole work.
        """
        first = objective.objectives[0] if isinstance(objective, Then) else objective
        price, hours, others = 0.0, 0.0, []
        for factor, term in _terms(first):
            if isinstance(term, Price):
                price += factor
            elif isinstance(term, RunHours):
                hours += factor
            elif term.grows:
                return None
            elif factor:
                others.append(factor * term)
        return cls(price, tuple(others), hours) if price else None

    def other_usd(self, offer: Offer) -> float:
        """Cost of a circuit beside its price and time, in USD."""
        return sum([other(offer) for other in self.others], 0.0)


def _terms(objective: Objective, factor: float = 1.0) -> Iterator[tuple[float, Objective]]:
    if isinstance(objective, Sum):
        for part in objective.objectives:
            yield from _terms(part, factor)
    elif isinstance(objective, Scaled):
        yield from _terms(objective.objective, factor * objective.factor)
    else:
        yield factor, objective


def _check_objective(objective: object) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(f"An objective such as Price() is needed here, got {objective!r}.")


def _check_scalar(objective: object) -> None:
    _check_objective(objective)
    if isinstance(objective, Then):
        raise TypeError(
            f"An objective with several values cannot be added or multiplied, got {objective!r}: "
            "combine first, then order, as in Then(Price() + 40 * Hours(), Order())."
        )
