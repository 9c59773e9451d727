"""Rates: the price of a job, in USD.

A tariff is any callable from the :class:`Usage` of one job to its price. :class:`Pricing` covers
the price lists of most providers; :class:`Hqc` the credits of Quantinuum. Prices belong to a job,
not to a circuit: fees and floors per job are why cutting a job in two costs money.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import ceil
from typing import Any

from qiskit_gateway.arguments import check_amount, make_plain

_SMALLEST_INCREMENT = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The actual or expected usage of one job.

    Attributes:
        circuits: Circuits of the job.
        shots: Shots of the job, summed over its circuits.
        seconds: Machine time, or ``None`` where it is not known.
        gate_1q_shots: One-qubit gates, each counted once per shot, as compiled for the member.
        gate_2q_shots: Two-qubit gates, counted likewise.
        measure_shots: Measurements, counted likewise.
        prepare_shots: Preparations of qubits, the first and by resets, counted likewise.
    """

    circuits: int
    shots: int
    seconds: float | None = None
    gate_1q_shots: int = 0
    gate_2q_shots: int = 0
    measure_shots: int = 0
    prepare_shots: int = 0

    def __post_init__(self) -> None:
        _check_amounts(self)


Tariff = Callable[[Usage], float]
"""The price in USD of one job."""

_GATES = frozenset({"gate_1q_shots", "gate_2q_shots", "measure_shots", "prepare_shots"})


def needs_gates(tariff: Tariff) -> bool:
    """Find out whether a tariff depends on the gates of the circuits as compiled.

    One that does not say so in an attribute ``needs_gates`` is called, and watched for what it
    reads.
    """
    declared = getattr(tariff, "needs_gates", None)
    return _reads(tariff, _GATES) if declared is None else bool(declared)


def needs_seconds(tariff: Tariff) -> bool:
    """Find out likewise whether a tariff depends on the machine time."""
    declared = getattr(tariff, "needs_seconds", None)
    return _reads(tariff, {"seconds"}) if declared is None else bool(declared)


class _WatchedUsage(Usage):
    """A usage that remembers which of its fields were read."""

    __slots__ = ("read",)
    read: set[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", set())

    def __getattribute__(self, name: str) -> Any:
        if name in Usage.__dataclass_fields__:
            object.__getattribute__(self, "read").add(name)
        return object.__getattribute__(self, name)


def _reads(tariff: Tariff, names: Collection[str]) -> bool:
    # A small job and a large one, since a tariff may look further only at one of them.
    for size in (1, 1_000_000):
        amounts = dict.fromkeys(_GATES, size)
        usage = _WatchedUsage(circuits=size, shots=1000 * size, seconds=float(size), **amounts)
        # One that has no price for such a job, and raises anything, tells by what it has read until then.
        try:
            tariff(usage)
        except KeyboardInterrupt:
            raise  # It may be the user's.
        except BaseException:  # noqa: BLE001, S110  A tariff may be anybody's code.
            pass
        if not usage.read.isdisjoint(names):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """A tariff of fixed rates, in USD.

    Called with the usage of one job it returns what that job costs: the sum of the rates times
    the amounts, and never less than the floor.

    Attributes:
        per_job: Fixed fee of a job.
        per_circuit: Of each circuit.
        per_shot: Of each shot of each circuit.
        per_second: Of each second of machine time. Where the seconds are not known the price is
            a lower bound, so estimate them first if :attr:`needs_seconds`.
        job_overhead_seconds: Machine time of each job besides that of its shots, which is billed too:
            for loading it, say.
        second_increment: Machine time is rounded up to a multiple of this, in seconds; 0 is none,
            and so is less than a nanosecond.
        per_1q_gate_shot: Of each one-qubit gate in each shot, as compiled for the member.
        per_2q_gate_shot: Of each two-qubit gate in each shot.
        minimum_per_job: Floor of a job.

    Raises:
        TypeError: If a rate is not a number.
        ValueError: If a rate is negative or not finite.
    """

    per_job: float = 0.0
    per_circuit: float = 0.0
    per_shot: float = 0.0
    per_second: float = 0.0
    job_overhead_seconds: float = 0.0
    second_increment: float = 0.0
    per_1q_gate_shot: float = 0.0
    per_2q_gate_shot: float = 0.0
    minimum_per_job: float = 0.0

    def __post_init__(self) -> None:
        _check_amounts(self)
        make_plain(self)

    def __call__(self, usage: Usage) -> float:
        """Return the price of the job in USD."""
        price = (
            self.per_job
            + self.per_circuit * usage.circuits
            + self.per_shot * usage.shots
            + self.per_second * self._bill_seconds(usage.seconds or 0.0)
            + self.per_1q_gate_shot * usage.gate_1q_shots
            + self.per_2q_gate_shot * usage.gate_2q_shots
        )
        return float(max(price, self.minimum_per_job))

    @property
    def needs_seconds(self) -> bool:
        """True if the price depends on the machine time."""
        return self.per_second > 0

    @property
    def needs_gates(self) -> bool:
        """True if the price depends on the gates of the circuits."""
        return self.per_1q_gate_shot > 0 or self.per_2q_gate_shot > 0

    def _bill_seconds(self, seconds: float) -> float:
        seconds += self.job_overhead_seconds
        if self.second_increment < _SMALLEST_INCREMENT:
            return seconds
        # Rounded first, because 0.03 / 0.01 is a little more than 3.
        return ceil(round(seconds / self.second_increment, 9)) * self.second_increment


@dataclass(frozen=True, slots=True, kw_only=True)
class Hqc:
    """A tariff in Quantinuum's credits.

    A circuit of ``C`` shots costs ``5 + C (N1q + 10 N2q + 5 Nm) / 5000`` HQC, where ``Nm`` counts
    measurements and preparations, that of each qubit at the beginning and resets.

    Attributes:
        usd_per_hqc: Price of one credit in USD.
        hqc_per_circuit: The fixed part of a circuit, in credits.
    """

    usd_per_hqc: float
    hqc_per_circuit: float = 5.0

    def __post_init__(self) -> None:
        _check_amounts(self)
        make_plain(self)

    @property
    def needs_seconds(self) -> bool:
        """False: the price does not depend on the machine time."""
        return False

    @property
    def needs_gates(self) -> bool:
        """True: the price depends on the gates of the circuits."""
        return True

    def __call__(self, usage: Usage) -> float:
        """Return the price of the job in USD."""
        spam = usage.measure_shots + usage.prepare_shots
        weighted = usage.gate_1q_shots + 10 * usage.gate_2q_shots + 5 * spam
        credits_used = self.hqc_per_circuit * usage.circuits + weighted / 5000
        return float(self.usd_per_hqc * credits_used)


def _check_amounts(owner: Any) -> None:
    for name in owner.__dataclass_fields__:
        value = getattr(owner, name)
        if value is not None or name != "seconds":
            check_amount(name, value)


FREE = Pricing()
"""The tariff of a member that costs nothing."""
