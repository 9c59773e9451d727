"""One program made fit for one backend: in plain form, compiled, with its basis measured.

What goes to a provider is the plainest circuit that does what the user's does: laid out and
translated for its target, with classical registers that nobody can mistake. How its bits map to
the user's is the :class:`~qiskit_gateway.backends.readout.bit_mapping.Wiring` that comes with it.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import (
    ClassicalRegister,
    Parameter,
    ParameterExpression,
    QuantumCircuit,
    Qubit,
)
from qiskit.transpiler import PassManager

from qiskit_gateway.backends.circuits.estimates import GateCounts, gate_counts
from qiskit_gateway.backends.circuits.normalize import (
    find_written_bits,
    is_dynamic,
    lengthen_name,
    plain_form,
    register_sizes,
)
from qiskit_gateway.backends.compilation.target import Letter, Site, plain_change
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.backends.readout.bit_mapping import UNREAD, Wiring


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A program as one backend gets it.

    Attributes:
        circuit: What is sent, once its parameters are bound: compiled for the backend, or, with
            ``bind_first``, only in plain form.
        wiring: How the bits that come back map to those that are read.
        bind_first: Whether each row is bound first and compiled afterwards, because the gates
            of the backend cannot be compiled with free parameters.
        binds: Whether the backend binds parameters by itself, and rightly those of this circuit.
        specimen: What is sent, compiled; with ``bind_first``, for one row of values, whatever they
            are.
        gates: How many operations the specimen has.
        columns: For each parameter of the circuit, its column in the rows of the program.
        finish: What makes a bound circuit fit with ``bind_first``; else ``None``.
        as_it_stands: Whether what is sent has the user's qubits, and no layout of ours.
    """

    circuit: QuantumCircuit
    wiring: Wiring
    bind_first: bool
    binds: bool
    specimen: QuantumCircuit
    gates: GateCounts
    columns: tuple[int, ...]
    finish: Callable[[QuantumCircuit], QuantumCircuit] | None = None
    as_it_stands: bool = False

    def places(self, sent: QuantumCircuit) -> Sequence[int]:
        """Find the backend's qubit of each of the user's, in a circuit of this program that is sent."""
        return range(sent.num_qubits) if self.as_it_stands else _locate_qubits(sent)


def prepare(
    program: Program,
    backend: Any,
    pass_manager: PassManager | None = None,
    *,
    flatten: bool = False,
) -> Prepared:
    """Make a program fit for a backend.

    A circuit that fits is sent unchanged. One that was laid out for a target is never laid
    out anew. All others are compiled, with their parameters free where the backend's gates
    allow that.

    Args:
        program: What to run.
        backend: Where.
        pass_manager: What to compile with, in place of Qiskit's preset of level 1.
        flatten: Whether to send a single classical register, for backends that get the order of
            several wrong. A circuit with control flow keeps its registers.

    Raises:
        Refused: If it cannot run there, with the reason under entry 0.
    """
    site = Site(backend, pass_manager)
    return prepare_from(program, base_of(program, site, flatten=flatten), site)


def bind(prepared: Prepared, rows: NDArray[np.float64]) -> list[QuantumCircuit]:
    """Return one circuit to send for each parameter row of the program, none of which is kept.

    Args:
        prepared: The program as the backend gets it.
        rows: Parameter values, columns in the order of the parameters of the user's circuit.

    Raises:
        Refused: If a bound circuit cannot be compiled.
    """
    circuit = prepared.circuit
    if not prepared.columns:
        # Copies, because a provider may add to what it is given, and the next run has it again.
        circuits = [circuit.copy() for _ in rows]
    else:
        # As plain floats, which Qiskit binds in two thirds of the time of numpy's.
        each = enumerate(values_of(prepared, rows).tolist())
        circuits = [_bind(circuit, values, number) for number, values in each]
    return [prepared.finish(bound) for bound in circuits] if prepared.finish else circuits


def _bind(circuit: QuantumCircuit, values: list[float], number: int) -> QuantumCircuit:
    # Bound in place, which spares Qiskit to look for a name that no circuit of the process has.
    bound = circuit.copy(f"{circuit.name}-{number}")
    bound.assign_parameters(values, inplace=True)
    return bound


def parameter_binds(prepared: Prepared, rows: NDArray[np.float64]) -> dict[Parameter, list[float]]:
    """Return the rows as Aer's ``parameter_binds`` wants them, one result following per row.

    Only where :attr:`Prepared.binds` says so.
    """
    columns = values_of(prepared, rows).T.tolist()
    return dict(zip(prepared.circuit.parameters, columns, strict=True))


