import gc
import weakref

import anyio
import pytest

from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.runtime.retries import repeat

pytestmark = pytest.mark.anyio


class Circuits:
    """What a try holds."""


async def test_it_is_tried_until_it_succeeds_with_the_waits_that_were_decided():
    """Each failure is judged once, with the number of tries so far."""
    judged, times = [], []

    async def do():
        times.append(anyio.current_time())
        if len(times) < 4:
            raise BackendError(f"no {len(times)}")
        return "done"

    def wait_seconds(error, tries):
        judged.append((str(error), tries))
        return 10.0 * tries

    assert await repeat(do, wait_seconds) == "done"
    assert judged == [("no 1", 1), ("no 2", 2), ("no 3", 3)]
    assert [later - times[0] for later in times] == pytest.approx([0, 10, 30, 60])


async def test_the_last_failure_is_the_one_that_is_raised():
    """Whoever gives up learns why."""
    failures = [BackendError("first"), BackendError("second")]

    async def do():
        raise failures[tries.append(1) or len(tries) - 1]

    tries = []
    with pytest.raises(BackendError, match="second") as caught:
        await repeat(do, lambda _, number: None if number == 2 else 0.0)
    assert caught.value is failures[1]


async def test_what_is_no_failure_of_a_backend_is_not_repeated():
    """A fault of our own shows at once."""

    async def do():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await repeat(do, lambda *_: 0.0)


async def test_a_wait_holds_nothing_of_the_try_before():
    """A run with thousands of shards that wait to be tried again must not hold their circuits."""
    held = []

    async def do():
        circuits = Circuits()
        if not held:
            held.append(weakref.ref(circuits))
            raise BackendError("busy")

    async def look():
        await anyio.sleep(1)
        assert held[0]() is None

    gc.disable()  # Nothing may be left to a collection of cycles.
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await repeat(do, lambda *_: 2.0)
    finally:
        gc.enable()
