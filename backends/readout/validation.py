"""Validate the results of a member's ``collect`` like any other foreign result.

A member may be anybody's class. What it returns is an outcome for each circuit, in order, of the
right width and whole; or it is a bad result of that attempt, and never an error of the run.
"""

import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from qiskit_gateway.backends.failures.errors import BackendError, bad_result
from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.backends.readout.formats import contradict, histogram_of
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes, most_shots
from qiskit_gateway.backends.readout.packed_bits import num_bytes


def require_outcomes(  # noqa: PLR0913  All that is known of what must come.
    given: object,
    widths: Sequence[int],
    shots: int,
    *,
    verb: str,
    meas_level: int = 2,
    observables: Sequence[int] = (),
) -> tuple[Outcome, ...]:
    """Check the outcomes that a member returned; impossible ones become errors.

    Args:
        given: What it returned; anything that can be gone through once.
        widths: Bits of each circuit, in order.
        shots: Shots of each circuit that are wanted.
        verb: The member and what was asked of it, for messages: ``"mine.collect()"``.
        meas_level: 2 for bits, 1 for kerneled data.
        observables: For each circuit the number of expectation values that may come in place of
            bits; by default none may.

    Raises:
        BackendError: If it is not one thing for each circuit.
    """
    found = _list_outcomes(given, len(widths), verb)
    # What was read from a provider's result was checked there, but may be of another job.
    trusted = isinstance(given, ReadOutcomes)
    checked: list[Outcome] = []
    may_be = observables or [0] * len(widths)
    for place, (outcome, width, values) in enumerate(zip(found, widths, may_be, strict=True)):
        try:
            of_data = partial(
                _problems_of_data, meas_level=meas_level, observables=values, trusted=trusted
            )
            problem = next(_problems(outcome, width, shots, of_data), "")
        except Exception as error:  # noqa: BLE001  Looking at a foreign object runs foreign code.
            problem = f"what cannot be read: {text_of(error)}"
        if not problem:
            checked.append(_without_data(outcome) if outcome.error is not None else outcome)
            continue
        message = f"{verb} returned, as outcome {place} of {len(widths)}, {problem}"
        # Other than isinstance, that asks nothing of the object.
        wrong = bad_result(message, unreadable=not issubclass(type(outcome), Outcome))
        checked.append(Outcome(shots=0, error=wrong))
    return tuple(checked)


def _list_outcomes(given: object, number: int, verb: str) -> tuple[Outcome, ...]:
    going_through = _iterator(given)
    if going_through is None:
        raise bad_result(
            f"{verb} returned {_show(given)}, not a sequence of outcomes, one for each circuit",
            unreadable=True,
        )
    try:
        found = tuple(islice(going_through, number + 1))
    except BackendError:
        raise
    except Exception as error:
        raise bad_result(
            f"{verb} returned what cannot be gone through: {text_of(error)}"
        ) from error
    if len(found) != number:
        some = "more" if len(found) > number else len(found)
        raise bad_result(f"{verb} returned {some} outcomes for {number} circuits")
    return found


def _iterator(given: Any) -> Iterator[Outcome] | None:
    try:
        return None if isinstance(given, str | bytes | Mapping) else iter(given)
    except Exception:  # noqa: BLE001  It is nothing to go through, or will not let itself be asked.
        return None


def _problems(
    outcome: object, width: int, shots: int, of_data: Callable[[Outcome], Iterator[str]]
) -> Iterator[str]:
    """Go through what is wrong with an outcome; each is looked at only if those before are right."""
    if not isinstance(outcome, Outcome):
        yield f"{_show(outcome)}, which is no Outcome"
    elif outcome.error is not None:
        if not isinstance(outcome.error, BackendError):
            yield f"an error that is no BackendError: {_show(outcome.error)}"
    else:
        number = outcome.shots
        if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
            yield f"{_show(number)} shots and no error"
        if number > shots:
            yield f"{number} shots where {shots} are wanted"
        if outcome.num_bits != width:
            yield f"{_show(outcome.num_bits)} bits where the circuit has {width}"
        yield from of_data(outcome)


