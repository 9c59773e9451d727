"""A member that fails at everything, for good: the work goes to those that do it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.policies import cheapest, failover, fastest, round_robin


class RetiredError(Exception):
    status_code = 501


class Broken(BasicSimulator):
    def run(self, run_input, **options):
        raise RetiredError("501 Not Implemented: this device is retired")


class Picky(BasicSimulator):
    """Fails at whatever holds a circuit of some names."""

    def __init__(self, *names):
        super().__init__()
        self.names = names

    def run(self, run_input, **options):
        if any(circuit.name in self.names for circuit in run_input):
            raise RetiredError("501 Not Implemented: it holds something odd")
        return super().run(run_input, **options)


class OnOneMachine(Member):
    machine = "shared"


def ones(name="ones"):
    circuit = QuantumCircuit(2, name=name)
    circuit.x([0, 1])
    circuit.measure_all()
    return circuit


@settings(max_examples=20)
@given(
    st.integers(1, 300),
    st.sampled_from([None, 1, 2, 3, 25]),
    st.sampled_from([cheapest, failover, fastest, round_robin]),
    st.booleans(),
    st.booleans(),
)
def test_a_member_that_fails_at_everything_costs_no_work(circuits, most, preset, last, together):
    """It is ejected after five jobs, each of which is tried there in halves once.

    So it is where both work on one machine, for one of which only there is work by plan.
    """
    limits = Limits(max_circuits=most)
    kind = OnOneMachine if together else Member
    fleet = [
        kind(Broken(), name="broken", limits=limits),
        kind(BasicSimulator(), name="well", limits=limits),
    ]

    job = RouterSampler(fleet[::-1] if last else fleet, policy=preset()).run(
        [ones()] * circuits, shots=5
    )

    assert all(pub.data.meas.get_counts() == {"11": 5} for pub in job.result())
    failed = [one for one in job.report().attempts if one.member == "broken"]
    assert len(failed) <= 5 * 3


def test_a_large_job_is_halved_once_before_it_goes_elsewhere():
    """Fifty circuits take three jobs at the broken member, and not twice as many as there are."""
    fleet = [Member(Broken(), name="broken"), Member(BasicSimulator(), name="well")]

    job = RouterSampler(fleet, policy=failover()).run([ones() for _ in range(50)], shots=20)
    job.result()

    made = job.report().attempts
    assert [one.circuits for one in made if one.member == "broken"] == [50, 25, 25]
    assert sum(one.circuits for one in made if one.member == "well") == 50


def test_where_nobody_else_is_left_one_odd_circuit_is_still_found():
    """All others are done, by the one member that there is."""
    circuits = [ones(f"c{number}") for number in range(16)]

    job = RouterSampler(Member(Picky("c11"), name="picky")).run(circuits, shots=20)
    job.wait_for_final_state()

    assert {one.pub for one in job.report().given_up} == {11}
