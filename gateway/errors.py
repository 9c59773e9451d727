"""The errors that users catch, split by what they can still assume."""

from collections.abc import Mapping, Sequence
from typing import Any

from qiskit.exceptions import QiskitError


class GatewayError(QiskitError):
    """Be the root of all errors that this package raises on its own account."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        # QiskitError shows the repr of the message, with quotes.
        return str(self.message)


class ConfigError(GatewayError):
    """Report a configuration that cannot be used; nothing was built from it."""


class JournalError(GatewayError):
    """Report a journal that cannot be used, or a run that it cannot hold or does not have."""


class PlanError(GatewayError):
    """Report that nothing was sent, because no member could take some of the work.

    Attributes:
        reasons: Why, by member name.
    """

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        lines = [message, *(f"  {member}: {reason}" for member, reason in reasons.items())]
        super().__init__("\n".join(lines))
        self.reasons = dict(reasons)

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.message, {"reasons": self.reasons})


class RunError(GatewayError):
    """Report that something was sent and not everything came back.

    Attributes:
        partial_result: What is complete, as ``job.partial_result()`` gives it.
        failures: The pieces that failed for good, each with its causes.
        attempts: Every attempt of the run, in order.
    """

    def __init__(
        self,
        message: str,
        *,
        partial_result: Any = None,
        failures: Sequence[Any] = (),
        attempts: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.partial_result = partial_result
        self.failures = tuple(failures)
        self.attempts = tuple(attempts)

    @property
    def spent_usd(self) -> float:
        """The known cost of the run in USD, failed attempts included."""
        return float(sum(attempt.price_usd for attempt in self.attempts))

    def __reduce__(self) -> Any:
        facts = {
            "partial_result": self.partial_result,
            "failures": self.failures,
            "attempts": self.attempts,
        }
        return _rebuild, (type(self), self.message, facts)


def _rebuild(kind: type[GatewayError], message: str, facts: dict[str, Any]) -> GatewayError:
    error = kind.__new__(kind)
    GatewayError.__init__(error, message)
    error.__dict__.update(facts)
    return error
