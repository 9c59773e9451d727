"""The scheduler as a machine: whatever happens, in whatever order, the laws hold."""

import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import (
    LIE,
    LOGIN,
    POISON,
    THROTTLED,
    TRANSIENT,
    UNKNOWN,
    assert_tiled,
    make_world,
    profile,
)

from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Policy,
    RecallPolicy,
    RetryPolicy,
    cheapest,
    failover,
    fastest,
    least_busy,
    round_robin,
    weighted,
)
from qiskit_gateway.policies.filters import Named
from qiskit_gateway.policies.spread import Spread
from qiskit_gateway.policies.verdict import refuse
from qiskit_gateway.scheduling.events import (
    Cancel,
    Done,
    FleetDown,
    MemberEjected,
    Recall,
    RecallFailed,
    ShardDenied,
    ShardFailed,
    ShardFinished,
    ShardRefused,
    Stop,
    Submit,
    Tick,
    TryFailed,
    WakeAt,
)
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.shared import RateReached
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.record.remaining import Flying, Unfinished
from qiskit_gateway.work.tasks import NO_LOAD, Piece, Shard, Task

POLICIES = (fastest, round_robin, least_busy, cheapest, failover, weighted)


@st.composite
def fleets(draw):
    """Return profile of one to five members with unlike limits."""
    members = []
    for order in range(draw(st.integers(1, 5))):
        low = draw(st.sampled_from([1, 1, 1, 7]))
        members.append(
            MemberProfile(
                name=f"m{order}",
                order=order,
                weight=draw(st.sampled_from([1.0, 3.0])),
                max_circuits=draw(st.sampled_from([None, 1, 2, 7])),
                max_shots=draw(st.sampled_from([None, low + 5, 40])),
                min_shots=low,
                max_in_flight=draw(st.sampled_from([None, 1, 3])),
                max_executions=draw(st.sampled_from([None, 60, 200])),
                max_payload_bytes=draw(st.sampled_from([None, 25])),
                price=lambda jobs, circuits, shots, seconds: 0.3 * jobs + 0.01 * shots,
                job_fee_usd=draw(st.sampled_from([0.0, 0.3])),
            )
        )
    return members


@st.composite
def workloads(draw, names):
    """Return one to five tasks of unlike sizes, some refused by some members."""
    tasks = []
    for index in range(draw(st.integers(1, 5))):
        refused = draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
        tasks.append(
            Task(
                index=index,
                rows=draw(st.integers(0, 9)),
                shots=draw(st.sampled_from([7, 10, 41, 100])),
                group=index,
                payload_bytes=draw(st.sampled_from([0, 10])),
                refusals=dict.fromkeys(refused, "too wide"),
            )
        )
    return tasks


@st.composite
def runs(draw, *, settled=False):
    """Return a world, and where draws for its answers come from."""
    members = draw(fleets())
    tasks = draw(workloads([profile.name for profile in members]))
    preset = draw(st.sampled_from(POLICIES))
    policy = preset(
        spread=draw(st.sampled_from(get_args(Spread))),
        retry=RetryPolicy(budget_floor=draw(st.sampled_from([0, 5, 1000]))),
        breaker=BreakerPolicy(failures=draw(st.integers(1, 4)), eject_seconds=5.0),
        patience_seconds=100.0,
    )
    world = make_world(tasks, members, policy, settled=settled)
    world.solving_seconds = draw(st.sampled_from([0.0, 0.5, 30.0]))
    return world, draw(st.randoms())


def steady(_) -> float:
    return 1.0


@given(runs())
@settings(max_examples=60, deadline=None)
def test_without_failures_everything_is_done_exactly_once(drawn):
    """Every shot of every row is done once, within every limit, and nothing stays reserved."""
    world, random = drawn

    end = world.run(
        lambda submit: ShardFinished(shard=submit.shard.index),
        lambda _: random.uniform(0.1, 3.0),
    )

    assert end.given_up == ()
    assert_tiled(world.tasks, world.done)
    assert world.scheduler.in_flight == {}


