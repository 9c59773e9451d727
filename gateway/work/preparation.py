"""Prepare the tasks of a run before anything is sent: copies, refusals of members, sizes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.circuits.circuit_bytes import write_qpy
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.batch import Program
from qiskit_gateway.backends.interface.protocol import TellsOptions, able
from qiskit_gateway.work.expressions import check_values
from qiskit_gateway.work.snapshots import Snapshots
from qiskit_gateway.work.workload import Work


def prepare(work: Work, fleet: Fleet, snapshots: Snapshots) -> Work:
    """Complete work with what is known of each task before anything runs.

    Its circuits are copies from here on.

    Raises:
        ValueError: If an expression of parameters has no value in some row.
    """
    programs = snapshots.of(work.programs)
    _check_expressions(work, snapshots)
    judged = _select_options(work.options, fleet)
    weighs = any(member.limits.max_payload_bytes for member in fleet)
    known: dict[tuple[int, int], tuple[dict[str, str], int]] = {}
    tasks = []
    for task, program in zip(work.tasks, programs, strict=True):
        key = (id(program), task.shots)
        if key not in known:
            payload = _estimate_payload_bytes(program.circuit) if weighs else 0
            known[key] = (_list_refusals(fleet, program, task.shots, judged), payload)
        refusals, payload = known[key]
        found = refusals or payload
        tasks.append(replace(task, refusals=refusals, payload_bytes=payload) if found else task)
    return replace(work, programs=programs, tasks=tuple(tasks))


def _check_expressions(work: Work, snapshots: Snapshots) -> None:
    """Check what each circuit computes of its parameters; the bases of a PUB have its rows in common."""
    seen: set[tuple[int, bytes]] = set()
    for task, program, rows in zip(work.tasks, work.programs, work.rows, strict=True):
        fragile = snapshots.fragile_in(program.circuit)
        if fragile and (key := (id(program.circuit), rows.tobytes())) not in seen:
            seen.add(key)
            check_values(task.group, fragile, program.circuit.parameters, rows)


def _select_options(options: Mapping[str, Any], fleet: Fleet) -> dict[str, Any]:
    """Select the options of a run that choose members: the options that some member knows.

    Of one that nobody lists each backend is the judge itself, as it is where there is no other
    member to go to: many take more than they list.
    """
    if not options or len(fleet) == 1:
        return {}
    known = {name for one in fleet if able(one, TellsOptions) for name in one.known_options}
    return {name: value for name, value in options.items() if name in known}


def _list_refusals(
    fleet: Fleet, program: Program, shots: int, options: Mapping[str, Any]
) -> dict[str, str]:
    return {
        member.name: reason
        for member in fleet
        if (reason := member.refusal(program, shots, options))
    }


def _estimate_payload_bytes(circuit: QuantumCircuit) -> int:
    """Estimate what one circuit weighs as a provider is sent it: its size as QPY, without metadata.

    Of one that QPY cannot hold it is 0: not known, and the provider is the judge.
    """
    try:
        return len(write_qpy(circuit))
    except Exception:  # noqa: BLE001  Raised by whatever the user's gates are made of.
        return 0
