"""Facts about a failed attempt, for the rules of retries and breakers."""

from dataclasses import dataclass
from typing import Literal

Fault = Literal["caller", "backend", "network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt, as facts.

    Attributes:
        transient: Whether trying again on the same member may help; ``None`` if unknown.
        throttled: Whether the member asked for fewer requests.
        retry_after_seconds: How long the member asked to be left alone, in seconds.
        fault: Who has to change something: the caller, the backend, or the network between.
        submitted: Whether the provider took the job; ``None`` if unknown.
        authentication: Whether the provider refused our credentials.
        bad_result: Whether the provider delivered a result that cannot be true.
        alone: Whether the member takes each of the circuits only as the one of a job.
        unreadable: Whether that result is of a kind which nobody can read.
        takes_nothing: Whether the member itself says that it takes no work any more.
        unbilled: Whether nothing is charged for a job although it was taken.
        hung: Whether the member did not answer a submission, or deliver a result, within our own
            deadline.
    """

    transient: bool | None = None
    throttled: bool = False
    retry_after_seconds: float | None = None
    fault: Fault = "backend"
    submitted: bool | None = False
    authentication: bool = False
    bad_result: bool = False
    alone: bool = False
    unreadable: bool = False
    takes_nothing: bool = False
    unbilled: bool = False
    hung: bool = False