@given(runs(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_fails_each_shot_is_done_or_given_up_exactly_once(drawn, settled):
    """Failed, moved, retried, refused, short: done and given up together tile the work."""
    world, random = drawn

    def answer(submit: Submit):
        shard = submit.shard
        draw = random.random()
        if draw < 0.5:
            return ShardFinished(shard=shard.index)
        piece = random.choice(shard.pieces)
        row = piece.split_rows(random.randrange(piece.rows))[1].split_rows(1)[0]
        if draw < 0.6 and row.shots > 1:
            short = row.split_shots(random.randrange(1, row.shots))[1]
            return ShardFinished(shard=shard.index, missing=(short,))
        if draw < 0.65:
            return ShardFinished(shard=shard.index, failed=((row, LIE, "lied"),))
        if draw < 0.7:
            return ShardRefused(
                shard=shard.index, reasons={shard.pieces.index(piece): "does not fit"}
            )
        if draw < 0.75:
            return TryFailed(shard=shard.index, failure=TRANSIENT, reason="busy")
        failures = [TRANSIENT, POISON, UNKNOWN, THROTTLED, LOGIN, LIE]
        weights = [5, 3, 2, 2, 0.3, 1]
        failure = random.choices(failures, weights)[0]
        return ShardFailed(shard=shard.index, failure=failure, reason="it failed")

    end = world.run(answer, lambda _: random.uniform(0.1, 3.0))

    assert_tiled(world.tasks, [*world.done, *(one.piece for one in end.given_up)])
    assert all(one.reasons for one in end.given_up)
    assert not any(state.in_flight for state in world.fleet_state.members.values()), (
        "a slot is still reserved"
    )


@given(runs(), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_a_stop_at_any_step_gives_up_the_rest_and_frees_all_slots(drawn, step):
    """After a stop nothing more is submitted, and every shot is done or given up."""
    world, random = drawn
    count = 0

    def answer(submit: Submit):
        nonlocal count
        count += 1
        if count == step:
            world.push(world.now, Stop(reason="enough"))
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, lambda _: random.uniform(0.1, 3.0))

    assert_tiled(world.tasks, [*world.done, *(one.piece for one in end.given_up)])
    assert not any(state.in_flight for state in world.fleet_state.members.values())


@given(runs(settled=True), st.randoms(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_settled_run_makes_the_same_shards_whatever_the_timing(drawn, first, second):
    """With a seed cuts and members depend on the input alone, not on who answers when."""
    world, _ = drawn
    again = make_world(world.tasks, list(world.profiles.values()), world.policy, settled=True)

    for one, random in ((world, first), (again, second)):
        end = one.run(
            lambda submit: ShardFinished(shard=submit.shard.index),
            lambda _, random=random: random.uniform(0.1, 9.0),
        )
        assert end.given_up == ()

    assert {(s.member, s.shard.pieces) for s in world.submits} == {
        (s.member, s.shard.pieces) for s in again.submits
    }


def test_one_bad_circuit_of_hundreds_is_isolated_and_the_rest_completes():
    """A job that fails for good is halved until the bad circuit stands alone."""
    task = Task(index=0, rows=300, shots=10)
    world = make_world([task], [profile("a"), profile("b", 1)], failover())

    def answer(submit: Submit):
        bad = any(p.row_start <= 123 < p.row_stop for p in submit.shard.pieces)
        if bad:
            return ShardFailed(shard=submit.shard.index, failure=POISON, reason="no such gate")
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, steady)

    assert [one.piece for one in end.given_up] == [Piece(0, 123, 124, 0, 10)]
    assert end.given_up[0].reasons == {"a": "no such gate", "b": "no such gate"}
    assert_tiled([task], [*world.done, end.given_up[0].piece])
    assert len(world.submits) < 30
    assert world.closed == []


def test_a_dead_member_is_left_and_its_work_moves():
    """After a few failures in a row a member gets nothing more, and the others do the rest."""
    tasks = [Task(index=0, rows=40, shots=10)]
    members = [profile("dead", max_circuits=2), profile("well", 1, max_circuits=2)]
    world = make_world(tasks, members, round_robin())

    def answer(submit: Submit):
        if submit.member == "dead":
            return ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="503")
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, steady)

    assert end.given_up == ()
    assert sum(submit.member == "dead" for submit in world.submits) <= 8
    assert [closed.member for closed in world.closed] == ["dead"]


def test_when_all_are_down_one_small_shard_at_a_time_probes():
    """With every member ejected work waits, and comes back by single circuits."""
    tasks = [Task(index=0, rows=50, shots=10)]
    world = make_world(tasks, [profile("a")], fastest(patience_seconds=10_000.0))

    def answer(submit: Submit):
        if world.now < 400:
            return ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="503")
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, steady)

    probes = [s for s in world.submits if s.shard.circuits == 1]
    assert end.given_up == ()
    assert 2 <= len(probes) <= 8
    assert world.now < 1500


