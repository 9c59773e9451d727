"""The check of members of one's own class: the right ones pass, each mistake is named."""

import math
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
from qiskit.circuit import ClassicalRegister, QuantumCircuit
from qiskit.primitives import StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import (
    BackendError,
    Handle,
    Limits,
    Member,
    Outcome,
    Pricing,
    Refused,
    check_member,
)
from qiskit_gateway.backends.interface.adaptation import Adaptation


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Run on real clocks: a sampler is called in threads."""
    return request.param


pytestmark = pytest.mark.anyio


class Exact:
    """A right member: an exact sampler that keeps its jobs."""

    name, fidelity, overlaps, weight, tags = "exact", None, True, 1.0, frozenset({"exact"})
    limits, pricing = Limits(max_circuits=50), Pricing()

    def __init__(self):
        self.jobs = {}

    def refusal(self, program, shots, options):
        return ""

    async def submit(self, batch):
        pubs = [
            (circuit_of(entry.program), row, batch.shots)
            for entry in batch.entries
            for row in entry.rows
        ]
        job = StatevectorSampler(seed=1).run(pubs)
        self.jobs[job.job_id()] = job
        return Handle(job_id=job.job_id(), job=job, batch=batch)

    async def collect(self, handle):
        result = await anyio.to_thread.run_sync(handle.job.result)
        pubs = zip(result, self.programs(handle.batch), strict=True)
        return [self.outcome(pub, program, handle.batch) for pub, program in pubs]

    def programs(self, batch):
        return [entry.program for entry in batch.entries for _ in range(entry.circuits)]

    def outcome(self, pub, program, batch):
        if not program.num_bits:
            return Outcome(shots=batch.kept_shots, memory=np.zeros((batch.kept_shots, 0), np.uint8))
        bits = pub.join_data()
        return Outcome(
            shots=batch.kept_shots, num_bits=bits.num_bits, memory=bits.array[: batch.kept_shots]
        )

    async def cancel(self, handle):
        return False

    async def reattach(self, job_id):
        if job_id not in self.jobs:
            raise BackendError("no such job", transient=False, submitted=None)
        return Handle(job_id=job_id, job=self.jobs[job_id])


def circuit_of(program):
    """Return a circuit with its bits in one register, so that nothing of their order gets lost."""
    circuit = program.circuit
    size = program.num_bits
    flat = QuantumCircuit(circuit.qubits, ClassicalRegister(size, "all"))
    if program.basis is None:
        flat.compose(circuit, clbits=range(size), inplace=True)
        return flat
    flat.compose(circuit, inplace=True)
    for bit, qubit in enumerate(
        qubit for qubit, letter in enumerate(reversed(program.basis)) if letter != "I"
    ):
        if program.basis[::-1][qubit] == "X":
            flat.h(qubit)
        flat.measure(qubit, bit)
    return flat


async def test_a_right_member_passes():
    """All that is asked of it is right, and it is asked for a few jobs."""
    member = Exact()
    found = await check_member(member)
    assert found.ok, found
    assert found.adaptation == Adaptation()
    assert found.name == "exact"
    names = {finding.name: finding.ok for finding in found.findings}
    assert all(names.values())
    assert {
        "bit order",
        "parameters",
        "basis",
        "job of one circuit",
        "kept shots",
    } <= names.keys()
    assert {"reattach", "cancel", "attributes"} <= names.keys()
    assert len(member.jobs) <= 6


async def test_a_member_may_leave_out_what_it_says_that_it_leaves_out():
    """It may refuse programs, take one circuit a job, keep no jobs, and fail some."""

    class Modest(Exact):
        limits = Limits(max_circuits=1, max_shots=10)

        def refusal(self, program, shots, options):
            return "measures circuits as they are written" if program.basis else ""

        async def submit(self, batch):
            if any(len(entry.program.circuit.cregs) > 2 for entry in batch.entries):
                raise Refused({0: "has two registers"})
            return await super().submit(batch)

        async def collect(self, handle):
            if any(entry.program.circuit.parameters for entry in handle.batch.entries):
                raise BackendError("knows no angles", transient=False, submitted=True)
            return await super().collect(handle)

        async def reattach(self, job_id):
            raise BackendError("keeps no jobs", transient=False, submitted=None)

    found = await check_member(Modest())
    assert found.ok, found
    names = {finding.name: finding.ok for finding in found.findings}
    assert "basis" not in names
    assert names["three registers"] is names["parameters"] is names["reattach"] is None


async def test_a_member_that_cannot_be_asked_is_not_judged():
    """An outage is raised: it says nothing of the member."""

    class Down(Exact):
        async def submit(self, batch):
            raise BackendError("down", transient=True, fault="network")

    with pytest.raises(BackendError, match="down"):
        await check_member(Down())


async def test_one_that_refuses_everything_shows_nothing():
    """Nothing is found wrong with it, and nothing right."""

    class Closed(Exact):
        def refusal(self, program, shots, options):
            return "closed"

    found = await check_member(Closed())
    assert found.ok
    assert [finding.name for finding in found.findings] == ["attributes", "refusal"]


async def returns(value):
    return value


def turned(outcome):
    return Outcome(
        shots=outcome.shots,
        num_bits=outcome.num_bits,
        memory=np.zeros_like(outcome.memory),
    )


async def with_outcomes(member, handle, change):
    return change(await Exact.collect(member, handle), handle)


WRONG = {
    "returns no handle": ("submit", lambda member, batch: returns(None)),
    "returns an id": ("submit", lambda member, batch: returns("1")),
    "returns an id that is no text": (
        "submit", lambda member, batch: returns(Handle(job_id=7, batch=batch))
    ),
    "raises in submit": ("submit", lambda member, batch: raises(ValueError("what?"))),
    "refuses whom nobody asked for": ("submit", lambda member, batch: raises(Refused({99: "no"}))),
    "is not asynchronous": ("submit", lambda member, batch: Handle(job_id="1", batch=batch)),
    "returns None": ("collect", lambda member, handle: returns(None)),
    "returns nothing": ("collect", lambda member, handle: returns([])),
    "returns counts": (
        "bit order", "collect", lambda member, handle: returns([{"0": 1}] * 12),
    ),
    "raises in collect": ("collect", lambda member, handle: raises(KeyError("job"))),
    "leaves one out": (
        "collect", lambda member, handle: with_outcomes(member, handle, lambda o, _: o[1:])
    ),
    "turns them round": (
        "bit order", "collect",
        lambda member, handle: with_outcomes(member, handle, lambda o, _: o[::-1]),
    ),
    "makes up zeros": (
        "bit order", "collect",
        lambda member, handle: with_outcomes(member, handle, lambda o, _: list(map(turned, o))),
    ),
    "knows jobs of one only": (
        "bit order", "collect",
        lambda member, handle: with_outcomes(
            member, handle, lambda o, h: o if h.batch.circuits == 1 else list(map(turned, o))
        ),
    ),
    "knows jobs of several only": (
        "job of one circuit", "collect",
        lambda member, handle: with_outcomes(
            member, handle, lambda o, h: o if h.batch.circuits > 1 else list(map(turned, o))
        ),
    ),
    "keeps all shots": (
        "kept shots", "outcome",
        lambda member, pub, program, batch: Outcome(
            shots=batch.shots, num_bits=program.num_bits, memory=pub.join_data().array
        ),
    ),
    "returns no truth": ("cancel", lambda member, handle: returns("yes")),
    "raises in cancel": ("cancel", lambda member, handle: raises(RuntimeError("no"))),
    "finds None": ("reattach", lambda member, job_id: returns(None)),
    "raises in reattach": ("reattach", lambda member, job_id: raises(KeyError(job_id))),
    "refuses with None": ("refusal", lambda member, program, shots, options: None),
    "raises in refusal": ("refusal", lambda member, program, shots, options: 1 / 0),
}  # fmt: skip


async def raises(error):
    raise error


@pytest.mark.parametrize("mistake", WRONG)
async def test_a_mistake_is_told_with_its_verb(mistake):
    """It is the first thing that the refusal says, and marked in the table."""
    said, *method, function = WRONG[mistake]
    wrong = type("Wrong", (Exact,), {(method or [said])[0]: function})
    found = await check_member(wrong())
    assert not found.ok
    assert found.refusal.startswith(f"{said}: ")
    assert "WRONG" in str(found)


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "name": ["", None, 7],
        "limits": [None, 5, {"max_shots": 5}],
        "pricing": [
            None, 5.0, lambda usage: None, lambda usage: -1.0, lambda usage: math.nan,
            lambda usage: "1 USD", lambda usage: usage.per_job,
        ],
        "weight": [0, -1, None, True, math.inf, "1"],
        "tags": [None, "exact", {"exact"}, frozenset({1})],
        "fidelity": ["high", 1.5, -0.1, math.nan],
        "overlaps": [None, 1],
    }.items(),
)  # fmt: skip
async def test_attributes_are_what_the_router_reads(name, values):
    """What could not be read in a run is told before anything is sent."""
    for value in values:
        member = type("Wrong", (Exact,), {name: value})()
        found = await check_member(member)
        assert found.refusal.startswith(f"{name}: {name} must be "), (value, found)
        assert not member.jobs


async def test_an_attribute_that_raises_is_told():
    """Reading it in a run would raise, too."""

    class Raising(Exact):
        @property
        def limits(self):
            raise OSError("no connection")

    found = await check_member(Raising())
    assert found.refusal == "limits: limits raised OSError: no connection"


@pytest.mark.parametrize("member", [SimpleNamespace(name="half"), BasicSimulator(), object()])
async def test_what_is_no_member_is_told(member):
    """All that it lacks is named."""
    found = await check_member(member)
    assert "submit, collect, cancel, reattach" in found.refusal


async def test_a_subclass_of_member_is_checked_by_its_verbs_too():
    """The check of its backend asks no verbs, and these may have been overridden."""

    class Short(Member):
        async def collect(self, handle):
            return (await super().collect(handle))[:-1]

    class Right(Member):
        async def collect(self, handle):
            return list(await super().collect(handle))

    right = await check_member(Right(BasicSimulator()))
    assert right.ok, right
    assert {"register order", "kept shots", "cancel"} <= {one.name for one in right.findings}
    found = await check_member(Short(BasicSimulator()))
    assert found.refusal.startswith("collect: collect() returned")
