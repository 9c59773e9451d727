"""The errors that users catch, split by what they can still assume."""

from collections.abc import Mapping, Sequence
from typing import Any

from qiskit.exceptions import QiskitError


class GatewayError(QiskitError):
    """Base class of the errors that qiskit-gateway raises by itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        # QiskitError shows the repr of the message, with quotes.
        return str(self.message)


class ConfigError(GatewayError):
    """The configuration cannot be used; nothing was built from it."""


class JournalError(GatewayError):
    """The journal cannot be used, cannot hold a run, or does not have it."""


class PlanError(GatewayError):
    """Nothing was sent, because no member could take some of the work.

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
    """Something was sent, and not everything came back.

    Attributes:
        partial_result: What is complete, as ``job.partial_result()`` gives it.
        failures: The pieces that were given up, each with its causes.
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