def test_a_fleet_that_is_down_is_probed_one_member_at_a_time():
    """With several members down no two probes are out at once, unless one does not come back."""
    members = [profile(f"m{n}", n) for n in range(4)]
    world = make_world(
        [Task(index=0, rows=50, shots=10)],
        members,
        fastest(retry=RetryPolicy(budget_floor=1000), patience_seconds=10_000.0),
    )
    together = []

    def told():
        return [one for one in world.closed if isinstance(one, FleetDown)]

    def answer(submit: Submit):
        if 30 < world.now < 400:
            together.append(len(world.flying))
        if world.now < 400:
            return ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="503")
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, steady)

    assert end.given_up == ()
    assert max(together) == 1
    assert len(together) > 4
    assert len(told()) == 1


def test_patience_ends_when_no_member_comes_back():
    """Without a deadline a run gives up after its patience, with every member's reason."""
    tasks = [Task(index=0, rows=5, shots=10)]
    world = make_world(tasks, [profile("a"), profile("b", 1)], fastest(patience_seconds=300.0))

    end = world.run(
        lambda submit: ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="503"),
        steady,
    )

    assert sum(one.piece.circuit_shots for one in end.given_up) == 50
    assert world.now < 1000
    assert {"a", "b"} <= set().union(*(one.reasons for one in end.given_up))


def test_patience_ends_though_a_healthy_member_refuses_the_work_for_good():
    """A member that refuses for good is nobody to wait for, while all others are down."""
    tasks = [Task(index=0, rows=5, shots=10)]
    policy = fastest(where=Named("b"), patience_seconds=300.0)
    world = make_world(tasks, [profile("a"), profile("b", 1)], policy)

    end = world.run(
        lambda submit: ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="503"),
        steady,
    )

    assert sum(one.piece.circuit_shots for one in end.given_up) == 50
    assert world.now < 1000


def test_the_deadline_ends_the_run_and_cancels_what_is_in_flight():
    """At the deadline everything that is not done is given up."""
    world = make_world(
        [Task(index=0, rows=5, shots=10)], [profile("a")], Policy(deadline_seconds=10)
    )

    end = world.run(lambda submit: ShardFinished(shard=submit.shard.index), lambda _: 1000.0)

    assert world.now == pytest.approx(10)
    assert "deadline" in end.given_up[0].reasons[""]


def test_work_that_nobody_can_run_is_told_before_anything_is_sent():
    """One impossible task is a plan error: nothing of the run is sent."""
    tasks = [
        Task(index=0, rows=5, shots=10),
        Task(index=1, rows=1, shots=10, group=1, refusals={"a": "needs 7 qubits, has 5"}),
    ]
    world = make_world(tasks, [profile("a")], fastest())

    end = world.run(lambda _: None, steady)

    assert not end.sent
    assert world.submits == []
    assert end.given_up[0].reasons == {"a": "needs 7 qubits, has 5"}


