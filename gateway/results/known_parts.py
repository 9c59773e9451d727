"""A cache of measurement plans, because callers ask for the same observables again and again.

Observables are known by what they are, not by which object says so: changed ones are others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_gateway.results.observables import Observables, Part, RowGroup, group_rows, parts_of
from qiskit_gateway.results.pauli_sums import Quantities

# How many of each are kept at most, and how large they may be: what is asked for again and again
# is small, and large ones take more time to sum than to sort.
_SIZE = 256
_MOST_ENTRIES = 1 << 14


@dataclass(frozen=True, slots=True)
class _Asked:
    """Observables whose parts are asked for; equal to any that have the same content."""

    content: tuple[bytes, ...]
    abelian: bool
    observables: Observables = field(compare=False)
    wanted: NDArray[np.intp] = field(compare=False)

    @classmethod
    def of(cls, observables: Observables, wanted: NDArray[np.intp], *, abelian: bool) -> "_Asked":
        arrays: list[NDArray[Any]] = [observables.factors, wanted]
        arrays += [*observables.terms, *observables.coefficients]
        width = observables.factors.shape[1].to_bytes(8)
        content = (width, *(array.tobytes() for array in arrays))
        return cls(content, abelian, observables, wanted)

    def answer(self) -> tuple[Part, ...]:
        return parts_of(self.observables, self.wanted, abelian=self.abelian)


class KnownParts:
    """Parts of observables and what is computed of them, each found once.

    Safe for threads. Nobody changes what it returns.
    """

    def __init__(self) -> None:
        self._parts = lru_cache(_SIZE)(_Asked.answer)
        self._groups = lru_cache(_SIZE)(group_rows)
        # A part equals only itself, and is kept alive by being a key.
        self._quantities: Callable[[Part, int, bool], Quantities] = lru_cache(_SIZE)(Quantities)

    def __reduce__(self) -> tuple[type["KnownParts"], tuple[()]]:
        """Copies and pickles are empty: what they are asked they find again."""
        return KnownParts, ()

    def groups(
        self, observables: tuple[int, ...], parameters: tuple[int, ...]
    ) -> tuple[RowGroup, ...]:
        """Group rows as :func:`group_rows` does, remembered."""
        if prod(observables) * prod(parameters) > _MOST_ENTRIES:
            return group_rows(observables, parameters)
        return self._groups(observables, parameters)

    def parts(
        self, observables: Observables, wanted: NDArray[np.intp], *, abelian: bool
    ) -> tuple[Part, ...]:
        """Make parts as :func:`parts_of` does, remembered."""
        asked = _Asked.of(observables, wanted, abelian=abelian)
        if sum(map(len, asked.content)) > _MOST_ENTRIES * 8:
            return asked.answer()
        return self._parts(asked)

    def quantities(self, part: Part, shots: int, *, covariances: bool) -> Quantities:
        """Prepare the sums of a part over a number of shots."""
        return self._quantities(part, shots, covariances)
