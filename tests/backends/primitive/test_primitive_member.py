"""What may be a native primitive, and what is said of all else; over Qiskit's own sampler."""

import copy
import inspect
import pickle
from dataclasses import fields

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import CXGate, Measure, RZGate, SXGate
from qiskit.primitives import BaseSamplerV2, StatevectorEstimator, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.transpiler import Target
from small_circuits import bell

from qiskit_gateway import PlanError, RouterEstimator, RouterSampler
from qiskit_gateway.backends import (
    EstimatorMember,
    Fleet,
    Limits,
    Member,
    PrimitiveMember,
    check_member,
)
from qiskit_gateway.backends.adapter.compiling_member import MemberSettings, Said

pytestmark = pytest.mark.anyio


class Plain(BaseSamplerV2):
    """A sampler of somebody's, of which nothing is known."""

    def __init__(self):
        self.seen = []

    def run(self, pubs, *, shots=None):
        pubs = list(pubs)
        self.seen += [pub[0] for pub in pubs]
        return StatevectorSampler().run(pubs, shots=shots)


@pytest.fixture
def anyio_backend():
    """On a real clock: the sampler works in a thread of its own."""
    return "asyncio"


def small_target():
    target = Target(num_qubits=2)
    for gate in (RZGate(Parameter("angle")), SXGate(), Measure()):
        target.add_instruction(gate, {(0,): None, (1,): None})
    target.add_instruction(CXGate(), {(0, 1): None})
    return target


async def test_the_verbs_are_as_the_router_expects():
    """The check for authors of members finds nothing wrong."""
    found = await check_member(PrimitiveMember(StatevectorSampler()))
    assert found.ok, str(found)


def test_members_that_compile_have_the_same_keywords():
    """What a backend may be told, a primitive may; a keyword that is none is told by its name."""
    shared = set(MemberSettings.__annotations__)
    assert shared == {field.name for field in fields(Said)}
    assert set(inspect.signature(Member).parameters) == {
        *shared,
        "backend",
        "run_options",
        "unknown",
    }
    for kind, primitive in (
        (PrimitiveMember, StatevectorSampler()),
        (EstimatorMember, StatevectorEstimator()),
    ):
        assert kind(primitive, name="it", weight=2.0).weight == 2.0
        with pytest.raises(TypeError, match=rf"^{kind.__name__}\(\) got an unexpected .* 'wieght'"):
            kind(primitive, wieght=2.0)


@pytest.mark.parametrize("place", [small_target, BasicSimulator])
def test_circuits_are_compiled_for_what_is_given(place):
    """A primitive that tells no backend is given one, or a target; its circuits are in those gates."""
    sampler, given = Plain(), place()
    (pub,) = RouterSampler(PrimitiveMember(sampler, backend=given)).run([bell()], shots=40).result()
    assert set(pub.data.meas.get_counts()) <= {"00", "11"}
    names = given.operation_names if isinstance(given, Target) else given.target.operation_names
    assert sampler.seen
    assert all({*circuit.count_ops()} <= {*names, "barrier"} for circuit in sampler.seen)


def test_a_primitive_without_a_backend_says_what_it_needs():
    """Nobody can tell what to compile for."""
    with pytest.raises(ValueError, match=r"Plain names no backend.*a BackendV2 or a Target"):
        PrimitiveMember(Plain())
    with pytest.raises(TypeError, match="a BackendV2 or a Target, got 'fake_manila'"):
        PrimitiveMember(Plain(), backend="fake_manila")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (StatevectorEstimator(), "needs a SamplerV2, for estimator work too"),
        (StatevectorSampler, "needs a SamplerV2"),
        (BasicSimulator(), "needs a SamplerV2"),
        (None, "needs a SamplerV2"),
    ],
)
def test_what_is_no_sampler_is_refused(given, said):
    """With what was seen, and what is wanted."""
    with pytest.raises(TypeError, match=said):
        PrimitiveMember(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weight": 0}, "weight of a member must be positive"),
        ({"fidelity": 2}, "fidelity of a member must be in"),
        ({"mode": "batsch"}, "mode must be one of 'job', 'batch', 'session'; got 'batsch'"),
        ({"mode": "batch"}, "StatevectorSampler has no mode 'batch'"),
        ({"idle_seconds": -1}, "idle_seconds must be zero or more and finite, got -1"),
        ({"idle_seconds": 10**400}, "idle_seconds must be zero or more and finite"),
        ({"mode_seconds": 0}, "mode_seconds must be above 0"),
        ({"mode_seconds": 10**400}, "mode_seconds must be a finite number"),
        ({"mode_seconds": "60"}, "mode_seconds must be a number, got '60'"),
        ({"idle_seconds": "1"}, "idle_seconds must be a number, got '1'"),
    ],
)
def test_bad_arguments_are_told(given, said):
    """Before anything is sent."""
    with pytest.raises((TypeError, ValueError), match=said):
        PrimitiveMember(StatevectorSampler(), **given)


def test_a_fleet_says_what_cannot_join_it():
    """Routers are told what to give in their place."""
    with pytest.raises(TypeError, match="a fleet holds backends, native primitives and members"):
        Fleet([StatevectorSampler])
    with pytest.raises(TypeError, match="a fleet cannot hold a router"):
        Fleet([RouterEstimator(BasicSimulator())])
    with pytest.raises(TypeError, match="a fleet cannot hold a router"):
        Fleet([RouterSampler(BasicSimulator())])
    member = PrimitiveMember(StatevectorSampler())
    with pytest.raises(ValueError, match="is in the fleet twice"):
        Fleet([member, member])


def test_options_of_backend_run_go_to_backends():
    """A primitive has options of its own; work with others' goes elsewhere, or is refused."""
    options = {"run_options": {"initial_statevector": None}}
    members = [PrimitiveMember(StatevectorSampler()), Member(BasicSimulator())]
    job = RouterSampler(members, options=options).run([bell()], shots=20)
    job.result()
    assert set(job.report().members) == {"basic_simulator"}
    alone = RouterSampler(members[0], options=options).run([bell()], shots=20)
    with pytest.raises(
        PlanError, match=r"takes no options of backend.run, such as 'initial_statevector'"
    ):
        alone.result()


def test_what_is_too_wide_is_refused_at_once():
    """A state vector of many qubits has no room."""
    circuit = QuantumCircuit(30)
    circuit.measure_all()
    with pytest.raises(PlanError, match="needs 30 qubits, has 24"):
        RouterSampler(StatevectorSampler()).run([circuit]).result()
    wider = PrimitiveMember(StatevectorSampler(), limits=Limits(num_qubits=25))
    assert wider.limits.num_qubits == 25


def by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))  # noqa: S301  Of our own.


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, by_pickle])
def test_members_are_copied(way):
    """With all that was said of them; a copy runs."""
    member = PrimitiveMember(
        StatevectorSampler(), name="exact", limits=Limits(max_executions=500), tags=["free"]
    )
    made = way(member)
    assert (made.name, made.limits, made.tags) == ("exact", member.limits, {"free"})
    job = RouterSampler(made).run([bell()] * 5, shots=100)
    job.result()
    assert all(one.circuits * one.shots <= 500 for one in job.report().attempts)


def test_a_circuit_that_reads_nothing_is_answered():
    """No SamplerV2 likes circuits without registers; the answer is known."""
    circuit = QuantumCircuit(1, 2)
    (pub,) = RouterSampler(StatevectorSampler()).run([circuit], shots=9).result()
    assert (pub.data.c.array == np.zeros((9, 1))).all()