def test_refused_credentials_put_a_member_out_for_the_run():
    """A login that fails is not tried twice."""
    tasks = [Task(index=0, rows=40, shots=10)]
    members = [profile("locked", max_circuits=1), profile("open", 1, max_circuits=1)]
    world = make_world(tasks, members, round_robin())

    def answer(submit: Submit):
        if submit.member == "locked":
            return ShardFailed(shard=submit.shard.index, failure=LOGIN, reason="401")
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, steady)

    assert end.given_up == ()
    assert sum(submit.member == "locked" for submit in world.submits) <= Estimator(
        profiles={"locked": members[0]}, states={"locked": FleetState().of("locked")}
    ).free_slots("locked", 0.0)


def test_a_submission_of_unknown_fate_never_goes_to_the_same_member_again():
    """What may have been taken is run elsewhere, or given up; never blindly repeated there."""
    tasks = [Task(index=0, rows=1, shots=10)]
    world = make_world(tasks, [profile("a")], fastest())

    end = world.run(
        lambda submit: ShardFailed(shard=submit.shard.index, failure=UNKNOWN, reason="timeout"),
        steady,
    )

    assert len(world.submits) == 1
    assert end.given_up[0].reasons == {"a": "timeout"}


@st.composite
def budgets(draw):
    """Return a budget in shots, or in USD over all or one member."""
    shots, usd = draw(st.integers(0, 400)), draw(st.sampled_from([0.0, 0.5, 1.7, 5.0]))
    amounts = draw(
        st.sampled_from([{"shots": shots}, {"usd": usd}, {"per_member_usd": {"m0": usd}}])
    )
    return Budget(**amounts, on_exhausted=draw(st.sampled_from(["move", "wait", "stop"])))


@given(runs(), budgets(), st.sampled_from(POLICIES))
@settings(max_examples=100, deadline=None)
def test_no_run_spends_more_than_its_budget(drawn, budget, preset):
    """Whatever happens, submissions never add up to more than the budget has, and the run ends."""
    world, random = drawn
    policy = preset(budget=budget, patience_seconds=50.0, spread=world.policy.spread)
    world = make_world(world.tasks, list(world.profiles.values()), policy)

    def answer(submit: Submit):
        if random.random() < 0.3:
            return ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="503")
        return ShardFinished(shard=submit.shard.index)

    end = world.run(answer, steady)

    shots = sum(s.shard.circuits * s.shard.shots for s in world.submits)
    assert shots <= (math.inf if budget.shots is None else budget.shots)
    limits = budget.per_member_usd or ({} if budget.usd is None else {"": budget.usd})
    for name, usd in limits.items():
        paid = [s.price.usd for s in world.submits if name in {"", s.member}]
        assert sum(paid) <= usd + 1e-9
    assert_tiled(world.tasks, [*world.done, *(one.piece for one in end.given_up)])


def test_the_rows_of_one_circuit_are_levelled_over_members_by_their_speed():
    """A member ten times as fast does about ten times as much."""
    members = [profile("fast", max_circuits=20), profile("slow", 1, max_circuits=20)]
    world = make_world([Task(index=0, rows=2000, shots=10)], members, fastest())
    free = {"fast": 0.0, "slow": 0.0}
    per_circuit = {"fast": 0.1, "slow": 1.0}

    def seconds(submit: Submit) -> float:
        start = max(world.now, free[submit.member])
        free[submit.member] = start + submit.shard.circuits * per_circuit[submit.member]
        return free[submit.member] - world.now

    world.run(lambda submit: ShardFinished(shard=submit.shard.index), seconds)

    best = 2000 / (1 / 0.1 + 1 / 1.0)
    assert world.now <= 1.1 * best


