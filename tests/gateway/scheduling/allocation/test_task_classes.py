"""Tasks that a policy would decide on alike share a class, and only those."""

from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.policies import MaxPrice, MinFidelity, cheapest, fastest, most_faithful
from qiskit_gateway.scheduling.allocation.task_classes import means_of, with_kinds
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.work.tasks import Compiled, Task

NAMES = ("a", "b", "c")
PROFILES = [MemberProfile(name=name, order=order) for order, name in enumerate(NAMES)]


def tasks_of(fidelities):
    """Return a task for each mapping of members to fidelities."""
    return [
        Task(
            index=index,
            rows=2,
            shots=100,
            compiled={name: Compiled(fidelity=value) for name, value in by_member.items()},
        )
        for index, by_member in enumerate(fidelities)
    ]


def kinds(tasks, policy, profiles=PROFILES):
    return [task.kind for task in with_kinds(tasks, profiles, policy)]


def test_policies_that_look_at_no_circuit_know_one_kind():
    """Whatever circuits are, they stay together under a policy that does not read it."""
    assert kinds(tasks_of([{"a": 0.5}, {"a": 0.9}]), fastest()) == [0, 0]


def test_the_best_member_makes_the_kind():
    """Fidelities that rank the members alike are one kind, whatever their values."""
    tasks = tasks_of([{"a": 0.9, "b": 0.8}, {"a": 0.5, "b": 0.4}, {"a": 0.7, "b": 0.8}])
    assert kinds(tasks, most_faithful()) == [1, 1, 2]


def test_what_a_filter_refuses_makes_the_kind():
    """A filter tells tasks apart, be the objective what it may, also where it may wait."""
    tasks = tasks_of([{"a": 0.9}, {"a": 0.95}, {"a": 0.8}])
    assert kinds(tasks, fastest(where=MinFidelity(0.9)), PROFILES[:1]) == [1, 1, 2]


def test_prices_by_gates_make_kinds():
    """The member that is cheapest for a circuit makes its kind, whatever the circuit costs there."""

    def by_gates(rate):
        return lambda jobs, circuits, shots, seconds, compiled=None: (
            rate * compiled.gates_2q * shots + (1 - rate) * compiled.gates_1q * shots
        )

    profiles = [
        MemberProfile(name=name, price=by_gates(rate)) for name, rate in (("a", 0.9), ("b", 0.1))
    ]
    tasks = [
        Task(
            index=i,
            rows=1,
            shots=10,
            compiled=dict.fromkeys("ab", Compiled(gates_1q=x, gates_2q=y)),
        )
        for i, (x, y) in enumerate([(1, 9), (9, 1), (2, 8)])
    ]
    assert kinds(tasks, cheapest(), profiles) == [1, 2, 1]
    assert kinds(tasks, cheapest(deadline_seconds=60), profiles) == [1, 2, 1]
    assert kinds(tasks, fastest(where=MaxPrice(40)), profiles) == [1, 2, 1]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from([None, 0.5, 0.9, 0.99])),
        min_size=1,
        max_size=8,
    )
)
def test_every_kind_is_decided_on_alike(fidelities):
    """The mean of a kind is allowed exactly where each of its tasks is."""
    tasks = with_kinds(tasks_of(fidelities), PROFILES, most_faithful(where=MinFidelity(0.6)))
    means = means_of(tasks)
    for task in tasks:
        mean = means.get(task.kind, {})
        for name in NAMES:
            each = task.compiled.get(name, Compiled()).fidelity
            found = mean.get(name, Compiled()).fidelity
            assert (each is not None and each >= 0.6) == (found is not None and found >= 0.6)
