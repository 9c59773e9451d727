"""Whether counts come from a distribution, by a test with a bound on how often it is wrong."""

import math
from collections.abc import Mapping

# That any of a thousand right answers is called wrong has a chance of less than one in a thousand.
ERROR = 1e-6


def is_wrong(counts: Mapping[str, int], exact: Mapping[str, float], error: float = ERROR) -> bool:
    """Tell whether counts do not come from a distribution.

    The total variation distance of N shots from their own distribution has a mean of at most
    sum(sqrt(p (1 - p) / N)) / 2, by Jensen, and one shot changes it by at most 1 / N; so by McDiarmid's
    inequality (1989) it is more than sqrt(ln(1 / error) / 2 N) above that with a chance of at most
    ``error``. An outcome that is not possible is wrong however rare it is.

    Args:
        counts: Shots by outcome.
        exact: Probabilities of all outcomes that are possible.
        error: How likely at most a right answer may be called wrong.
    """
    shots = sum(counts.values())
    if not shots:
        return False
    if counts.keys() - exact.keys():
        return True
    distance = sum(abs(counts.get(key, 0) / shots - p) for key, p in exact.items()) / 2
    mean = sum(math.sqrt(max(0.0, p * (1 - p)) / shots) for p in exact.values()) / 2
    return distance > mean + math.sqrt(math.log(1 / error) / (2 * shots))