def test_a_second_run_finds_the_slots_of_the_first_taken():
    """Two runs over one fleet keep its limits together."""
    fleet_state = FleetState()
    members = [profile("a", max_in_flight=1)]
    first = make_world(
        [Task(index=0, rows=1, shots=10)], members, fastest(), fleet_state=fleet_state
    )
    second = make_world(
        [Task(index=0, rows=1, shots=10)], members, fastest(), fleet_state=fleet_state
    )

    taken = [type(one) for one in first.scheduler.start(0.0)]
    waiting = [type(one) for one in second.scheduler.start(0.0)]
    first.scheduler.handle(ShardFinished(shard=0), 1.0)
    after = [type(one) for one in second.scheduler.handle(Tick(), 1.0)]

    assert Submit in taken
    assert Submit not in waiting
    assert Submit in after


def test_submissions_keep_to_a_limit_per_minute():
    """Where a provider takes so many submissions a minute, no minute sees more."""
    members = [profile("a", max_circuits=1, submissions_per_minute=3)]
    world = make_world([Task(index=0, rows=10, shots=10)], members, fastest())
    times = []

    def seconds(_) -> float:
        times.append(world.now)
        return 0.5

    world.run(lambda submit: ShardFinished(shard=submit.shard.index), seconds)

    assert all(later - earlier >= 60 for earlier, later in zip(times, times[3:], strict=False))
    assert len(times) == 10


def started(policy, members, tasks):
    scheduler = Scheduler(tasks, members, policy, fleet_state=FleetState())
    return scheduler, scheduler.start(0.0)


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_run_that_sends_no_more_for_want_of_money_can_still_be_stopped(how):
    """What flies when the budget is used up is cancelled like any other; its deadline holds."""
    policy = fastest(budget=Budget(shots=10), deadline_seconds=100 if how == "deadline" else None)
    members = [MemberProfile(name="a", order=0, max_circuits=1, max_in_flight=1)]
    scheduler, first = started(policy, members, [Task(index=0, rows=2, shots=10)])
    (submit,) = (one for one in first if isinstance(one, Submit))
    scheduler.handle(Tick(), 1.0)
    event, now = (Stop(reason="enough"), 50.0) if how == "cancelled" else (Tick(), 100.0)

    if how == "deadline":
        looks = [one.seconds for one in first if isinstance(one, WakeAt)]
        assert looks == [100.0]
    answers = scheduler.handle(event, now)

    assert Cancel(shard=submit.shard.index) in answers
    assert not scheduler.handle(Tick(), now + 1) or scheduler.done


def test_a_denied_shard_waits_and_is_offered_again_without_blame():
    """Others of the journal hold the money: it is not asked at once again, and nothing is lost."""
    policy = fastest(budget=Budget(usd=10, on_exhausted="wait"))
    fleet_state = FleetState()
    members = [MemberProfile(name="a", order=0, max_in_flight=1)]
    tasks = [Task(index=0, rows=1, shots=10)]
    scheduler = Scheduler(tasks, members, policy, fleet_state=fleet_state)
    (sent,) = (one for one in scheduler.start(0.0) if isinstance(one, Submit))
    denied = ShardDenied(shard=sent.shard.index, verdict=refuse("no money", waits=True))

    answers = scheduler.handle(denied, 1.0)

    until = 1.0 + policy.probe_seconds
    assert answers == [WakeAt(seconds=until)]
    assert not fleet_state.of("a").in_flight
    assert not fleet_state.unhealthy
    assert fleet_state.of("a").failure_rate == 0.0
    assert not any(isinstance(one, Submit) for one in scheduler.handle(Tick(), until - 1))
    (again,) = (one for one in scheduler.handle(Tick(), until) if isinstance(one, Submit))
    assert again.shard.pieces == sent.shard.pieces
    (done,) = scheduler.handle(ShardFinished(shard=again.shard.index), until + 1)
    assert not done.given_up


