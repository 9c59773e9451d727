"""Waiting times that grow."""


def grown_seconds(initial: float, *, multiplier: float, times: int, maximum: float) -> float:
    """Return ``initial`` multiplied ``times`` times, at most ``maximum``.

    Args:
        initial: The first time, in seconds.
        multiplier: By how much it grows each time, at least 1.
        times: How often it has grown, from 0. As large as you like.
        maximum: The cap, in seconds.
    """
    if initial == 0:
        return 0.0
    try:
        return min(maximum, initial * float(multiplier) ** times)
    except OverflowError:
        return maximum
