"""What became of the pieces of a shard."""

from dataclasses import dataclass

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.work.tasks import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of the pieces of a shard.

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
