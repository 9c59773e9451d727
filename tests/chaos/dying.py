"""Processes that die while they write a run down."""

import anyio


class Dying:
    """A diary whose process dies after so many writes: from then on nothing is written.

    Args:
        diary: The diary.
        lives: After how many writes; ``None`` for never.

    Attributes:
        scope: What to run in; it is cancelled when the process dies.
        writes: How many there were.
    """

    # Tidying is done in a thread, for which a clock that jumps does not wait.
    wants_tidying = False

    def __init__(self, diary, lives):
        self._diary, self.lives, self.scope = diary, lives, anyio.CancelScope()
        self.writes = 0

    def __getattr__(self, name):
        told = getattr(self._diary, name)
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
