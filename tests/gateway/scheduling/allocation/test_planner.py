"""Plans of work that waits in several classes."""

from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import profile

from qiskit_gateway.policies import Deadline, balanced, fastest, least_busy, round_robin, weighted
from qiskit_gateway.scheduling.allocation.plan import Lot
from qiskit_gateway.scheduling.allocation.planner import Planner
from qiskit_gateway.scheduling.backlog import Backlog, Barred
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.tasks import Load, Piece, Task


def planner_of(rows, spread="rows", preset=fastest, machines=None):
    """Return a planner of five members with speeds, for classes with so many rows each."""
    policy = preset(spread=spread)
    tasks = tuple(Task(index=n, rows=count, shots=100, kind=n) for n, count in enumerate(rows))
    backlog = Backlog(tasks, policy.split_rule)
    for task in tasks:
        backlog.put(Piece(task.index, 0, task.rows, 0, task.shots), Barred(kind=task.kind))
    machine_of = (machines or {}).get
    profiles = {
        name: profile(name, order, machine=machine_of(name, ""))
        for order, name in enumerate("abcde")
    }
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


@pytest.mark.parametrize("factor", [1.5, 0.5])
@pytest.mark.parametrize("preset", [fastest, partial(balanced, usd_per_hour=40.0)])
def test_a_plan_is_good_until_somebody_would_end_at_another_time(preset, factor):
    """It is not made anew for being asked for, but for what is learned of one who has some of the work."""
    planner = planner_of([10_000], preset=preset)
    (lot,) = (Lot(one, planner.heights(one)[0]) for one in planner.backlog.classes)
    members = tuple(planner.estimator.profiles)

    first, _ = planner.plan(lot, members, 0.0)
    planned = first.quotas["b"]
    assert all(planner.plan(lot, members, 0.0, member) == (first, False) for member in 9 * members)

    planner.estimator.states["b"].speed.tell((0.0, 0.0, 2e-3 * factor))
    planner.plan(lot, members, 0.0, "a")
    again, is_new = planner.plan(lot, members, 0.0, "b")
    assert is_new
    assert (again.quotas["b"] < planned) == (factor > 1)


def test_each_job_of_a_divided_row_takes_a_circuit():
    """What a job took is not thought to shrink with the part of a row that the shots of it are."""
    state = MemberState()
    state.speed.observe(1, 1000, 10.0)
    few = profile("a", max_shots=1000)
    estimator = Estimator(profiles={"a": few}, states={"a": state})

    assert estimator.seconds("a", Load(0.5, 5000)) == pytest.approx(5 * 10.0, rel=0.05)


def plan_of(planner, members="abcde"):
    """Plan the only lot that waits among some members."""
    (lot,) = (Lot(one, planner.heights(one)[0]) for one in planner.backlog.classes)
    return planner.plan(lot, tuple(members), 0.0)[0].quotas


@pytest.mark.parametrize("preset", [fastest, partial(balanced, usd_per_hour=40.0)])
def test_one_member_of_a_machine_has_the_work_of_all(preset):
    """It is the fastest of them that may take it, and the others of the fleet have what they had beside it."""
    planner = planner_of([1000], preset=preset, machines=dict.fromkeys("bcd", "shared"))

    assert plan_of(planner) == plan_of(planner_of([1000], preset=preset), "abe")
    assert plan_of(planner, "acde") == plan_of(planner_of([1000], preset=preset), "ace")
    assert plan_of(planner, "dc") == {"c": 1000}


@pytest.mark.parametrize(
    "preset", [round_robin, weighted, least_busy, partial(round_robin, where=Deadline(3600.0))]
)
def test_who_minimizes_no_time_shares_out_over_one_machine_too(preset):
    """What each member should have is then a rule of its own."""
    planner = planner_of([1000], preset=preset, machines=dict.fromkeys("abcde", "shared"))

    assert plan_of(planner) == plan_of(planner_of([1000], preset=preset))
    assert len(plan_of(planner)) == 5


def test_who_had_the_work_of_a_machine_keeps_it():
    """It does not go to another member with each plan for having had none."""
    planner = planner_of([1000], machines=dict.fromkeys("ab", "shared"))
    for name in "ab":
        planner.estimator.states[name].speed.tell((0.0, 0.0, 1e-3))
    planner.assigned["a"] = 1e6

    assert plan_of(planner, "ab") == {"a": 1000}
