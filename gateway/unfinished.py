"""What is left to do of a run that an earlier process began."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from qiskit_gateway.workload import Piece, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A piece that has not arrived, and that no provider is known to have.

    Attributes:
        piece: The piece.
        unknown: The members that may have taken it, nobody knows, and why that is not known.
        paid: Those of them that would be paid a second time for it.
        failed: The members that failed at it, and why; they get it when nobody else is left.
    """

    piece: Piece
    unknown: Mapping[str, str] = field(default_factory=dict)
    paid: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flying:
    """A shard that a provider has, or may have.

    Attributes:
        shard: The shard.
        member: Where.
        job_id: The provider's id; ``""`` where it is not known whether the provider took it.
        price_usd: What it costs.
        free_units: What it takes of its member's allotment.
    """

    shard: Shard
    member: str
    job_id: str
    price_usd: float = 0.0
    free_units: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was spent on a member before.

    Attributes:
        member: Its name.
        usd: In USD.
        shots: Shots, summed over circuits.
        attempts: Jobs.
    """

    member: str
    usd: float
    shots: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What is left to do of a run.

    Attributes:
        left: What has not arrived and is not in flight.
        flights: What providers have, or may have.
        spent: What was spent before, by members, flights not counted.
        next_shard: The first number that no shard has had.
    """

    left: tuple[Left, ...] = ()
    flights: tuple[Flying, ...] = ()
    spent: tuple[Spent, ...] = ()
    next_shard: int = 0


def without(piece: Piece, holes: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return what is left of a piece when others are taken out of it, in few rectangles.

    Args:
        piece: A rectangle.
        holes: Rectangles of the same task, which may overlap each other and stick out.
    """
    inside = [hole for hole in (intersection(piece, one) for one in holes) if hole is not None]
    if not inside:
        return (piece,)
    found: list[Piece] = []
    for strip, taken in _strips(piece, inside):
        for start, stop in _gaps(strip.shot_start, strip.shot_stop, taken):
            found.append(Piece(strip.task, strip.row_start, strip.row_stop, start, stop))
    return tuple(_merged(found))


def intersection(one: Piece, other: Piece) -> Piece | None:
    """Return what two rectangles have in common, or ``None``."""
    if one.task != other.task:
        return None
    common = Piece(
        one.task,
        max(one.row_start, other.row_start),
        min(one.row_stop, other.row_stop),
        max(one.shot_start, other.shot_start),
        min(one.shot_stop, other.shot_stop),
    )
    return common if common.rows > 0 and common.shots > 0 else None


def _strips(piece: Piece, inside: list[Piece]) -> Iterator[tuple[Piece, list[tuple[int, int]]]]:
    """Cut a piece into strips of rows, each with the intervals of shots that are taken out."""
    edges = sorted(
        {piece.row_start, piece.row_stop}
        | {hole.row_start for hole in inside}
        | {hole.row_stop for hole in inside}
    )
    waiting = sorted(inside, key=lambda hole: hole.row_start, reverse=True)
    here: list[Piece] = []
    for start, stop in pairwise(edges):
        here = [hole for hole in here if hole.row_stop > start]
        while waiting and waiting[-1].row_start <= start:
            here.append(waiting.pop())
        strip = Piece(piece.task, start, stop, piece.shot_start, piece.shot_stop)
        yield strip, sorted((hole.shot_start, hole.shot_stop) for hole in here)


def _gaps(start: int, stop: int, taken: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for first, last in taken:
        if first > start:
            yield start, first
        start = max(start, last)
    if start < stop:
        yield start, stop


def _merged(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join rectangles of equal shots whose rows follow each other."""
    open_by_shots: dict[tuple[int, int], Piece] = {}
    for piece in pieces:
        shots = (piece.shot_start, piece.shot_stop)
        before = open_by_shots.get(shots)
        if before is not None and before.row_stop == piece.row_start:
            piece = Piece(piece.task, before.row_start, piece.row_stop, *shots)  # noqa: PLW2901
        elif before is not None:
            yield before
        open_by_shots[shots] = piece
    yield from open_by_shots.values()