def test_a_run_waits_for_a_member_that_another_run_found_full():
    """Nobody else wakes it: the jobs that filled the member may be over, or of another process."""
    fleet_state = FleetState()
    members = [MemberProfile(name="a", order=0)]
    state = fleet_state.of("a")
    state.take("another run", NO_LOAD, 0.0)
    fleet_state.note_full("a", 30.0, 0.0)
    state.release("another run", 0.5)
    tasks = [Task(index=0, rows=1, shots=10)]
    scheduler = Scheduler(tasks, members, fastest(), fleet_state=fleet_state)

    assert list(scheduler.start(1.0)) == [WakeAt(seconds=30.0)]

    (sent,) = (one for one in scheduler.handle(Tick(), 30.0) if isinstance(one, Submit))
    assert sent.shard.shots == 10


@pytest.mark.parametrize("wait_seconds", [0.0, 1e-12, 7.0])
def test_a_member_whose_minute_is_full_is_let_be(wait_seconds):
    """However little is to be waited for: it is not asked again in the same moment, for ever."""
    members = [MemberProfile(name="a", order=0, max_in_flight=1)]
    scheduler, first = started(fastest(), members, [Task(index=0, rows=1, shots=10)])
    (sent,) = (one for one in first if isinstance(one, Submit))
    full = RateReached(allowed=False, waits=True, wait_seconds=wait_seconds, reason="full")

    (wake,) = scheduler.handle(ShardDenied(shard=sent.shard.index, verdict=full), 1e6)

    assert wake == WakeAt(seconds=1e6 + max(wait_seconds, 0.001))
    again = next(x for x in scheduler.handle(Tick(), wake.seconds) if isinstance(x, Submit))
    assert again.shard.pieces == sent.shard.pieces


def test_a_run_out_of_money_waits_for_what_flies():
    """It ends well, though a member that is out could be let in again meanwhile."""
    breaker = BreakerPolicy(submit_errors=1, failures=1, eject_seconds=5)
    policy = round_robin(budget=Budget(attempts=2), breaker=breaker)
    members = [MemberProfile(name=name, order=o, max_in_flight=1) for o, name in enumerate("abc")]
    tasks = [Task(index=index, rows=1, shots=1, group=index) for index in range(9)]
    scheduler, first = started(policy, members, tasks)
    bad, good = (one.shard for one in first if isinstance(one, Submit))

    closed = scheduler.handle(ShardFailed(shard=bad.index, failure=TRANSIENT, reason="no"), 1.0)
    later = scheduler.handle(Tick(), 62.0)
    end = scheduler.handle(ShardFinished(shard=good.index), 63.0)

    assert [type(one) for one in closed if not isinstance(one, WakeAt)] == [MemberEjected]
    assert not any(isinstance(one, Submit | Cancel) for one in later)
    (done,) = end
    assert sum(one.piece.rows for one in done.given_up) == 8


@pytest.mark.parametrize("spread", get_args(Spread))
def test_work_that_one_member_is_too_dear_for_goes_to_another_at_once(spread):
    """With nothing in flight no event would come that gives it out."""

    def price(jobs, circuits, circuit_shots, seconds):
        return jobs * 0.5

    policy = fastest(budget=Budget(per_member_usd={"a": 0.1}, on_exhausted="move"), spread=spread)
    members = [
        MemberProfile(name="a", order=0, price=price),
        MemberProfile(name="b", order=1, price=price),
    ]
    _, first = started(policy, members, [Task(index=0, rows=1, shots=10)])

    assert {one.member for one in first if isinstance(one, Submit)} == {"b"}


