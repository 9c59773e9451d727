"""Clocks that jump, so that hours of queue take milliseconds, on both event loops."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, settings
from trio.testing import MockClock

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer whenever nothing else can run."""

    def __init__(self):
        super().__init__()
        self._jumped = 0.0
        select = self._selector.select

        def jump(timeout=None):
            events = select(0)
            if not events and timeout:
                self._jumped += timeout
            return events

        self._selector.select = jump

    def time(self):
        return self._jumped


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request):
    """Run async tests on both event loops, on a clock that jumps."""
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": JumpingLoop}
