"""A check that any author of an adapter, or user of a backend, can run: does it tell the truth?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from qiskit.circuit import QuantumCircuit
from qiskit.providers import BackendV2

from qiskit_gateway.backends.adapter.backend_member import Member
from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.examination.examiner import (
    SHOTS,
    Conformance,
    Finding,
    examine,
    shots_within,
)
from qiskit_gateway.backends.examination.verbs import examine_attributes, examine_verbs
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.batch import Batch, Entry, Program
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.backends.readout.outcomes import Outcome, read

__all__ = ["Conformance", "Finding", "check_backend", "check_member"]

_SEED = 7


def check_backend(backend: BackendV2 | Member, *, shots: int = SHOTS) -> Conformance:
    """Find out whether a backend tells the truth about its bits, and how to read it if not.

    Runs a handful of circuits with known outcomes through the adapter: the order of bits and of
    registers, bits and registers that are not measured, loose bits, parameters, several circuits
    in a job and a single one, measurements in the middle, bits that are measured twice. Blocks
    until they are done, and costs about five jobs of up to eleven circuits. Noise does not disturb
    it as long as the right outcome of a circuit is seen most often, and in at least half of its
    shots.

    Args:
        backend: The backend, or a member with options or a pass manager of its own. Not changed:
            ``Member(backend, adaptation=check_backend(backend).adaptation)`` uses what was found.
        shots: Shots of each circuit, as far as the limits of the member allow.

    Returns:
        What was found; ``print`` it, and hand its ``adaptation`` to a member.

    Raises:
        BackendError: If the backend could not be asked, for an outage say.
    """
    member = backend if isinstance(backend, Member) else Member(backend)
    found = examine(member.answer, member.adaptation, member.limits, shots=shots)
    # The member has learned by now whether circuits must be sent bare.
    adaptation = replace(found.adaptation, bare=member.adaptation.bare)
    findings = [
        *found.findings,
        *(() if found.refusal else _examine_habits(member, adaptation, shots)),
    ]
    return Conformance(adaptation=adaptation, findings=tuple(findings), name=member.name)


async def check_member(member: FleetMember, *, shots: int = SHOTS) -> Conformance:
    """Find out whether a member does what the router expects of it.

    For authors of members. A member of a class of one's own is asked for its attributes, and by its
    verbs for circuits with known outcomes: alone and several in a job, with parameters, with fewer
    shots kept than asked for; then to find a job again and to cancel one. It is sent about five
    small jobs. A ``Member`` is checked by its backend, as :func:`check_backend` does, and goes by
    what was found from then on; one of a subclass by its verbs too.

    Args:
        member: The member.
        shots: Shots of each circuit, as far as the limits of the member allow.

    Returns:
        What was found; ``print`` it. ``ok`` says whether all is right, and ``refusal`` what is not.

    Raises:
        BackendError: If the member could not be asked, for an outage say; it stays as it was.
    """
    if not isinstance(member, Member):
        return await _check_own(member, shots)
    found = await call_in_thread(lambda: check_backend(member, shots=shots))
    member.adaptation = found.adaptation
    if found.refusal or type(member) is Member:
        return found
    more = await _check_own(member, shots)
    adaptation = replace(found.adaptation, refusal=more.refusal)
    return replace(found, adaptation=adaptation, findings=found.findings + more.findings)


async def _check_own(member: FleetMember, shots: int) -> Conformance:
    findings = list(examine_attributes(member))
    if not findings:
        findings.append(Finding(name="attributes", ok=True, seen="all there"))
        findings += await examine_verbs(member, shots_within(member.limits, shots))
    wrong = next((f"{one.name}: {one.seen}" for one in findings if one.ok is False), "")
    name = str(getattr(member, "name", type(member).__name__))
    adaptation = Adaptation(refusal=wrong)
    return Conformance(adaptation=adaptation, findings=tuple(findings), name=name)


def _examine_habits(member: Member, adaptation: Adaptation, shots: int) -> list[Finding]:
    """Examine what only varying outcomes show; none of it is needed to be right."""
    circuit = QuantumCircuit(2, 2)
    circuit.h([0, 1])
    circuit.measure([0, 1], [0, 1])
    shots = shots_within(member.limits, shots)
    entry = Entry(program=Program(circuit=circuit), rows=np.empty((1, 0)))
    batch = Batch(entries=(entry,), shots=shots, kept_shots=shots, seed=_SEED)
    try:
        results = [member.answer(batch, flatten=adaptation.flatten) for _ in range(2)]
    except BackendError as error:
        return [Finding(name="superposition", ok=None, seen=f"not answered: {error}")]
    outcomes = [
        read(result, list(map(adaptation.adapt_wiring, wirings)), shots)[0]
        for result, wirings in results
    ]
    data = _field(_field(results[0][0], "results")[0], "data")
    return [
        Finding(
            name="shots",
            ok=all(outcome.shots == shots for outcome in outcomes),
            seen=f"{outcomes[0].shots} of {shots}",
        ),
        Finding(name="format", ok=None, seen=_formats(data, outcomes[0])),
        Finding(name="seed", ok=None, seen=_describe_seeding(member.options_for(batch), outcomes)),
    ]


def _formats(data: Any, outcome: Outcome) -> str:
    counts, memory = _field(data, "counts"), _field(data, "memory")
    said = f"counts {_format(list(counts or ()))}, memory {_format(memory)}"
    if memory is not None and len(memory):
        said += ", believed" if outcome.ordered else ", not believed: it disagrees with the counts"
    return said


def _format(names: Sequence[Any] | None) -> str:
    if names is None or not len(names):
        return "none"
    name = names[0]
    if not isinstance(name, str):
        return f"of {type(name).__name__}"
    return "hexadecimal" if name.startswith(("0x", "0X")) else f"like {name!r}"


def _describe_seeding(options: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    if "seed_simulator" not in options:
        return "not taken"
    return "honoured" if _content(outcomes[0]) == _content(outcomes[1]) else "ignored"


def _content(outcome: Outcome) -> object:
    if outcome.memory is not None:
        return outcome.memory.tobytes()
    if outcome.patterns is None or outcome.counts is None:
        return None
    rows = map(bytes, outcome.patterns)
    return dict(zip(rows, outcome.counts.tolist(), strict=True))


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
