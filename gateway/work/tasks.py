"""The work of a run: tasks, the pieces they are cut into, and the shards that jobs carry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A circuit as compiled for one member; for several circuits, their mean.

    Attributes:
        gates_1q: One-qubit gates.
        gates_2q: Two-qubit gates.
        measures: Measurements.
        prepares: Preparations of qubits.
        fidelity: Expected fidelity of a shot in [0, 1], if known.
        shot_seconds: Machine time of a shot, if known.
    """

    gates_1q: float = 0.0
    gates_2q: float = 0.0
    measures: float = 0.0
    prepares: float = 0.0
    fidelity: float | None = None
    shot_seconds: float | None = None


def mean_of(parts: Iterable[tuple[float, Compiled]]) -> Compiled:
    """Return the mean of circuits, each with a weight; what one of them leaves open stays so."""
    weighed = [part for part in parts if part[0]]
    if len(weighed) == 1:
        return weighed[0][1]

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        if len(known) < len(weighed):
            return None
        return sum(w * v for (w, _), v in zip(weighed, known, strict=True)) / total

    total = sum(weight for weight, _ in weighed)
    if not total:
        return Compiled()
    circuits = [circuit for _, circuit in weighed]
    return Compiled(
        gates_1q=mean(one.gates_1q for one in circuits) or 0.0,
        gates_2q=mean(one.gates_2q for one in circuits) or 0.0,
        measures=mean(one.measures for one in circuits) or 0.0,
        prepares=mean(one.prepares for one in circuits) or 0.0,
        fidelity=mean(one.fidelity for one in circuits),
        shot_seconds=mean(one.shot_seconds for one in circuits),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The work of one PUB, or of one measurement basis of one PUB.

    Attributes:
        index: Its place in the run, from 0.
        rows: Parameter rows, each of which becomes one circuit.
        shots: Shots that every row needs.
        group: Tasks of one group stay together under ``spread="pubs"``: the PUB's index.
        payload_bytes: Estimated size of one bound circuit as a provider is sent it.
        refusals: Why the task cannot run on a member, by member name, as known beforehand.
        compiled: What its circuit is on a member, by member name, where somebody asked for it.
        kind: Tasks of one kind are alike to the policy, which looks at circuits as compiled; 0
            where it does not.
    """

    index: int
    rows: int
    shots: int
    group: int = 0
    payload_bytes: int = 0
    refusals: Mapping[str, str] = field(default_factory=dict)
    compiled: Mapping[str, Compiled] = field(default_factory=dict)
    kind: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """A rectangle of a task: rows ``[row_start, row_stop)`` x shots ``[shot_start, shot_stop)``."""

    task: int
    row_start: int
    row_stop: int
    shot_start: int
    shot_stop: int

    @property
    def rows(self) -> int:
        """Number of rows; each is one circuit of a job."""
        return self.row_stop - self.row_start

    @property
    def shots(self) -> int:
        """Number of shots of each row."""
        return self.shot_stop - self.shot_start

    @property
    def circuit_shots(self) -> int:
        """Its area: shots summed over its circuits."""
        return (self.row_stop - self.row_start) * (self.shot_stop - self.shot_start)

    def split_rows(self, rows: int) -> "tuple[Piece, Piece]":
        """Return the first ``rows`` rows, and the rest."""
        at = self.row_start + rows
        return (
            Piece(self.task, self.row_start, at, self.shot_start, self.shot_stop),
            Piece(self.task, at, self.row_stop, self.shot_start, self.shot_stop),
        )

    def split_shots(self, shots: int) -> "tuple[Piece, Piece]":
        """Return the first ``shots`` shots of every row, and the rest."""
        at = self.shot_start + shots
        return (
            Piece(self.task, self.row_start, self.row_stop, self.shot_start, at),
            Piece(self.task, self.row_start, self.row_stop, at, self.shot_stop),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The pieces that one provider job carries; all have the same number of shots.

    Attributes:
        index: Its number in the run, from 0.
        pieces: What it covers.
        shots: What the job asks for: the pieces' shots, or more where a member has a minimum. The
            surplus is not kept.
        circuits: How many circuits the job has.
        circuit_shots: How many shots it contributes to the results, summed over circuits.
    """

    index: int
    pieces: tuple[Piece, ...]
    shots: int
    circuits: int = field(init=False, compare=False)
    circuit_shots: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # Once: a shard of many pieces is asked for them again and again.
        circuits = sum([piece.row_stop - piece.row_start for piece in self.pieces])
        object.__setattr__(self, "circuits", circuits)
        object.__setattr__(self, "circuit_shots", circuits * self.pieces[0].shots)


class Load(NamedTuple):
    """An amount of work: circuits, and shots summed over them."""

    circuits: float
    circuit_shots: float

    def plus(self, other: "Load") -> "Load":
        """Return both together."""
        return Load(self.circuits + other.circuits, self.circuit_shots + other.circuit_shots)

    def minus(self, other: "Load") -> "Load":
        """Subtract another load."""
        return Load(self.circuits - other.circuits, self.circuit_shots - other.circuit_shots)

    def part(self, share: float) -> "Load":
        """Take a share of it."""
        return Load(self.circuits * share, self.circuit_shots * share)


NO_LOAD = Load(0.0, 0.0)
