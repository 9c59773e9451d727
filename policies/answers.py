"""Check the answers of filters and objectives, the user's own too; name the one that is wrong."""

from collections.abc import Callable
from numbers import Real

from qiskit_gateway.arguments import is_flag
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.policies.verdict import ALLOWED, Verdict, refuse

_LONGEST = 200


class PolicyError(ValueError):
    """An objective raised, or its answer is no number."""


def verdict_of(filter_: Callable[[Offer], object], offer: Offer) -> Verdict:
    """Ask a filter about an offer; a bool is a verdict, and what is neither refuses by name."""
    name = type(filter_).__name__
    try:
        answer = filter_(offer)
    except KeyboardInterrupt:
        raise  # It may be the user's.
    except BaseException as error:  # noqa: BLE001  It refuses, and the run continues.
        return refuse(f"the filter {name} {_describe_error(error)}")
    if isinstance(answer, Verdict):
        return answer
    if is_flag(answer):
        return ALLOWED if answer else refuse(f"the filter {name} refuses it")
    return refuse(f"the filter {name} answered {_show(answer)}; it must be a Verdict or a bool")


def value_of(objective: Callable[[Offer], object], offer: Offer) -> float:
    """Ask an objective for the value of an offer.

    Raises:
        PolicyError: If it raises, or answers anything but a number.
    """
    try:
        answer = objective(offer)
    except (PolicyError, KeyboardInterrupt):
        raise  # An interrupt may be the user's.
    except BaseException as error:
        raise PolicyError(
            f"the objective {type(objective).__name__} {_describe_error(error)}"
        ) from error
    if type(answer) is float and answer == answer:  # noqa: PLR0124  NaN alone is not itself.
        return answer
    if not isinstance(answer, Real) or answer != answer:  # noqa: PLR0124
        name = type(objective).__name__
        raise PolicyError(f"the objective {name} answered {_show(answer)}; it must be a number")
    try:
        return float(answer)
    except OverflowError as error:
        name = type(objective).__name__
        raise PolicyError(f"the objective {name} answered a number too large to compare") from error


def _describe_error(error: BaseException) -> str:
    text = _show(error, str)
    return f"raised {type(error).__name__}" + (f": {text}" if text else "")


def _show(value: object, show: Callable[[object], str] = repr) -> str:
    try:
        return show(value)[:_LONGEST]
    except (Exception, SystemExit):  # noqa: BLE001  A text that cannot be made says nothing.
        return f"a {type(value).__name__}" if show is repr else ""
