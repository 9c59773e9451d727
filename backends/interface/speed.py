"""The declared running time of a member's jobs."""

from dataclasses import dataclass, fields
from numbers import Real

from qiskit_gateway.arguments import check_amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The running time of a job on a member, without its queue.

    A job takes ``job_seconds + circuits * circuit_seconds + circuits * shots * shot_seconds``. It need
    not be exact: what is seen of the member's jobs corrects it.

    Attributes:
        job_seconds: The part that does not depend on its size.
        circuit_seconds: For each circuit.
        shot_seconds: For each shot of each circuit.

    Raises:
        TypeError: If a time is no number.
        ValueError: If a time is negative or not finite, or all are zero.
    """

    job_seconds: float = 0.0
    circuit_seconds: float = 0.0
    shot_seconds: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            if isinstance(given, bool) or not isinstance(given, Real):
                raise TypeError(f"{field.name} must be a number of seconds, got {given!r}")
            check_amount(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, float(given))
        if not any(self.terms):
            raise ValueError(
                "a Speed must have a time above zero, such as job_seconds=2.0; leave the speed out "
                "where it is not known"
            )

    @property
    def terms(self) -> tuple[float, float, float]:
        """Seconds of a job, of a circuit, and of a shot of a circuit."""
        return self.job_seconds, self.circuit_seconds, self.shot_seconds
