"""Plans of work that waits in several classes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import profile

from qiskit_gateway.policies import fastest
from qiskit_gateway.scheduling.allocation.plan import Lot
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.backlog import Backlog, Barred
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.tasks import Load, Piece, Task


def planner_of(rows, spread="rows"):
    """Return a planner of five members with speeds, for classes with so many rows each."""
    policy = fastest(spread=spread)
    tasks = tuple(Task(index=n, rows=count, shots=100, kind=n) for n, count in enumerate(rows))
    backlog = Backlog(tasks, policy.split_rule)
    for task in tasks:
        backlog.put(Piece(task.index, 0, task.rows, 0, task.shots), Barred(kind=task.kind))
    profiles = {name: profile(name, order) for order, name in enumerate("abcde")}
    states = {name: MemberState() for name in profiles}
    for order, state in enumerate(states.values(), start=1):
        state.speed.tell((0.0, 0.0, order / 1000))
    return Planner(
        estimator=Estimator(profiles=profiles, states=states), policy=policy, backlog=backlog
    )


@pytest.mark.parametrize("spread", ["rows", "shots"])
@given(rows=st.lists(st.integers(1, 200), min_size=1, max_size=6))
def test_classes_are_shared_out_without_being_ground_to_crumbs(spread, rows):
    """Members have of all classes together what they would of one, and a class goes to few of them."""
    together = planner_of([sum(rows)], spread)
    apart = planner_of(rows, spread)
    members = tuple(apart.estimator.profiles)

    (whole,) = (together.plan(Lot(one), members, 0.0)[0] for one in together.backlog.classes)
    plans = [apart.plan(Lot(one), members, 0.0)[0] for one in apart.backlog.classes]

    had = Counter()
    for plan in plans:
        assert sum(plan.quotas.values()) == pytest.approx(plan.circuits)
        had.update(plan.quotas)
    # The shots of a row are whole, and who would have hardly anything is left out.
    near = 0.02 * sum(rows) + 0.1 * len(rows)
    assert all(
        had[name] == pytest.approx(whole.quotas.get(name, 0.0), abs=near) for name in members
    )
    assert sum(len(plan.quotas) for plan in plans) <= len(rows) + len(members) - 1


def test_each_job_of_a_divided_row_takes_a_circuit():
    """What a job took is not thought to shrink with the part of a row that the shots of it are."""
    state = MemberState()
    state.speed.observe(1, 1000, 10.0)
    few = profile("a", max_shots=1000)
    estimator = Estimator(profiles={"a": few}, states={"a": state})

    assert estimator.seconds("a", Load(0.5, 5000)) == pytest.approx(5 * 10.0, rel=0.05)
