"""From the entries of a batch to PUBs, and from their results to outcomes.

An entry is one PUB with all its rows in one array, so that one circuit and numbers travel; where a
sampler cannot be trusted to bind its parameters, it is one PUB for each row. Results are arrays of
packed bytes, which are checked and moved as they are. Registers come from our own circuits.
"""

import reprlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit
from qiskit.primitives.containers.bindings_array import BindingsArray

from qiskit_gateway.backends.circuits.normalize import lengthen_name, register_sizes
from qiskit_gateway.backends.compilation.cache import Prepared, bind, values_of
from qiskit_gateway.backends.failures.errors import BackendError, Refused, bad_result, make_each
from qiskit_gateway.backends.failures.translate import text_of
from qiskit_gateway.backends.interface.batch import Entry
from qiskit_gateway.backends.readout.bit_mapping import UNREAD
from qiskit_gateway.backends.readout.outcomes import Outcome, ReadOutcomes, most_shots
from qiskit_gateway.backends.readout.packed_bits import Rows, Selection, num_bytes

Pairs = Sequence[tuple[Entry, Prepared]]
Pub = tuple[QuantumCircuit] | tuple[QuantumCircuit, BindingsArray]


def pubs_of(pairs: Pairs) -> list[Pub]:
    """Return the PUBs to send, in order; shots are said of the whole job.

    Raises:
        Refused: If some entries cannot be sent.
    """
    return list(chain.from_iterable(make_each(pairs, lambda pair: list(_pubs(*pair)))))


def read_pubs(result: Any, pairs: Pairs, shots: int) -> ReadOutcomes:
    """Read a result, circuit by circuit; its content never makes this raise.

    Args:
        result: What ``job.result()`` returned.
        pairs: What was sent.
        shots: Shots of each circuit that are wanted.
    """
    sizes = [size for entry, ready in pairs for size in _sizes(entry, ready)]
    layouts: dict[int, _Layout] = {}
    try:
        found = list_parts(result, len(sizes))
    except Exception as error:  # noqa: BLE001  Looking at a foreign object runs foreign code.
        failed = Outcome(shots=0, error=as_bad(error))
        return ReadOutcomes(failed for size in sizes for _ in range(size or 1))
    outcomes: list[Outcome] = []
    parts = iter(zip(found, sizes, strict=True))
    for entry, ready in pairs:
        layout = layouts.setdefault(id(ready), _Layout(ready))
        for _ in _sizes(entry, ready):
            part, size = next(parts)
            try:
                outcomes += layout.read(part, size, shots)
            except Exception as error:  # noqa: BLE001  As above.
                outcomes += [Outcome(shots=0, error=as_bad(error))] * (size or 1)
    return ReadOutcomes(outcomes)


# -- what is sent ----------------------------------------------------------------------------


def in_one(ready: Prepared) -> bool:
    """Check whether all rows of a program go in one PUB."""
    return bool(ready.columns) and ready.binds


def _sizes(entry: Entry, ready: Prepared) -> list[int | None]:
    """Count the rows of each PUB of an entry; ``None`` for one without an axis of rows."""
    return [entry.circuits] if in_one(ready) else [None] * entry.circuits


def _pubs(entry: Entry, ready: Prepared) -> Iterator[Pub]:
    _require_registers(ready.specimen)
    if in_one(ready):
        circuit, parameters = rename(ready.circuit)
        values = BindingsArray({tuple(parameters): values_of(ready, entry.rows)})
        yield _with_output(_in_order(circuit)), values
        return
    for circuit in bind(ready, entry.rows):
        yield (_with_output(_in_order(circuit)),)


def rename(circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[Parameter]]:
    """Return a copy whose parameters have names that nobody stumbles over, and these, in order.

    Braket keeps "b", "q" and the words of OpenQASM, such as "angle", for itself. A copy in any case:
    a provider may add to what it is given, and the next run has it again.
    """
    made = [Parameter(f"parameter_{number}") for number in range(len(circuit.parameters))]
    return circuit.assign_parameters(dict(zip(circuit.parameters, made, strict=True))), made


def _require_registers(circuit: QuantumCircuit) -> None:
    loose = sum(not circuit.find_bit(bit).registers for bit in circuit.clbits)
    if loose:
        raise Refused({0: f"has {loose} classical bits in no register, which no SamplerV2 returns"})
    if sum(register.size for register in circuit.cregs) + loose > circuit.num_clbits:
        # Aer's reads as many bits as such a register has from its first one on.
        raise Refused({0: "has classical registers that share bits, which samplers read wrongly"})
    if not circuit.num_qubits:
        raise Refused({0: "has no qubits, and so nothing that a SamplerV2 could measure"})


