"""The one loop in which something is tried again."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import anyio
from tenacity import AsyncRetrying, retry_if_exception

from qiskit_gateway.backends.failures.errors import BackendError

T = TypeVar("T")


async def repeat(
    do: Callable[[], Awaitable[T]], wait_seconds: Callable[[BackendError, int], float | None]
) -> T:
    """Do something until it succeeds, or its failure is one to give up after.

    Args:
        do: What to do.
        wait_seconds: Decides after each failure, given that and the number of tries so far, how
            long to wait before the next; ``None`` gives up.

    Raises:
        BackendError: The last failure.
    """
    tries, seconds = count(1), None
    failures: list[BackendError] = []

    def is_repeated(error: BaseException) -> bool:
        nonlocal seconds
        seconds = wait_seconds(error, next(tries)) if isinstance(error, BackendError) else None
        return seconds is not None

    async def attempt() -> T:
        if failures:
            raise failures.pop()
        return await do()

    # Nearly all succeed at once, and setting up tenacity takes a tenth of a small run.
    try:
        return await do()
    except BackendError as error:
        failures.append(error)
    return await AsyncRetrying(
        retry=retry_if_exception(is_repeated),
        wait=lambda _: seconds or 0.0,
        sleep=anyio.sleep,
        reraise=True,
    )(attempt)
