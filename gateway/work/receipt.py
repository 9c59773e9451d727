"""The missing and failed pieces of a shard, after its outcomes were written."""

from collections.abc import Iterable
from dataclasses import dataclass

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.work.tasks import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The missing and failed pieces of a shard, after its outcomes were written.

    Attributes:
        missing: Rectangles that did not come though nothing failed.
        failed: Rectangles that failed, and why.
        top_up_shots: Shots to ask for again so that what is missing comes; 0 where nothing is.
    """

    missing: tuple[Piece, ...] = ()
    failed: tuple[tuple[Piece, BackendError], ...] = ()
    top_up_shots: int = 0

    def __add__(self, other: "Receipt") -> "Receipt":
        """Return both."""
        return Receipt(
            missing=self.missing + other.missing,
            failed=self.failed + other.failed,
            top_up_shots=max(self.top_up_shots, other.top_up_shots),
        )


def count_ran_shots(outcomes: Iterable[Outcome], asked: int, kept: int) -> int:
    """Count the shots that a provider ran, summed over circuits: as many as asked, or fewer.

    A circuit that failed counts in full: providers bill those too, as far as is known.

    Args:
        outcomes: What it brought.
        asked: Shots of each circuit that it was asked for.
        kept: How many of these are kept at most.
    """
    return sum(_ran_shots(outcome, asked, kept) for outcome in outcomes)


def _ran_shots(outcome: Outcome, asked: int, kept: int) -> int:
    if outcome.error is not None:
        return asked
    # Where all that is kept is there, it does not show how many more there were.
    there = outcome.shots if outcome.shots < kept else asked
    ran = there if outcome.counts is None else int(outcome.counts.sum())
    return min(ran, asked) or asked
