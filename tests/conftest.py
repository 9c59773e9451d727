"""Clocks that jump, so that hours of queue take milliseconds, on both event loops."""

import os
import signal

import pytest
import structlog
from hypothesis import HealthCheck, settings
from journals import journal_place  # noqa: F401  A fixture.
from postgres import postgres  # noqa: F401  A fixture.
from trio._core import _run as trio_run
from trio.testing import MockClock

from qiskit_gateway.runtime.preview.virtual_clock import JumpingLoop

# A shell starts what runs in the background deaf to Ctrl-C; so would be the programs that tests
# start, and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    group = parser.getgroup("chaos")
    group.addoption(
        "--chaos-seeds",
        default="300",
        metavar="[FIRST:]LAST",
        help="run the chaos suite for the seeds from FIRST (0 by default) to below LAST",
    )
    group.addoption(
        "--kills", type=int, default=8, metavar="TIMES", help="kill so many processes in mid-run"
    )
    group.addoption("--chaos-seed", type=int, metavar="SEED", help="run it for this seed alone")
    group.addoption(
        "--histories",
        type=int,
        default=3,
        metavar="NUMBER",
        help="let so many times several processes use one journal, on each kind of database",
    )
    group.addoption(
        "--histories-seed", default="0", metavar="SEED", help="draw them from this seed"
    )
    group = parser.getgroup("unusual")
    group.addoption(
        "--unusual-circuits",
        type=int,
        default=100,
        metavar="NUMBER",
        help="compare so many random unusual circuits with an exact simulation",
    )
    group.addoption(
        "--unusual-pubs", type=int, default=50, metavar="NUMBER", help="the same of the estimator"
    )
    group.addoption(
        "--unusual-seed", type=int, default=0, metavar="SEED", help="draw them from this seed"
    )


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request):
    """Run async tests on both event loops, on a clock that jumps."""
    if request.param == "trio":
        # Which of several tasks goes first is random in trio; a test is the same each time.
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
        trio_run._r.seed(0)
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": JumpingLoop}


@pytest.fixture(autouse=True)
def _no_log_is_configured():
    """Capturing logs configures structlog for good, and then all that follows is printed."""
    yield
    structlog.reset_defaults()