@pytest.mark.parametrize("why", ["budget", "allowance"])
def test_work_that_the_last_member_is_too_dear_for_goes_back_to_one_that_failed_at_it(why):
    """A member that failed by accident is asked again where nobody else is left."""

    def price(jobs, circuits, circuit_shots, seconds):
        return jobs * 0.5

    budget = Budget(per_member_usd={"b": 0.1}, on_exhausted="move")
    used_up = Allotment(name="b", amount=0.0, usd_per_unit=math.inf)
    policy = failover("a", "b", budget=budget if why == "budget" else None)
    members = [
        MemberProfile(name="a", order=0, price=price),
        MemberProfile(
            name="b", order=1, price=price, allotment=used_up if why == "allowance" else None
        ),
    ]
    scheduler, first = started(policy, members, [Task(index=0, rows=1, shots=10)])
    (submit,) = (one for one in first if isinstance(one, Submit))

    failed = ShardFailed(shard=submit.shard.index, failure=TRANSIENT, reason="busy")
    again = [one.member for one in scheduler.handle(failed, 1.0) if isinstance(one, Submit)]

    assert again == ["a"]


def test_a_run_ends_when_its_only_member_is_too_dear_for_what_is_left_of_a_row():
    """Where prices count, what is left is planned by itself, and no event would come for that."""

    def price(jobs, circuits, circuit_shots, seconds):
        return jobs * 0.5

    budget = Budget(per_member_usd={"a": 0.6}, on_exhausted="move")
    members = [MemberProfile(name="a", order=0, price=price, max_shots=5, max_in_flight=1)]
    tasks = [Task(index=0, rows=1, shots=60)]
    scheduler, _ = started(cheapest(spread="shots", budget=budget), members, tasks)

    (done,) = scheduler.handle(ShardFinished(shard=0), 1.0)

    assert sum(one.piece.shots for one in done.given_up) == 55


def test_what_is_left_of_a_row_goes_out_at_once_where_a_member_has_free_slots():
    """Where prices count, too: a row of fewer shots than before is planned by itself."""
    members = [MemberProfile(name="a", order=0, max_shots=5, max_in_flight=3)]
    _, first = started(cheapest(spread="shots"), members, [Task(index=0, rows=1, shots=60)])

    assert [one.shard.shots for one in first if isinstance(one, Submit)] == [5, 5, 5]


def test_no_run_waits_for_a_member_that_another_has_found_locked():
    """Credentials that were refused in one run put the member out for all that go on."""
    fleet_state, tasks = FleetState(), [Task(index=0, rows=1, shots=10)]
    members = [MemberProfile(name=name, order=order) for order, name in enumerate("ab")]
    one = Scheduler(tasks, members, failover("b", "a"), fleet_state=fleet_state)
    other = Scheduler(tasks, members, failover("a", "b"), fleet_state=fleet_state)
    (first,) = (i for i in one.start(0.0) if isinstance(i, Submit))
    (second,) = (i for i in other.start(0.0) if isinstance(i, Submit))
    other.handle(ShardFailed(shard=second.shard.index, failure=LOGIN, reason="who?"), 1.0)

    failed = ShardFailed(shard=first.shard.index, failure=TRANSIENT, reason="busy")
    again = [i.member for i in one.handle(failed, 2.0) if isinstance(i, Submit)]

    assert (first.member, second.member, again) == ("b", "a", ["b"])


