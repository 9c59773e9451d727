"""The status of a run."""

from enum import StrEnum


class RunStatus(StrEnum):
    """The status of a run. A member equals its text: ``RunStatus.DONE == "done"``.

    Attributes:
        RUNNING: In progress.
        DONE: All of it is there.
        FAILED: It is over, with gaps.
        CANCELLED: It was stopped.
        INTERRUPTED: Its process died. A journal cannot know that from its records alone.
    """

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
