"""Exponential backoff."""

# Binary exponential backoff, as in Ethernet (IEEE 802.3): retries that find a member overloaded halve
# their rate, and a handful of steps spans seconds to an hour.
DOUBLING = 2.0


def backoff_seconds(initial: float, *, multiplier: float, times: int, maximum: float) -> float:
    """Multiply a waiting time ``times`` times, up to a cap.

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
