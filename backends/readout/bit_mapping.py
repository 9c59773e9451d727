"""Map the classical bits that a provider reports to the bits that the user reads.

Everything here comes from our own copies of the circuits; a provider's header is never asked.
"""

import re
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Literal

import numpy as np

from qiskit_gateway.backends.readout.packed_bits import Rows, Selection, num_bytes

UNREAD = -1
"""What a wiring says of a bit that is sent and not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """The map from the classical bits of the sent circuit to the bits that the user reads.

    The last three attributes hold what a conformance check has found out about a provider.

    Attributes:
        num_sent: Classical bits of the circuit that was sent.
        measured: Which of those a measurement, a store or a control flow may write, ascending.
        to_user: For each bit that was sent, the user's classical bit, no two the same; or -1 for
            a bit that is not read.
        num_user: Classical bits of the user's circuit. Those that no sent bit maps to are 0.
        widths: Sizes of the sent circuit's registers in circuit order, where they tile its bits in
            order without gaps; else empty, and then spaces in texts tell nothing.
        register_order: Whether texts and numbers begin, at their least significant end, with the
            first register, as Qiskit's do, or with the last one.
        bit_order: Whether the least significant bit of a register is its first, as Qiskit's is,
            or its last.
        numbers: Whether hexadecimal texts and integers have a place for every bit that was
            sent, as Qiskit's do, or only for those that are measured.
    """

    num_sent: int
    measured: tuple[int, ...]
    to_user: tuple[int, ...]
    num_user: int
    widths: tuple[int, ...] = ()
    register_order: Literal["qiskit", "reversed"] = "qiskit"
    bit_order: Literal["qiskit", "reversed"] = "qiskit"
    numbers: Literal["sent", "measured"] = "sent"

    def __post_init__(self) -> None:
        read = [bit for bit in self.to_user if bit != UNREAD]
        if len(self.to_user) != self.num_sent or len(set(read)) != len(read):
            raise ValueError(f"to_user must be {self.num_sent} distinct bits: {self.to_user}")
        if not all(0 <= bit < self.num_user for bit in read):
            raise ValueError(f"to_user must be below num_user={self.num_user}: {self.to_user}")
        if list(self.measured) != sorted(set(self.measured) & set(range(self.num_sent))):
            raise ValueError(f"measured must ascend below {self.num_sent}: {self.measured}")
        if self.widths and sum(self.widths) != self.num_sent:
            raise ValueError(f"widths must add up to num_sent={self.num_sent}: {self.widths}")

    def registers(self) -> list[range]:
        """Return the sent bits of each register, least significant register of a text first."""
        widths = self.widths or (self.num_sent,)
        ends = accumulate(widths)
        registers = [range(end - width, end) for end, width in zip(ends, widths, strict=True)]
        return registers if self.register_order == "qiskit" else registers[::-1]


class Layout:
    """Which bits a text or a number has places for.

    Args:
        wiring: The wiring of the circuit.
        kept: The sent bits that have a place.
    """

    def __init__(self, wiring: Wiring, kept: Iterable[int]) -> None:
        kept = frozenset(kept)
        step = 1 if wiring.bit_order == "qiskit" else -1
        registers = [
            [bit for bit in register[::step] if bit in kept] for register in wiring.registers()
        ]
        places = [bit for register in registers for bit in register]
        measured = set(wiring.measured)
        user = {wiring.to_user[bit]: place for place, bit in enumerate(places)}
        sources = [user.get(bit, -1) for bit in range(wiring.num_user)]
        self.size = len(places)
        self.width = num_bytes(self.size)
        #: Lengths of the parts of a spaced text, or None where spaces tell nothing.
        self.parts = [len(r) for r in reversed(registers) if r] if wiring.widths else None
        #: Whether distinct values are distinct to the user too: no bit is left unread.
        self.faithful = all(wiring.to_user[bit] != UNREAD for bit in places)
        self._selection = Selection(sources, self.size)
        written = sum(1 << place for place, bit in enumerate(places) if bit in measured)
        unwritten = (1 << 8 * self.width) - 1 - written
        self._unwritten = [
            (column, np.uint8(byte))
            for column, byte in enumerate(unwritten.to_bytes(self.width, "big"))
            if byte
        ]

    def allows(self, rows: Rows) -> bool:
        """Check whether only bits are set that have a place and may have been written."""
        return not any((rows[:, column] & byte).any() for column, byte in self._unwritten)

    def for_user(self, rows: Rows) -> Rows:
        """Return rows over this layout as rows over the user's bits."""
        return self._selection.of(rows)


