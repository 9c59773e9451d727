"""Steps of a script that spoil results as providers do; results are not modified but copied."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
from qiskit.result.models import ExperimentResultData

from qiskit_gateway.arguments import check_real, make_plain
from qiskit_gateway.backends.scripted.steps import Call, Step

Malformation = Literal[
    "no_data",
    "zeros_shots",
    "wide_hex",
    "huge_hex",
    "negative",
    "nan",
    "probabilities",
    "bin_memory_lies",
    "none",
    "garbage",
]
"""How a result is malformed.

==================  ================================================================
``no_data``         an experiment without counts and memory that says it is a success
``zeros_shots``     empty counts and memory, and 0 shots
``wide_hex``        an outcome with more bits than the circuit has
``huge_hex``        an outcome of 100 000 digits
``negative``        a count below zero, in a right sum
``nan``             a count that is not a number
``probabilities``   fractions in place of counts
``bin_memory_lies`` right counts, and memory in binary texts that is not theirs
``none``            ``None`` in place of a result
``garbage``         a number in place of a result
==================  ================================================================
"""

# Qiskit's Result and ExperimentResult, or what a provider made in their image.
_Result = Any
_Experiment = Any
_Counts = dict[str, int]


def _read_indices(indices: tuple[int, ...]) -> tuple[int, ...]:
    for one in indices:
        if isinstance(one, bool) or not isinstance(one, Integral):
            raise TypeError(f"indices must be whole numbers, got {one!r}")
    return indices


@dataclass(frozen=True, slots=True)
class Short(Step):
    """Return fewer shots than were asked for, as if that were a success.

    Attributes:
        amount: How many: a fraction as a float, or a number of shots as an integer.
    """

    amount: float

    def __post_init__(self) -> None:
        check_real("amount", self.amount)
        make_plain(self)
        # Asked so that nan is refused, too.
        if not (self.amount >= 0 and (not isinstance(self.amount, float) or self.amount <= 1)):
            raise ValueError(f"a fraction in [0, 1], or a number of shots; got {self.amount!r}")

    def edit(self, result: Any, call: Call) -> Any:
        """Return the first shots of each experiment."""
        return _shorten(result, self.amount, call.rng)


@dataclass(frozen=True, slots=True, init=False)
class Drops(Step):
    """Leave out some experiments of the result; numbers that it does not have are ignored."""

    indices: tuple[int, ...]

    def __init__(self, *indices: int) -> None:
        object.__setattr__(self, "indices", _read_indices(indices))

    def edit(self, result: Any, call: Call) -> Any:
        """Return the others."""
        return _drop(result, self.indices)


@dataclass(frozen=True, slots=True, init=False)
class FailsExperiments(Step):
    """Let some experiments fail, all if none is named, as Aer tells it: PARTIAL COMPLETED."""

    indices: tuple[int, ...]

    def __init__(self, *indices: int) -> None:
        object.__setattr__(self, "indices", _read_indices(indices))

    def edit(self, result: Any, call: Call) -> Any:
        """Return a result of which some failed."""
        return _fail(result, self.indices)


@dataclass(frozen=True, slots=True, init=False)
class Malforms(Step):
    """Return something that cannot be a result, or that contradicts itself.

    Attributes:
        kind: In which way; see :data:`Malformation`.
        indices: Which experiments; all where none is named.
    """

    kind: Malformation
    indices: tuple[int, ...]

    def __init__(self, kind: Malformation = "no_data", *indices: int) -> None:
        if kind not in get_args(Malformation):
            known = ", ".join(get_args(Malformation))
            raise ValueError(f"no malformation {kind!r}; there are {known}")
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "indices", _read_indices(indices))

    def edit(self, result: Any, call: Call) -> Any:
        """Return nonsense."""
        return _malform(result, self.kind, self.indices, call.num_clbits)


@dataclass(frozen=True, slots=True)
class Swaps(Step):
    """Exchange two experiments of the result. Nobody can detect that in general."""

    i: int
    j: int

    def edit(self, result: Any, call: Call) -> Any:
        """Return the result in another order, if it has both."""
        return _swap(result, self.i, self.j)


@dataclass(frozen=True, slots=True)
class CountsOnly(Step):
    """Return counts without memory, as most providers do."""

    def edit(self, result: Any, call: Call) -> Any:
        """Return the result without memory."""
        return _without_memory(result)


def _malform(
    result: _Result, kind: Malformation, indices: Collection[int], num_clbits: int
) -> _Result:
    """Return a result with some experiments, or all if none is named, malformed."""
    if kind == "none":
        return None
    if kind == "garbage":
        return 17
    data_of = _DATA[kind]
    return _edit(
        result,
        lambda experiment: _with_data(
            experiment,
            data_of(_counts(experiment), num_clbits),
            shots=0 if kind == "zeros_shots" else experiment.shots,
        ),
        indices,
    )


def _shorten(result: _Result, amount: float, rng: np.random.Generator) -> _Result:
    """Return a result with a fraction (a float) or a number (an integer) of its shots."""
    return _edit(result, lambda experiment: _first_shots(experiment, amount, rng))


def _fail(result: _Result, indices: Collection[int]) -> _Result:
    """Return a result some experiments of which, or all if none is named, failed."""
    edited = _edit(
        result,
        lambda experiment: _with_data(
            experiment, {}, shots=0, success=False, status="ERROR: circuit execution failed"
        ),
        indices,
    )
    if all(experiment.success for experiment in edited.results):
        return edited
    return _copy(edited, success=False, status="PARTIAL COMPLETED")


def _drop(result: _Result, indices: Collection[int]) -> _Result:
    """Return a result without some experiments."""
    kept = [e for number, e in enumerate(result.results) if number not in indices]
    return _copy(result, results=kept)


def _swap(result: _Result, i: int, j: int) -> _Result:
    """Return a result with two experiments exchanged, if it has both."""
    results = list(result.results)
    if max(i, j) < len(results):
        results[i], results[j] = results[j], results[i]
    return _copy(result, results=results)


def _without_memory(result: _Result) -> _Result:
    """Return a result that has counts alone."""
    return _edit(result, lambda e: _with_data(e, {"counts": _counts(e)}))


def _edit(
    result: _Result, edit: Callable[[_Experiment], _Experiment], indices: Collection[int] = ()
) -> _Result:
    results = [
        edit(experiment) if not indices or number in indices else experiment
        for number, experiment in enumerate(result.results)
    ]
    return _copy(result, results=results)


def _with_data(experiment: _Experiment, data: Mapping[str, Any], **fields: object) -> _Experiment:
    return _copy(experiment, data=ExperimentResultData(**data), **fields)


def _copy(thing: Any, **fields: object) -> Any:
    other = copy(thing)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _first_shots(experiment: _Experiment, amount: float, rng: np.random.Generator) -> _Experiment:
    counts = _counts(experiment)
    memory = getattr(experiment.data, "memory", None)
    taken = sum(counts.values())
    shots = min(taken, int(taken * amount) if isinstance(amount, float) else amount)
    if memory is not None and Counter(memory) == counts:
        memory = memory[:shots]
        data = {"counts": dict(Counter(memory)), "memory": memory}
    else:
        drawn = rng.multivariate_hypergeometric(list(counts.values()), shots, method="marginals")
        data = {"counts": {name: int(count) for name, count in zip(counts, drawn, strict=True)}}
    return _with_data(experiment, data, shots=shots)


def _counts(experiment: _Experiment) -> _Counts:
    return dict(getattr(experiment.data, "counts", None) or {})


def _negative(counts: _Counts, _num_clbits: int) -> dict[str, Any]:
    shots = sum(counts.values())
    return {"counts": {"0x0": shots + 1, "0x1": -1}}


def _probabilities(counts: _Counts, _num_clbits: int) -> dict[str, Any]:
    shots = sum(counts.values())
    return {"counts": {name: count / shots for name, count in counts.items()}}


def _lies(counts: _Counts, num_clbits: int) -> dict[str, Any]:
    # All shots alike, in the way in which the counts are not.
    outcome = int(set(counts) == {"0x0"})
    memory = [f"{outcome:0{num_clbits}b}"] * sum(counts.values())
    return {"counts": counts, "memory": memory}


_DATA: dict[str, Callable[[_Counts, int], dict[str, Any]]] = {
    "no_data": lambda _counts, _bits: {},
    "zeros_shots": lambda _counts, _bits: {"counts": {}, "memory": []},
    "wide_hex": lambda counts, bits: {"counts": {hex(1 << bits): sum(counts.values())}},
    "huge_hex": lambda counts, _bits: {"counts": {"0x" + 100_000 * "f": sum(counts.values())}},
    "negative": _negative,
    "nan": lambda counts, _bits: {"counts": dict.fromkeys(counts, float("nan"))},
    "probabilities": _probabilities,
    "bin_memory_lies": _lies,
}
