"""Filters: may this offer be taken?

They combine: ``MinFidelity(0.9) & (Tagged("free") | MaxPrice(5))``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from qiskit_gateway.arguments import check_names, check_number, make_plain
from qiskit_gateway.policies.answers import verdict_of
from qiskit_gateway.policies.offer import OFFER_FIELDS, Offer
from qiskit_gateway.policies.registry import Registry
from qiskit_gateway.policies.verdict import ALLOWED, Verdict, refuse


class Filter(ABC):
    """A question to one offer: allowed, or a reason why not.

    Subclassing:
        Define ``__call__``. It sees one offer and must answer at once and always the same: no
        clock, no random, no I/O. All runs of the process wait meanwhile. Answer ``ALLOWED`` or
        ``refuse(reason, waits=...)``, or a bool. Name the fields of the offer that it reads in
        ``uses``, so that the others need not be computed.
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

    @abstractmethod
    def __call__(self, offer: Offer) -> Verdict:
        """Judge ``offer``: allowed, or refused with a reason."""

    def __and__(self, other: object) -> "Every":
        return Every(self, other) if isinstance(other, Filter) else NotImplemented

    def __or__(self, other: object) -> "Some":
        return Some(self, other) if isinstance(other, Filter) else NotImplemented


FILTERS: Registry[type[Filter]] = Registry("filter")
"""Filters by their names in a configuration file."""


@dataclass(frozen=True, slots=True, init=False)
class _Several(Filter):
    """Several filters in one; those of its own kind among them are taken apart."""

    filters: tuple[Filter, ...]

    def __init__(self, *filters: Filter) -> None:
        kind, flat = type(self), list[Filter]()
        for filter_ in filters:
            if not isinstance(filter_, Filter):
                raise TypeError(
                    f"{kind.__name__} takes filters such as MaxPrice(5), got {filter_!r}."
                )
            flat.extend(filter_.filters if isinstance(filter_, kind) else [filter_])
        if not flat:
            raise ValueError(f"{kind.__name__} needs at least one filter, got none.")
        object.__setattr__(self, "filters", tuple(flat))

    @property
    def uses(self) -> frozenset[str]:
        """The names of the fields that any of the filters reads."""
        return frozenset().union(*(one.uses for one in self.filters))

    @property
    def names(self) -> frozenset[str]:
        """Names of members that any of the filters looks for."""
        return frozenset().union(*(one.names for one in self.filters))


@dataclass(frozen=True, slots=True, init=False)
class Every(_Several):
    """Allow what every one of ``filters`` allows; the same as ``a & b``.

    A refusal carries the reasons of all that refuse, and waits only if waiting may change them all.
    """

    def __call__(self, offer: Offer) -> Verdict:
        refusals = [
            verdict for filter_ in self.filters if not (verdict := verdict_of(filter_, offer))
        ]
        if not refusals:
            return ALLOWED
        return refuse(_reasons(refusals, " and "), waits=all(v.waits for v in refusals))


@dataclass(frozen=True, slots=True, init=False)
class Some(_Several):
    """Allow what at least one of ``filters`` allows; the same as ``a | b``.

    A refusal carries the reasons of all, and waits if waiting may change any.
    """

    def __call__(self, offer: Offer) -> Verdict:
        refusals = []
        for filter_ in self.filters:
            verdict = verdict_of(filter_, offer)
            if verdict:
                return verdict
            refusals.append(verdict)
        return refuse(_reasons(refusals, ", "), waits=any(v.waits for v in refusals))


@dataclass(frozen=True, slots=True)
class Anything(Filter):
    """Allow every offer."""

    uses: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, offer: Offer) -> Verdict:
        return ALLOWED


@FILTERS.register("min_fidelity")
@dataclass(frozen=True, slots=True)
class MinFidelity(Filter):
    """Allow members of at least this expected fidelity; an unknown fidelity is refused.

    Attributes:
        fidelity: The least fidelity allowed, in [0, 1].
    """

    fidelity: float

    uses: ClassVar[frozenset[str]] = frozenset({"fidelity"})

    def __post_init__(self) -> None:
        check_number("MinFidelity's fidelity", self.fidelity, high=1.0)
        make_plain(self)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.fidelity is None:
            return refuse(f"fidelity is unknown, at least {self.fidelity:g} is asked")
        if offer.fidelity >= self.fidelity:
            return ALLOWED
        return refuse(f"fidelity {offer.fidelity:.4g} is below {self.fidelity:g}")


@FILTERS.register("max_price")
@dataclass(frozen=True, slots=True)
class MaxPrice(Filter):
    """Allow pieces up to this price each; the price of a whole run is the budget's to cap.

    Attributes:
        usd: The highest price of one piece, in USD.
    """

    usd: float

    uses: ClassVar[frozenset[str]] = frozenset({"price_usd"})

    def __post_init__(self) -> None:
        check_number("MaxPrice's usd", self.usd)
        make_plain(self)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.price_usd <= self.usd:
            return ALLOWED
        return refuse(f"price {offer.price_usd:.6g} USD is above {self.usd:g} USD")