def _problems_of_data(
    outcome: Outcome, *, meas_level: int, observables: int, trusted: bool
) -> Iterator[str]:
    if outcome.evs is not None:
        # Of another job they may be of other observables.
        yield from _problems_of_values(outcome, observables)
    elif not trusted:
        yield from _problems_of_iq(outcome) if meas_level == 1 else _problems_of_bits(outcome)


def _problems_of_values(outcome: Outcome, observables: int) -> Iterator[str]:
    for name, values in (("evs", outcome.evs), ("stds", outcome.stds)):
        if not observables:
            yield "expectation values where bits are wanted"
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            yield f"{name} that are no array of numbers: {_show(values)}"
        elif values.shape != (observables,):
            yield f"{name} of shape {values.shape} for {observables} observables"
        elif not np.isfinite(values).all():
            yield f"{name} that are not finite: {_show(values)}"
    if outcome.stds is not None and (outcome.stds < 0).any():
        yield f"a standard error that cannot be: {_show(outcome.stds)}"


def _problems_of_iq(outcome: Outcome) -> Iterator[str]:
    iq = outcome.iq
    shapes = [(outcome.shots, outcome.num_bits), (outcome.num_bits,)]
    if not isinstance(iq, np.ndarray) or iq.dtype.kind != "c" or iq.shape not in shapes:
        yield f"no kerneled data: iq must be complex, of shape {shapes[0]} or {shapes[1]}"
    elif not np.isfinite(iq).all():
        yield "kerneled data that are not finite"


def _problems_of_bits(outcome: Outcome) -> Iterator[str]:
    memory, patterns, counts = outcome.memory, outcome.patterns, outcome.counts
    if memory is None and (patterns is None or counts is None):
        yield "neither memory nor patterns with their counts"
    for name, rows in (("memory", memory), ("patterns", patterns)):
        if rows is not None:
            yield from _problems_of_rows(name, rows, outcome.num_bits)
    if memory is not None and len(memory) != outcome.shots:
        yield f"memory of {len(memory)} rows, and {outcome.shots} shots"
    if patterns is not None and counts is not None:
        yield from _problems_of_counts(counts, len(patterns), outcome.shots)
        if memory is not None and contradict(histogram_of(memory), histogram_of(patterns, counts)):
            yield "counts and memory that contradict each other"


def _problems_of_rows(name: str, rows: object, num_bits: int) -> Iterator[str]:
    width = num_bytes(num_bits)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2:
        yield f"{name} that is no array of two dimensions of uint8: {_show(rows)}"
    elif rows.shape[1] != width:
        yield f"{name} with {rows.shape[1]} bytes a row, where {num_bits} bits are {width}"
    elif num_bits % 8 and (rows[:, 0] >> num_bits % 8).any():
        yield f"{name} with bits beyond the {num_bits} of the circuit"


def _problems_of_counts(counts: object, patterns: int, shots: int) -> Iterator[str]:
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "iu" or counts.ndim != 1:
        yield f"counts that are no array of integers: {_show(counts)}"
    elif len(counts) != patterns or not patterns:
        yield f"{len(counts)} counts for {patterns} patterns"
    elif counts.min() < 0 or counts.max() > most_shots(shots):
        yield f"a count that cannot be: {_show(counts)}"
    elif not shots <= (total := int(counts.sum())) <= most_shots(shots):
        yield f"counts that add up to {total}, and {shots} shots"


def _without_data(outcome: Outcome) -> Outcome:
    return Outcome(shots=0, error=outcome.error)


def _show(thing: object) -> str:
    try:
        return reprlib.repr(thing)
    except Exception:  # noqa: BLE001
        return f"<{type(thing).__name__}>"
