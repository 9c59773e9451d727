"""The expected end of a run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The expected remaining time of a run, in seconds from now.

    It foresees no failure, and no change of queues.

    Attributes:
        seconds: So long, by what is known of the members.
        least_seconds: It may well be as short as this,
        most_seconds: or as long as this: of runs whose jobs keep differing from what was expected
            of them as they have so far, two in three end in between.
    """

    seconds: float
    least_seconds: float
    most_seconds: float