def _in_order(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with its classical bits in the order of its registers.

    Aer's sampler and Braket's read from a register as many bits of the circuit as it has, from its
    first one on. Results go by the names of registers, so that the order of bits shows nowhere else.
    """
    if register_sizes(circuit) or not circuit.clbits:
        return circuit
    bits = [bit for register in circuit.cregs for bit in register]
    ordered = QuantumCircuit(
        circuit.qubits, bits, *circuit.qregs, *circuit.cregs, name=circuit.name
    )
    ordered.metadata = circuit.metadata
    ordered.compose(circuit, circuit.qubits, circuit.clbits, inplace=True, copy=False)
    return ordered


def _with_output(circuit: QuantumCircuit) -> QuantumCircuit:
    """Measure something that nobody reads, where nothing is measured: some take no such circuit."""
    if not any(register.size for register in circuit.cregs):
        register = ClassicalRegister(1, lengthen_name("unread", circuit.cregs))
        circuit.add_register(register)
        circuit.measure(0, register[0])
    return circuit


# -- what comes back -------------------------------------------------------------------------


class _Layout:
    """The places of the user's bits in the registers of a circuit that was sent."""

    def __init__(self, ready: Prepared) -> None:
        wiring, sent = ready.wiring, ready.specimen
        self._registers = [register for register in sent.cregs if register.size]
        # Side by side, the first register at the least significant end, each in whole bytes.
        widths = [num_bytes(register.size) for register in self._registers]
        starts = [8 * start for start in accumulate(widths, initial=0)]
        places = {
            sent.find_bit(bit).index: start + place
            for register, start in zip(self._registers, starts, strict=False)
            for place, bit in enumerate(register)
        }
        source = {user: place for place, user in enumerate(wiring.to_user) if user != UNREAD}
        sources = [
            places[source[user]] if user in source else -1 for user in range(wiring.num_user)
        ]
        self._num_user = wiring.num_user
        self._selection = Selection(sources, starts[-1])
        written = sum(1 << places[bit] for bit in wiring.measured)
        unwritten = (1 << starts[-1]) - 1 - written
        self._unwritten = np.frombuffer(unwritten.to_bytes(starts[-1] // 8, "big"), np.uint8)
        self.reads = any(wiring.to_user[bit] != UNREAD for bit in wiring.measured)

    def read(self, result: Any, size: int | None, shots: int) -> list[Outcome]:
        """Return the outcomes of one PUB.

        Raises:
            BackendError: If it cannot be believed. Whatever foreign objects raise is raised too.
        """
        circuits = size or 1
        if not self.reads:
            # Nothing can have written a bit that is read.
            rows = np.zeros((circuits, shots, num_bytes(self._num_user)), np.uint8)
        else:
            found = self._join(result.data, () if size is None else (size,), most_shots(shots))
            if (found & self._unwritten).any():
                raise bad_result("The result has bits that the circuit never writes.")
            flat = self._selection.of(found.reshape(-1, found.shape[-1]))
            rows = flat.reshape(circuits, found.shape[1], -1)[:, :shots]
        return [
            Outcome(shots=rows.shape[1], num_bits=self._num_user, memory=memory) for memory in rows
        ]

    def _join(self, data: Any, shape: tuple[int, ...], most: int) -> Rows:
        """Join all registers side by side, in shape ``(circuits, shots, bytes)``."""
        parts = [_array_of(data, register, shape, most) for register in self._registers]
        if len({part.shape[1] for part in parts}) > 1:
            raise bad_result("The registers of one result have unlike numbers of shots.")
        return parts[0] if len(parts) == 1 else np.concatenate(parts[::-1], axis=2)


def _array_of(
    data: Any, register: ClassicalRegister, shape: tuple[int, ...], most: int
) -> NDArray[np.uint8]:
    """Return the packed shots of a register, of shape ``(circuits, shots, bytes)``."""
    if register.name not in data:
        raise bad_result(f"The result has no register {register.name!r}, but {reprlib.repr(data)}.")
    bits = data[register.name]
    array = getattr(bits, "array", None)
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise bad_result(
            f"The result holds {reprlib.repr(bits)} for the register {register.name!r}, and no bits;"
            " a sampler that was told to return another kind of data cannot be a member."
        )
    width = num_bytes(register.size)
    if getattr(bits, "num_bits", None) != register.size or array.shape[-1:] != (width,):
        raise bad_result(
            f"The result has {getattr(bits, 'num_bits', None)} bits in {array.shape[-1:]} bytes for "
            f"the register {register.name!r} of {register.size}."
        )
    number = array.shape[-2] if array.ndim > 1 else 0
    if array.shape[:-2] != shape or not 0 < number <= most:
        raise bad_result(
            f"The result has bits of shape {array.shape} for the register {register.name!r} where "
            f"{(*shape, 'shots', width)} was due."
        )
    return array.reshape(-1, number, width)


def list_parts(result: Any, expected: int) -> list[Any]:
    """List the parts of a result, one for each PUB.

    Raises:
        BackendError: If it has fewer. Whatever foreign objects raise is raised too.
    """
    if result is None or isinstance(result, str | bytes):
        raise bad_result(
            f"The provider returned no result but {reprlib.repr(result)}.", unreadable=True
        )
    found = [result[number] for number in range(min(len(result), expected))]
    if len(result) != expected:
        raise bad_result(
            f"The result has {len(result)} parts for {expected} PUBs, so which belongs to which "
            "cannot be known."
        )
    return found


def as_bad(error: Exception) -> BackendError:
    """Make an error about a result of whatever looking at it raised."""
    if isinstance(error, BackendError):
        return error
    return bad_result(f"The result cannot be read: {text_of(error)}")