_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_PREFIXED = re.compile(r"0[bB][01]+")
_PLAIN = re.compile(r"[01 ]*[01][01 ]*")
# Neutral atom machines write "-" for a qubit that was lost.
_LOST = re.compile(r"[01 -]*-[01 -]*")


class Codec:
    """Reader of what one circuit's shots are called, in whatever format."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        #: Whether anything that may be written is read.
        self.reads = any(wiring.to_user[bit] != UNREAD for bit in wiring.measured)

    @cached_property
    def numbers(self) -> Layout:
        """The layout of hexadecimal texts and integers."""
        if self.wiring.numbers == "measured":
            return Layout(self.wiring, self.wiring.measured)
        return Layout(self.wiring, range(self.wiring.num_sent))

    @cached_property
    def _texts(self) -> dict[int, Layout]:
        wiring = self.wiring
        measured = set(wiring.measured)
        # Some providers leave out unmeasured bits, some leave out unused registers.
        used = [bit for r in wiring.registers() if measured & set(r) for bit in r]
        layouts = [Layout(wiring, kept) for kept in (measured, used, range(wiring.num_sent))]
        return {layout.size: layout for layout in layouts}

    def read(self, names: Sequence[object], numbers: Layout) -> tuple[Layout, list[int | None]]:
        """Return the layout that all the names share, and the value of each.

        Args:
            names: Distinct texts or integers.
            numbers: The layout of hexadecimal texts and integers.

        Returns:
            The layout, and a value for each name; ``None`` for a shot in which a qubit was lost.

        Raises:
            TypeError: If some name is neither a text nor an integer.
            ValueError: If some name cannot be read, or not in the same way as the others.
        """
        read = [self._read(name, numbers) for name in names]
        layouts = {id(layout): layout for layout, _ in read}
        if len(layouts) != 1:
            raise ValueError("outcomes are written in more than one format")
        (layout,) = layouts.values()
        for name, (_, value) in zip(names, read, strict=True):
            if value is not None and value >> layout.size:
                raise ValueError(f"outcome {reprlib.repr(name)} is not of {layout.size} bits")
        return layout, [value for _, value in read]

    def _read(self, name: object, numbers: Layout) -> tuple[Layout, int | None]:
        if isinstance(name, str):
            if len(name) > 4 * self.wiring.num_sent + 16:
                raise ValueError(f"outcome {reprlib.repr(name)} is too long")
            if _HEX.fullmatch(name):
                return numbers, int(name, 16)
            if _PREFIXED.fullmatch(name):
                return numbers, int(name, 2)
            if _PLAIN.fullmatch(name) or _LOST.fullmatch(name):
                return self._read_text(name)
        elif isinstance(name, int | np.integer) and not isinstance(name, bool):
            return numbers, int(name)
        said = f"outcome {reprlib.repr(name)} is in no known format"
        raise ValueError(said) if isinstance(name, str) else TypeError(said)

    def _read_text(self, name: str) -> tuple[Layout, int | None]:
        parts = name.split()
        digits = "".join(parts)
        layout = self._texts.get(len(digits))
        if layout is None:
            raise ValueError(
                f"outcome {reprlib.repr(name)} has {len(digits)} digits, but the circuit has "
                f"{self.wiring.num_sent} bits and measures {len(self.wiring.measured)}"
            )
        if len(parts) > 1 and layout.parts and [len(part) for part in parts] != layout.parts:
            raise ValueError(
                f"outcome {reprlib.repr(name)} is divided unlike the registers {layout.parts}"
            )
        return layout, None if "-" in digits else int(digits, 2)


# The same circuits are read again and again; this many of them are remembered.
@lru_cache(maxsize=1024)
def codec_of(wiring: Wiring) -> Codec:
    """Return the reader for a wiring."""
    return Codec(wiring)
