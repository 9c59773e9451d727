"""What a provider keeps: its jobs, and who asked for them."""

from collections import defaultdict
from dataclasses import dataclass, field

import anyio

from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.scripted.steps import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A time at which a provider was asked for a job.

    Attributes:
        at: When.
        name: The provider's id of it, or our own name for it.
        answer: ``"yes"``, ``"no"`` for certain, ``"cannot tell"``, or ``"down"``.
    """

    at: float
    name: str
    answer: str


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A job as its provider knows it.

    Attributes:
        codes: The code of the row of each circuit, in order.
        units: What it is, in units of its provider's allowance, or in USD.
        ready: When it is done; never, where it hangs.
        over: Set when it was cancelled.
        told: Whether its end, good or bad, was told to whoever asked for it.
        shown: By the code of a row, the codes that the results in its place are of: its own, or
            that of another where results were swapped.
        swapped: The codes in whose place another result was shown.
        good: The circuits, by position, of which a result was told that can be believed.
        let_go: When it was to be cancelled.
        usable: By code, how many shots the result that was told has for it, in the order asked.
        ran: How many shots it ran, summed over circuits: those that its provider bills.
    """

    serial: int
    job_id: str
    batch: Batch
    call: Call
    codes: tuple[int, ...]
    taken: float
    ready: float
    units: float
    over: anyio.Event
    cancelled: bool = False
    told: bool = False
    shown: dict = field(default_factory=lambda: defaultdict(set))
    usable: dict = field(default_factory=lambda: defaultdict(list))
    swapped: set = field(default_factory=set)
    good: set = field(default_factory=set)
    let_go: list = field(default_factory=list)
    ran: int | None = None

    @property
    def names(self):
        return {self.job_id, self.batch.key}

    @property
    def shots(self):
        return len(self.codes) * self.batch.shots if self.ran is None else self.ran
