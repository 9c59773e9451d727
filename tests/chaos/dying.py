"""Processes that die while they write a run down."""

import anyio


class Dying:
    """A run_log whose process dies after so many writes: from then on nothing is written.

    Args:
        run_log: The run_log.
        lives: After how many writes; ``None`` for never.

    Attributes:
        scope: What to run in; it is cancelled when the process dies.
        writes: How many there were.
    """

    # Tidying is done in a thread, for which a clock that jumps does not wait.
    wants_tidying = False

    def __init__(self, run_log, lives):
        self._run_log, self.lives, self.scope = run_log, lives, anyio.CancelScope()
        self.writes = 0

    def __getattr__(self, name):
        told = getattr(self._run_log, name)
        if name not in {"intended", "accepted", "arrived", "ended", "beat", "closed"}:
            return told

        def write(*arguments):
            if self.scope.cancel_called:
                return
            told(*arguments)
            if name not in {"beat", "closed"}:
                self.writes += 1
                if self.writes == self.lives:
                    self.scope.cancel()

        return write