@FILTERS.register("max_wait")
@dataclass(frozen=True, slots=True)
class MaxWait(Filter):
    """Allow members whose queue takes at most this long; a longer queue is waited out.

    Attributes:
        seconds: The longest wait, in seconds.
    """

    seconds: float

    uses: ClassVar[frozenset[str]] = frozenset({"wait_seconds"})

    def __post_init__(self) -> None:
        check_number("MaxWait's seconds", self.seconds)
        make_plain(self)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.wait_seconds <= self.seconds:
            return ALLOWED
        reason = f"wait of {offer.wait_seconds:.6g} s is above {self.seconds:g} s"
        return refuse(reason, waits=True)


@FILTERS.register("deadline")
@dataclass(frozen=True, slots=True)
class Deadline(Filter):
    """Allow members that would finish the piece within this time from the offer.

    The time starts anew with each offer; a deadline of the whole run is the policy's
    ``deadline_seconds``. A piece that the queue alone makes late waits for a shorter queue.

    Attributes:
        seconds: The latest finish, in seconds from now.
    """

    seconds: float

    uses: ClassVar[frozenset[str]] = frozenset({"wait_seconds", "run_seconds"})

    def __post_init__(self) -> None:
        check_number("Deadline's seconds", self.seconds)
        make_plain(self)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.finish_seconds <= self.seconds:
            return ALLOWED
        reason = f"finish in {offer.finish_seconds:.6g} s is after {self.seconds:g} s"
        return refuse(reason, waits=offer.run_seconds <= self.seconds)


@FILTERS.register("max_failure_rate")
@dataclass(frozen=True, slots=True)
class MaxFailureRate(Filter):
    """Allow members of which at most this share of recent attempts failed.

    It fails what is refused everywhere: a member that gets no work keeps its failure rate.

    Attributes:
        rate: The greatest share, in [0, 1].
    """

    rate: float

    uses: ClassVar[frozenset[str]] = frozenset({"failure_rate"})

    def __post_init__(self) -> None:
        check_number("MaxFailureRate's rate", self.rate, high=1.0)
        make_plain(self)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.failure_rate <= self.rate:
            return ALLOWED
        return refuse(f"failure rate {offer.failure_rate:.4g} is above {self.rate:g}")


@FILTERS.register("max_data_age")
@dataclass(frozen=True, slots=True)
class MaxDataAge(Filter):
    """Allow members whose queue was read at most this long ago; a fresh reading is waited for.

    Attributes:
        seconds: The greatest age, in seconds.
    """

    seconds: float

    uses: ClassVar[frozenset[str]] = frozenset({"data_age_seconds"})

    def __post_init__(self) -> None:
        check_number("MaxDataAge's seconds", self.seconds)
        make_plain(self)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.data_age_seconds <= self.seconds:
            return ALLOWED
        reason = f"queue was read {offer.data_age_seconds:.6g} s ago, above {self.seconds:g} s"
        return refuse(reason, waits=True)


@FILTERS.register("tagged")
@dataclass(frozen=True, slots=True, init=False)
class Tagged(Filter):
    """Allow members that have any of ``tags``."""

    tags: tuple[str, ...]

    uses: ClassVar[frozenset[str]] = frozenset({"tags"})

    def __init__(self, *tags: str) -> None:
        check_names("Tagged", tags)
        object.__setattr__(self, "tags", tags)

    def __call__(self, offer: Offer) -> Verdict:
        if not offer.tags.isdisjoint(self.tags):
            return ALLOWED
        return refuse(f"tags {_list_names(offer.tags)} hold none of {_list_names(self.tags)}")


@FILTERS.register("not_tagged")
@dataclass(frozen=True, slots=True, init=False)
class NotTagged(Filter):
    """Allow members that have none of ``tags``."""

    tags: tuple[str, ...]

    uses: ClassVar[frozenset[str]] = frozenset({"tags"})

    def __init__(self, *tags: str) -> None:
        check_names("NotTagged", tags)
        object.__setattr__(self, "tags", tags)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.tags.isdisjoint(self.tags):
            return ALLOWED
        return refuse(f"tags hold {_list_names(offer.tags.intersection(self.tags))}")


@FILTERS.register("named")
@dataclass(frozen=True, slots=True, init=False)
class Named(Filter):
    """Allow only the members of these names."""

    members: tuple[str, ...]

    uses: ClassVar[frozenset[str]] = frozenset({"member"})

    def __init__(self, *members: str) -> None:
        check_names("Named", members)
        object.__setattr__(self, "members", members)

    @property
    def names(self) -> frozenset[str]:
        """The members that it allows."""
        return frozenset(self.members)

    def __call__(self, offer: Offer) -> Verdict:
        if offer.member in self.members:
            return ALLOWED
        return refuse(f"only {_list_names(self.members)} may be used")


def _reasons(refusals: list[Verdict], separator: str) -> str:
    # Two filters of one kind may say the same.
    return separator.join(dict.fromkeys(verdict.reason for verdict in refusals))


def _list_names(names: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(map(repr, sorted(names))) or "(none)"