@given(runs(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_work_that_fails_moves_to_as_many_other_members_as_it_may_and_no_fewer(drawn, moves):
    """Members that refuse it, or are well again, do not change how many may fail at it."""
    world, random = drawn
    retry = RetryPolicy(max_moves=moves, budget_floor=1000)
    policy = replace(world.policy, retry=retry)
    world = make_world(world.tasks, list(world.profiles.values()), policy)
    failed: dict[tuple[int, int, int], set[str]] = {}

    def fails(submit: Submit, pieces):
        for place in places(pieces):
            failed.setdefault(place, set()).add(submit.member)

    def answer(submit: Submit):
        shard, draw = submit.shard, random.random()
        for place in places(shard.pieces):
            assert len(failed.get(place, set()) - {submit.member}) <= moves
        if draw < 0.3:
            return ShardFinished(shard=shard.index)
        piece = random.choice(shard.pieces)
        if draw < 0.4:
            return ShardRefused(shard=shard.index, reasons={shard.pieces.index(piece): "no"})
        if draw < 0.6:
            row = piece.split_rows(random.randrange(piece.rows))[1].split_rows(1)[0]
            fails(submit, [row])
            return ShardFinished(shard=shard.index, failed=((row, LIE, "lied"),))
        fails(submit, shard.pieces)
        # One that is not transient is looked for at the same member, which is no move.
        known = [TRANSIENT, UNKNOWN, *([POISON] if shard.circuits == 1 else [])]
        return ShardFailed(shard=shard.index, failure=random.choice(known), reason="failed")

    end = world.run(answer, lambda _: random.uniform(0.1, 3.0))

    stayed = [one.piece for one in end.given_up if "move" in one.reasons.get("", "")]
    assert all(len(failed[place]) == moves + 1 for place in places(stayed))


FULL = replace(TRANSIENT, throttled=True, submitted=False)


@pytest.mark.parametrize(
    "end",
    [
        ShardFinished(shard=1),
        ShardFailed(shard=1, failure=FULL, reason="full"),
        ShardFailed(shard=1, failure=TRANSIENT, reason="failed"),
        ShardRefused(shard=1, reasons={0: "no"}),
    ],
)
def test_a_job_of_an_earlier_process_may_end_in_any_way(end):
    """It was never taken out here, so nothing of it is put back."""
    tasks = (Task(index=0, rows=4, shots=10),)
    whole = Piece(0, 0, 4, 0, 10)
    halves = [
        Shard(index=n, pieces=(half,), shots=10) for n, half in enumerate(whole.split_rows(2))
    ]
    flights = tuple(Flying(shard=half, member="a", job_id=f"job-{half.index}") for half in halves)
    state = FleetState()
    scheduler = Scheduler(
        tasks,
        [profile("a"), profile("b", 1)],
        Policy(),
        fleet_state=state,
        unfinished=Unfinished(flights=flights, next_shard=2),
    )
    commands = [*scheduler.start(0.0), *scheduler.handle(end, 1.0)]
    for turn in range(2, 9):
        sent = [one.shard.index for one in commands if isinstance(one, Submit)]
        ends = [ShardFinished(shard=index) for index in ([0] if turn == 2 else []) + sent]
        commands = [one for event in ends for one in scheduler.handle(event, float(turn))]
        if any(isinstance(one, Done) for one in commands):
            break

    (done,) = (one for one in commands if isinstance(one, Done))
    assert not done.given_up
    assert all(not one.in_flight for one in (state.of("a"), state.of("b")))


@pytest.mark.parametrize("has_job", [True, False])
def test_a_job_of_an_earlier_process_is_not_given_up_on_while_it_is_looked_for(has_job):
    """It is late since its provider is away; once it is found, it may be given up on as any other."""
    whole = Shard(index=0, pieces=(Piece(0, 0, 4, 0, 10),), shots=10)
    scheduler = Scheduler(
        (Task(index=0, rows=4, shots=10),),
        [profile("a"), profile("b", 1)],
        Policy(start_seconds=1.0, recall=RecallPolicy(overdue="always")),
        fleet_state=FleetState(),
        unfinished=Unfinished(flights=(Flying(shard=whole, member="a", job_id="j"),), next_shard=1),
    )
    scheduler.start(0.0)
    late = scheduler.handle(Tick(), 2.0)
    failed = RecallFailed(
        shard=0, reason="no", has_job=has_job, failure=TRANSIENT if has_job else None
    )

    answer = scheduler.handle(failed, 2.0)

    assert [one.shard for one in late if isinstance(one, Recall)] == [0]
    assert any(isinstance(one, Cancel) for one in answer) == has_job


def places(pieces):
    """Go through the shots of pieces: task, row and shot."""
    for piece in pieces:
        for row in range(piece.row_start, piece.row_stop):
            for shot in range(piece.shot_start, piece.shot_stop):
                yield piece.task, row, shot
