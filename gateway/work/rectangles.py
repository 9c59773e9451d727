"""The algebra of rectangles: intersections and differences of pieces."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from qiskit_gateway.work.tasks import Piece


def without(piece: Piece, holes: Iterable[Piece]) -> tuple[Piece, ...]:
    """Subtract rectangles from a piece; the rest comes back in few rectangles.

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
    return tuple(_merge(found))


def intersection(one: Piece, other: Piece) -> Piece | None:
    """Intersect two rectangles; ``None`` where they do not overlap."""
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


def _merge(pieces: Iterable[Piece]) -> Iterator[Piece]:
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