def values_of(prepared: Prepared, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns of the rows that the circuit has parameters for, in its order.

    Args:
        prepared: The program as the backend gets it.
        rows: Parameter values, columns in the order of the parameters of the user's circuit.
    """
    if prepared.columns == tuple(range(rows.shape[1])):
        return rows
    return rows[:, prepared.columns]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Base:
    """A circuit as one backend gets it, before a basis is measured: shared by its programs.

    Attributes:
        plain: The user's circuit in plain form.
        to_user: The user's classical bit of each bit of the plain form.
        source: What was compiled: the plain form, or one binding of it with ``bind_first``.
        compiled: The source compiled, or itself where it is sent unchanged.
        bind_first: As in :class:`Prepared`.
    """

    plain: QuantumCircuit
    to_user: tuple[int, ...]
    source: QuantumCircuit
    compiled: QuantumCircuit
    bind_first: bool = False


def base_of(program: Program, site: Site, *, flatten: bool) -> Base:
    """Return a program's circuit as a backend gets it, or raise :class:`Refused`.

    It serves all programs over the same circuit that read its own bits, or all that do not.
    """
    circuit, reads = site.expand(program.circuit), program.reads_circuit
    plain, to_user = plain_form(circuit, flatten=flatten, measured_after=not reads)
    if reads and is_dynamic(plain):
        plain, to_user = _close_control_flow(plain, to_user)
    misfits = site.misfit(circuit)
    laid_out = circuit.layout is not None
    if misfits is not None and laid_out and circuit is not program.circuit:
        # The layout pass took the names of its sub-circuits for names of gates.
        plain = site.translate(plain, "run a sub-circuit that is called like a gate")
        misfits = site.misfit(plain)
    if misfits is None and (laid_out or site.target_is_enough):
        return Base(plain=plain, to_user=to_user, source=plain, compiled=plain)
    if misfits is not None and laid_out:
        raise Refused({0: f"laid out for another target: {misfits}"})
    if misfits is not None and site.width is not None and circuit.num_qubits > site.width:
        raise Refused({0: misfits})
    source, compiled = _compile(plain, site)
    return Base(
        plain=plain,
        to_user=to_user,
        source=source,
        compiled=compiled,
        bind_first=source is not plain,
    )


def read_as_it_stands(program: Program, site: Site, *, flatten: bool) -> Prepared:
    """Return a program as if it had been sent unchanged, to read results of it from elsewhere.

    A compiler keeps the classical bits, so those that come back are these.

    Raises:
        Refused: If even that cannot be told.
    """
    circuit, reads = program.circuit, program.reads_circuit
    plain, to_user = plain_form(circuit, flatten=flatten, measured_after=not reads)
    if reads and is_dynamic(plain):
        plain, to_user = _close_control_flow(plain, to_user)
    base = Base(plain=plain, to_user=to_user, source=plain, compiled=plain)
    return prepare_from(program, base, site)


def _close_control_flow(
    circuit: QuantumCircuit, to_user: tuple[int, ...]
) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Measure what only control flow would; return the circuit and its user's bits."""
    closed = circuit.copy()
    _measure_leftovers(closed)
    added = closed.num_clbits - circuit.num_clbits
    return (closed, (*to_user, *[UNREAD] * added)) if added else (circuit, to_user)


def _measure_leftovers(
    circuit: QuantumCircuit, measured_next: frozenset[Qubit] = frozenset()
) -> None:
    """Measure at the end, into bits that nobody reads, what else only control flow would measure.

    Aer keeps what the measurements outside of control flow need. Without them it fails to load a
    circuit, or has no result.
    """
    unmeasured = [qubit for qubit in _find_unmeasured(circuit) if qubit not in measured_next]
    if unmeasured:
        register = ClassicalRegister(len(unmeasured), lengthen_name("unread", circuit.cregs))
        circuit.add_register(register)
        circuit.measure(unmeasured, register)


def _find_unmeasured(circuit: QuantumCircuit) -> list[Qubit]:
    """Find the qubits that control flow acts on, and no measurement outside of it afterwards."""
    found: dict[Qubit, None] = {}
    measured = False
    for instruction in circuit.data:
        if instruction.name == "measure":
            measured = True
            found.pop(instruction.qubits[0], None)
        elif instruction.is_control_flow():
            found |= dict.fromkeys(instruction.qubits)
    return list(found) if found or measured else circuit.qubits[:1]


def _compile(plain: QuantumCircuit, site: Site) -> tuple[QuantumCircuit, QuantumCircuit]:
    """Compile a circuit, or one binding of it if it needs values; return the result and its target."""
    try:
        return plain, site.compile(plain)
    except Refused:
        if not plain.parameters:
            raise
        bound = plain.assign_parameters(0.1 + 0.2 * np.arange(len(plain.parameters)))
        try:
            return bound, site.compile(bound)
        except Refused:
            pass
        raise


def prepare_from(program: Program, base: Base, site: Site) -> Prepared:
    """Return a program over the circuit of a base, or raise :class:`Refused`."""
    as_it_stands = base.compiled is base.source
    if program.basis is None:
        sent = base.compiled
    elif as_it_stands or site.target_is_enough:
        places = range(base.source.num_qubits) if as_it_stands else _locate_qubits(base.compiled)
        sent = _measure(base.compiled, places, program.basis, site.basis_change)
    else:
        sent = _compile_with_basis(base.source, program.basis, site)
    circuit = base.plain if base.bind_first else sent
    column = {p.name: number for number, p in enumerate(program.circuit.parameters)}
    return Prepared(
        circuit=circuit,
        wiring=_make_wiring(program, base, sent),
        bind_first=base.bind_first,
        binds=not base.bind_first and _can_be_bound(sent, site.bound_gates),
        specimen=sent,
        gates=gate_counts(sent),
        columns=tuple(column[parameter.name] for parameter in circuit.parameters),
        finish=partial(_compile_with_basis, basis=program.basis, site=site)
        if base.bind_first
        else None,
        as_it_stands=as_it_stands,
    )


def _compile_with_basis(plain: QuantumCircuit, basis: str | None, site: Site) -> QuantumCircuit:
    """Compile a circuit, and measure a basis at its end if one is given."""
    if basis is None:
        return site.compile(plain)
    if site.target_is_enough:
        compiled = site.compile(plain)
        return _measure(compiled, _locate_qubits(compiled), basis, site.basis_change)
    return site.compile(_measure(plain, range(plain.num_qubits), basis, plain_change))


def _locate_qubits(compiled: QuantumCircuit) -> Sequence[int]:
    """Return the backend's qubit of each qubit of the circuit that was compiled."""
    if compiled.layout is None:
        return range(compiled.num_qubits)
    places: list[int] = compiled.layout.final_index_layout()
    return places


def _measure(
    circuit: QuantumCircuit,
    places: Sequence[int],
    basis: str,
    change: Callable[[Letter, Sequence[int]], list[tuple[Any, int]]],
) -> QuantumCircuit:
    """Return a circuit with the measurement of a basis at its end, in a last register."""
    letters = [
        (letter, places[qubit]) for qubit, letter in enumerate(reversed(basis)) if letter != "I"
    ]
    measured = circuit.copy()
    if is_dynamic(circuit):
        _measure_leftovers(measured, frozenset(circuit.qubits[place] for _, place in letters))
    if not letters:
        return measured
    register = ClassicalRegister(len(letters), lengthen_name("basis", circuit.cregs))
    measured.add_register(register)
    turned: tuple[Letter, ...] = ("X", "Y")
    for wanted in turned:
        for operation, place in change(wanted, [p for letter, p in letters if letter == wanted]):
            measured.append(operation, [place])
    measured.measure([place for _, place in letters], register)
    return measured


def _make_wiring(program: Program, base: Base, sent: QuantumCircuit) -> Wiring:
    to_user = [UNREAD] * sent.num_clbits
    if program.basis is None:
        for bit, user in zip(_locate_bits(base.plain, sent), base.to_user, strict=True):
            to_user[bit] = user
    else:
        first = sent.num_clbits - program.num_bits
        to_user[first:] = range(program.num_bits)
    return Wiring(
        num_sent=sent.num_clbits,
        measured=find_written_bits(sent),
        to_user=tuple(to_user),
        num_user=program.num_bits,
        widths=register_sizes(sent),
    )


def _locate_bits(plain: QuantumCircuit, sent: QuantumCircuit) -> list[int]:
    """Map each classical bit of the plain form to its place in the compiled circuit.

    Raises:
        Refused: If compiling lost a bit that is written; IQM's stage drops unused registers.
    """
    index: dict[Any, int] = {bit: number for number, bit in enumerate(sent.clbits)}
    for register in sent.cregs:
        for place, bit in enumerate(register):
            index[register.name, place] = index[bit]
    found = []
    for bit in plain.clbits:
        names = [(register.name, place) for register, place in plain.find_bit(bit).registers]
        number = next((index[name] for name in (bit, *names) if name in index), None)
        if number is None:
            raise Refused({0: f"compiling lost the classical bit {bit}"})
        found.append(number)
    return found


def _can_be_bound(circuit: QuantumCircuit, gates: Container[str]) -> bool:
    if not circuit.parameters or is_dynamic(circuit):
        return False
    if isinstance(circuit.global_phase, ParameterExpression):
        return False
    return all(
        instruction.name in gates for instruction in circuit.data if instruction.is_parameterized()
    )
