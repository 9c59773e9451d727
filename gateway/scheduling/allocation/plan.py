"""What the planner keeps of a lot: the plan by which it is dealt out, or the question that is to be answered first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qiskit_gateway.scheduling.allocation.divide import Question, Shares
from qiskit_gateway.scheduling.backlog import Barred
from qiskit_gateway.work.tasks import Load

# What is left of a quota and is no more than this is a rounding error.
ROUNDING = 1e-6


class Lot(NamedTuple):
    """Waiting work that is planned together: a class, or its rows of so many shots."""

    barred: Barred
    height: int | None = None


class Plan:
    """The planned number of circuits of a lot for each member, as of some moment."""

    __slots__ = (
        "circuits",
        "deals",
        "end",
        "ends",
        "is_new",
        "jobs",
        "late",
        "left",
        "lot",
        "quotas",
        "shots",
        "unseen",
        "usable",
    )

    def __init__(
        self,
        lot: Lot,
        shares: Shares,
        load: Load,
        usable: tuple[str, ...],
    ) -> None:
        self.lot = lot
        self.ends: dict[str, float] = {}
        self.end = 0.0
        self.late = 0.0
        self.quotas, self.jobs = shares.circuits, shares.jobs
        self.circuits = self.left = load.circuits
        self.shots = load.circuit_shots / load.circuits if load.circuits else 0.0
        self.usable = usable
        self.unseen: Sequence[str] = ()
        self.deals, self.is_new = 0, True

    def expect(self, ends: dict[str, float]) -> None:
        """Note when members end by the plan, in seconds of the loop's clock."""
        self.ends, self.end = ends, max(ends.values(), default=0.0)

    def take(self, member: str, circuits: float) -> None:
        """Note that a member was given some circuits of its quota, in one job."""
        self.quotas[member] -= circuits
        self.left -= circuits
        if jobs := self.jobs.get(member):
            jobs.pop(0)


@dataclass(slots=True)
class Asked:
    """What was asked as a lot was planned.

    Attributes:
        lot: The lot.
        load: What there was of it.
        eligible: The members that might take it.
        now: When that was, in seconds of the loop's clock.
        question: What was asked.
        settles: Whether the plan looks at nothing that depends on time.
        void: Whether more is known by now, so that the answer is of no use.
        is_told: Whether somebody solves it.
    """

    lot: Lot
    load: Load
    eligible: tuple[str, ...]
    now: float
    question: Question
    settles: bool
    void: bool = False
    is_told: bool = False
