"""Taking work back, and duplicates: the scheduler, whatever happens in whatever order."""

import random
from typing import get_args

import anyio
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from worlds import LIE, POISON, THROTTLED, TRANSIENT, UNKNOWN, World, accepts, assert_tiled, profile

from qiskit_gateway import simulate
from qiskit_gateway.backends import Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    RecallPolicy,
    RetryPolicy,
    cheapest,
    failover,
    fastest,
    round_robin,
)
from qiskit_gateway.policies.failure import Failure
from qiskit_gateway.policies.spread import Spread
from qiskit_gateway.scheduling.events import (
    Cancel,
    Done,
    Recall,
    RecallFailed,
    ShardCancelled,
    ShardFailed,
    ShardFinished,
    ShardQueued,
    ShardStarted,
    Stop,
    Submit,
    TryFailed,
    Watch,
)
from qiskit_gateway.scheduling.members.speed import Speed
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.rectangles import intersection
from qiskit_gateway.work.tasks import Piece, Shard, Task

PER_SHOT = Pricing(per_shot=0.001)
TENS = Limits(max_circuits=10)
ONE = Limits(max_circuits=1, max_in_flight=1)
SILENT = Failure(transient=True, fault="network", submitted=True)


class Chaos(World):
    """Members that answer at random: in time, late, never; recalls confirmed, refused, hung."""

    def __init__(self, seed, tasks, members, policy):
        self.dice = random.Random(seed)
        fleet_state = FleetState()
        for member in members:
            if self.dice.random() < 0.5:
                fleet_state.of(member.name).queue_seconds = self.dice.choice([0.0, 50.0, 5000.0])
        scheduler = Scheduler(tasks, members, policy, fleet_state=fleet_state)
        by_name = {member.name: member for member in members}
        super().__init__(scheduler, fleet_state, policy, by_name, list(tasks))
        self.dead = {name for name in by_name if self.dice.random() < 0.25}
        self.budget = policy.budget
        self.unknown: list[tuple[str, Shard]] = []

    def check_limits(self, shard, member) -> None:
        """Assert besides that the member does not have, or may have done, the same shots before."""
        super().check_limits(shard, member)
        flying = ((one.member, one.shard) for one in self.flying.values())
        theirs = [other for name, other in (*flying, *self.unknown) if name == member]
        for piece in shard.pieces:
            assert not any(intersection(piece, p) for other in theirs for p in other.pieces)

    def book(self, shard, event) -> None:
        super().book(shard, event)
        lost = isinstance(event, ShardCancelled) and not event.confirmed
        if lost or (isinstance(event, ShardFailed) and event.failure.submitted is None):
            self.unknown.append((self.flew.member, shard))

    def asked(self, instruction) -> None:
        index = instruction.shard
        match instruction:
            case Cancel():
                wait = self.dice.choice([0.0, 5.0, 500.0])
                confirmed = self.dice.random() < 0.5
                self.push(self.now + wait, ShardCancelled(shard=index, confirmed=confirmed))
            case Recall():
                self.push(self.now + self.dice.choice([0.0, 1.0, 10.0]), self.reply(index))
            case Watch() if self.dice.random() < 0.7:
                at = self.now + self.dice.uniform(0, 40)
                self.push(self.dice.uniform(self.now, at), ShardQueued(shard=index))
                self.push(at, ShardStarted(shard=index))

    def reply(self, index):
        draw = self.dice.random()
        if draw < 0.4:
            return ShardCancelled(shard=index, confirmed=True)
        if draw < 0.7:
            return RecallFailed(shard=index, reason="it runs")
        return RecallFailed(shard=index, reason="no answer", failure=SILENT)

    def seconds(self, submit) -> float:
        if submit.member in self.dead and self.dice.random() < 0.7:
            return self.dice.choice([3e3, 1e4])
        return self.fleet_state.of(submit.member).queue_seconds + self.dice.choice(
            [0.1, 2.0, 400.0]
        )

    def answer(self, submit):
        index, draw = submit.shard.index, self.dice.random()
        if draw < 0.03:
            return TryFailed(shard=index, failure=TRANSIENT, reason="busy")
        if draw < 0.12:
            failure = self.dice.choice([TRANSIENT, POISON, UNKNOWN, THROTTLED, LIE])
            return ShardFailed(shard=index, failure=failure, reason="it failed")
        if not accepts(self.scheduler, index, self.now):
            return ShardCancelled(shard=index)
        if draw < 0.2:
            piece = self.dice.choice(submit.shard.pieces)
            row = piece.split_rows(self.dice.randrange(piece.rows))[1].split_rows(1)[0]
            if draw < 0.16:
                return ShardFinished(shard=index, failed=((row, LIE, "lied"),))
            return ShardFailed(shard=index, failure=LIE, reason="all of it lied")
        return ShardFinished(shard=index)

    def live(self, *, stop_at=None) -> Done:
        if stop_at is not None:
            self.push(stop_at, Stop(reason="enough"))
        self.perform(self.scheduler.start(self.now), self.seconds)
        for _ in range(100_000):
            if self.end is not None:
                return self.end
            what = self.next()
            index = what.shard.index if isinstance(what, Submit) else getattr(what, "shard", None)
            if isinstance(what, RecallFailed | ShardQueued | ShardStarted):
                pass  # They may come for shards that have ended.
            elif index is not None and index not in self.flying:
                continue
            event = self.answer(what) if isinstance(what, Submit) else what
            if isinstance(event, TryFailed):
                self.try_again(what, event, self.seconds)
                continue
            if index is not None and not isinstance(
                event, RecallFailed | ShardQueued | ShardStarted
            ):
                self.flew = self.flying.pop(index)
                self.book(self.flew.shard, event)
            self.perform(self.scheduler.handle(event, self.now), self.seconds)
        raise AssertionError("the run does not end")


def chaos(seed: int) -> Chaos:
    """Return a random world in which work is recalled."""
    dice = random.Random(seed)
    members = [
        profile(
            f"m{order}",
            order,
            max_circuits=dice.choice([None, 1, 3]),
            max_shots=dice.choice([None, 40]),
            max_in_flight=dice.choice([None, 1, 3]),
            job_fee_usd=dice.choice([0.0, 0.0, 0.3]),
        )
        for order in range(dice.randint(1, 4))
    ]
    tasks = [
        Task(index=n, rows=dice.randint(0, 9), shots=dice.choice([7, 41, 100]), group=n)
        for n in range(dice.randint(1, 4))
    ]
    where = ["never", "free", "always"]
    recall = RecallPolicy(overdue=dice.choice(where), idle=dice.choice(where))
    retry = RetryPolicy(
        on_unknown=dice.choice(["move", "wait", "fail"]), budget_floor=dice.choice([0, 20])
    )
    preset = dice.choice([fastest, round_robin, cheapest])
    policy = preset(
        recall=recall,
        retry=retry,
        start_seconds=dice.choice([None, None, 1.0]),
        spread=dice.choice(get_args(Spread)),
        budget=dice.choice([None, Budget(shots=3000), Budget(shots=3000, on_exhausted="move")]),
        breaker=BreakerPolicy(failures=dice.randint(1, 4), eject_seconds=5.0),
        deadline_seconds=dice.choice([None, None, 2000.0]),
    )
    return Chaos(seed, tasks, members, policy)


def congested(seed: int) -> Chaos:
    """Return a random world in which members are known, have failed, and all have a queue."""
    dice = random.Random(seed)
    members = [
        profile(f"m{order}", order, max_circuits=dice.choice([1, 3]), free=dice.random() < 0.9)
        for order in range(dice.randint(2, 4))
    ]
    tasks = [Task(index=n, rows=dice.randint(5, 30), shots=10, group=n) for n in range(2)]
    recall = RecallPolicy(idle=dice.choice(["never", "free"]))
    retry = RetryPolicy(on_unknown=dice.choice(["move", "wait", "fail"]))
    breaker = BreakerPolicy(failures=dice.randint(3, 9), eject_seconds=5.0)
    policy = fastest(recall=recall, retry=retry, breaker=breaker)
    world = Chaos(seed, tasks, members, policy)
    for member in members:
        state = world.fleet_state.of(member.name)
        state.queue_seconds, state.failure_rate = 50.0, dice.choice([0.0, 0.2])
        state.speed.observe(1, 10, dice.choice([0.1, 1.0, 5.0]))
    return world


def assert_lawful(world: Chaos) -> None:
    """Assert that each shot was booked or given up once, and that nothing is held any more."""
    assert_tiled(world.tasks, [*world.done, *(one.piece for one in world.end.given_up)])
    assert not any(state.in_flight for state in world.fleet_state.members.values())
    assert all(one.reasons for one in world.end.given_up)
    ledgers = [account.ledger for account in world.fleet_state.accounts.values()]
    assert not any(ledger.reserved for ledger in ledgers)
    spent = sum(ledger.spent.get("shots", 0) for ledger in ledgers)
    if world.budget is not None:
        assert spent <= world.budget.shots


@given(st.integers(0, 1 << 40), st.sampled_from([None, None, 0.5, 60.0, 1000.0]))
@example(7100, None)  # An idle member that was never seen at work was planned for, and given none.
@settings(max_examples=200, deadline=None)
@example(300, None)  # Of several lots none can be dealt, and each is planned after the other.
def test_whatever_is_recalled_each_shot_counts_once(seed, stop_at):
    """Confirmed, refused, hung, late, stopped: nothing is lost, doubled, or left reserved."""
    world = chaos(seed)

    world.live(stop_at=stop_at)

    assert_lawful(world)


@given(st.integers(0, 1 << 40), st.sampled_from([None, None, 60.0]))
@settings(max_examples=200, deadline=None)
def test_whatever_has_a_spare_counts_once(seed, stop_at):
    """Failed, taken back, late, duplicated, stopped: nothing is lost, doubled, or left reserved."""
    world = congested(seed)

    world.live(stop_at=stop_at)

    assert_lawful(world)


def hedged(rows):
    """Return a scheduler, what it knows of the fleet, and the numbers of a shard and its duplicate.

    Both members have a queue and have failed before; the turn at "b" comes just after that at "a".
    """
    fleet_state = FleetState()
    for name, queue_seconds in (("a", 100.0), ("b", 110.0)):
        known = fleet_state.of(name)
        known.queue_seconds, known.failure_rate = queue_seconds, 0.5
        known.speed = Speed(overhead_seconds=1.0, circuit_seconds=1.0, jobs=1)
    members = [profile(name, order, free=True) for order, name in enumerate("ab")]
    tasks = [Task(index=0, rows=rows, shots=10)]
    scheduler = Scheduler(tasks, members, fastest(), fleet_state=fleet_state)
    submits = [one for one in scheduler.start(0.0) if isinstance(one, Submit)]
    first, second = (one.shard for one in submits)
    assert first.pieces == second.pieces
    assert [one.member for one in submits] == ["a", "b"]
    return scheduler, fleet_state, first.index, second.index


def test_of_a_shard_and_its_duplicate_the_first_to_claim_counts():
    """Both may bring the same shots at the same moment: one of them is told that it is too late."""
    scheduler, fleet_state, first, second = hedged(rows=1)

    assert accepts(scheduler, second)
    assert not accepts(scheduler, first)
    assert Cancel(shard=first) in scheduler.handle(ShardFinished(shard=second), 1.0)
    assert Done(given_up=()) in scheduler.handle(ShardCancelled(shard=first), 2.0)
    assert not any(one.in_flight for one in fleet_state.members.values())


@pytest.mark.parametrize("order", ["claimed first", "failed first"])
def test_a_claim_that_came_to_nothing_leaves_what_is_known_of_the_duplicate(order):
    """What a member of unknown fate may have done is not sent there again by the other's failure."""
    scheduler, _, first, second = hedged(rows=1)

    assert accepts(scheduler, second)
    lied = ShardFailed(shard=second, failure=LIE, reason="all of it lied")
    lost = ShardFailed(shard=first, failure=UNKNOWN, reason="no answer")
    ends = [lied, lost] if order == "claimed first" else [lost, lied]
    answers = [one for at, end in enumerate(ends) for one in scheduler.handle(end, 1.0 + at)]

    assert not any(isinstance(one, Submit) and one.member == "a" for one in answers)
    assert not any(isinstance(one, Cancel) for one in answers)


@pytest.mark.parametrize("confirmed", [True, False])
def test_what_a_shard_does_not_bring_waits_for_the_end_of_its_duplicate(confirmed):
    """The other's member gets it only if that certainly did not run it: nothing is paid twice."""
    scheduler, _, first, second = hedged(rows=2)
    bad = Piece(0, 1, 2, 0, 10)

    assert accepts(scheduler, first)
    at_once = scheduler.handle(ShardFinished(shard=first, failed=((bad, LIE, "lied"),)), 1.0)
    then = scheduler.handle(ShardCancelled(shard=second, confirmed=confirmed), 2.0)

    assert Cancel(shard=second) in at_once
    assert not any(isinstance(one, Submit | Done) for one in at_once)
    again = [(one.member, one.shard.pieces) for one in then if isinstance(one, Submit)]
    assert again == ([("b", (bad,))] if confirmed else [])
    assert any(isinstance(one, Done) for one in then) != confirmed


def test_a_member_that_is_well_again_takes_what_it_failed_at():
    """What an outage kept from a member is not left for a far slower one alone."""
    fleet = [
        SimulatedMember("back", circuit_seconds=1.0, limits=ONE, outages=[(0, 30)]),
        SimulatedMember("slow", circuit_seconds=100.0, limits=ONE),
    ]

    found = simulate(fleet, work(10), seed=1)

    assert circuits(found) == 10
    assert found.makespan_seconds < 250


# -- in the shell, on a clock that jumps -------------------------------------------------------


class Deaf(SimulatedMember):
    """A member that does not answer when it is asked to cancel, and does not tell what it runs."""

    started = None

    async def cancel(self, handle):
        await anyio.sleep_forever()


class Stubborn(SimulatedMember):
    """A member that cancels nothing, and does not tell what it runs."""

    started = None

    async def cancel(self, handle):
        return False


def dying(kind, **facts):
    """Return a member whose jobs never end from its fifth second on, without a word."""
    return kind("dead", circuit_seconds=lambda now, _: 1.0 if now < 5 else 1e9, **facts)


def work(rows: int):
    angle = Parameter("t")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    return [(circuit, np.zeros((rows, 1)))]


def circuits(found) -> int:
    return sum(use.circuits for use in found.members.values())


class Unsaid(SimulatedMember):
    """A member that does not tell what it runs, but cancels it."""

    started = None


class Mute(SimulatedMember):
    """A member that does not answer when it is asked what it runs."""

    async def started(self, handle):
        await anyio.sleep_forever()


@pytest.mark.parametrize("kind", [Unsaid, Deaf, Mute])
def test_a_member_that_dies_silently_is_left(kind):
    """No call ever failed, yet the run ends: what is overdue is asked back, and moves.

    Where the member does not even answer that, the work moves by the rule of unknown fate.
    """
    fleet = [dying(kind), SimulatedMember("well", circuit_seconds=1.0)]

    found = simulate(fleet, work(100), seed=1, policy=fastest(cancel_seconds=10))

    assert found.given_up == ()
    assert circuits(found) == 100
    assert found.makespan_seconds < 1000
    left = [shard for shard in found.shards if shard.member == "dead" and not shard.succeeded]
    assert left
    # What is cancelled for certain has not failed; what may still run has.
    certain = {Unsaid: {True}, Deaf: {False}, Mute: {False}}[kind]
    assert {shard.taken_back for shard in left} == certain
    assert found.members["dead"].failures == sum(not shard.taken_back for shard in left)


def test_work_that_a_provider_says_it_runs_is_left_to_it():
    """A job that runs far longer than expected is not taken from a member that says so.

    One that waits behind it has not begun, and is.
    """
    slow = SimulatedMember("slow", circuit_seconds=lambda now, _: 1.0 if now < 5 else 600.0)
    fleet = [slow, SimulatedMember("well", circuit_seconds=1.0)]

    found = simulate(fleet, work(40), seed=1)

    taken = [shard for shard in found.shards if not shard.succeeded]
    assert found.given_up == ()
    assert taken
    assert all(shard.started_seconds == shard.finished_seconds for shard in taken)


def test_a_cancel_that_is_refused_changes_nothing():
    """Where a provider answers that it does not cancel, its result is waited for and counts."""
    slow = Stubborn("slow", circuit_seconds=lambda now, _: 1.0 if now < 5 else 600.0)
    fleet = [slow, SimulatedMember("well", circuit_seconds=1.0)]

    found = simulate(fleet, work(40), seed=1)

    assert found.given_up == ()
    assert circuits(found) == 40
    assert found.members["slow"].failures == 0
    assert all(shard.succeeded for shard in found.shards if shard.member == "slow")


@pytest.mark.parametrize(("on_unknown", "lost"), [("wait", 0), ("fail", 1), ("move", 0)])
def test_unknown_fate_is_handled_as_the_policy_says(on_unknown, lost):
    """What is overdue at a member that does not answer waits, is given up, or moves."""
    slow = Deaf("slow", circuit_seconds=lambda now, _: 1.0 if now < 5 else 2e3)
    fleet = [slow, SimulatedMember("well", circuit_seconds=1.0)]
    policy = fastest(retry=RetryPolicy(on_unknown=on_unknown), breaker=BreakerPolicy(failures=100))

    found = simulate(fleet, work(40), seed=1, policy=policy)

    assert bool(found.given_up) == bool(lost)
    assert (found.members["slow"].failures > 0) == (on_unknown != "wait")
    given_up = sum(one.piece.rows for one in found.given_up)
    assert circuits(found) + given_up == 40


@pytest.mark.parametrize(("kind", "usd"), [(SimulatedMember, 0.0), (Deaf, 1.024)])
def test_a_cancelled_job_costs_what_it_may_have_cost(kind, usd):
    """Where the provider has confirmed it, that is nothing."""
    fleet = [kind("slow", circuit_seconds=1e6, pricing=PER_SHOT)]
    policy = fastest(deadline_seconds=100, cancel_seconds=10)

    found = simulate(fleet, work(1), seed=1, policy=policy)

    assert found.given_up
    assert found.cost_usd == pytest.approx(usd)


def back_late():
    """Return a fleet whose second member has a long queue at first, and none from then on."""
    return [
        SimulatedMember("slow", queue_seconds=3000.0, circuit_seconds=1.0, limits=TENS),
        SimulatedMember(
            "fast", queue_seconds=lambda now, _: 1e4 if now < 60 else 0.0, circuit_seconds=1.0
        ),
    ]


def test_queued_work_is_called_back_for_an_idle_member_unless_the_policy_forbids_it():
    """What has been queued goes where it is done much sooner; with ``idle="never"`` it stays."""
    stays = simulate(
        back_late(), work(100), seed=1, policy=fastest(recall=RecallPolicy(idle="never"))
    )
    moves = simulate(back_late(), work(100), seed=1)

    assert stays.makespan_seconds > 3000
    assert moves.makespan_seconds < 1500
    assert circuits(moves) == circuits(stays) == 100


@pytest.mark.parametrize("overdue", ["never", "always"])
def test_a_job_is_asked_back_that_waits_longer_than_it_may(overdue):
    """``start_seconds`` is kept whatever was expected, and what was taken back costs nothing."""
    fleet = [
        SimulatedMember("slow", queue_seconds=lambda now, _: 1e5, circuit_seconds=1.0, fidelity=1),
        SimulatedMember("fast", circuit_seconds=1.0, pricing=Pricing(per_circuit=1.0)),
    ]
    recall = RecallPolicy(overdue=overdue)

    found = simulate(
        fleet, work(10), seed=1, policy=failover("slow", "fast", start_seconds=600, recall=recall)
    )

    (slow,) = (shard for shard in found.shards if shard.member == "slow")
    assert slow.finished_seconds == pytest.approx(600, abs=1)
    assert circuits(found) == found.members["fast"].circuits == found.cost_usd == 10


def test_a_job_that_has_begun_may_wait_as_long_as_it_takes():
    """``start_seconds`` takes nothing from a provider that says it runs it."""
    fleet = [SimulatedMember("slow", circuit_seconds=500.0), SimulatedMember("idle")]

    found = simulate(fleet, work(3), seed=1, policy=failover(start_seconds=60))

    assert found.members["slow"].circuits == 3


def long_runs(kind):
    """Return a member whose queue takes 300 s and whose jobs then take for ever, and another."""
    endless = kind("endless", queue_seconds=300.0, circuit_seconds=1e6)
    return [endless, SimulatedMember("well", circuit_seconds=1.0)]


def test_a_job_that_runs_longer_than_it_may_is_given_up_on():
    """``run_seconds`` begins with the run of the job, not with its queue, and the work moves."""
    found = simulate(long_runs(SimulatedMember), work(3), seed=1, policy=failover(run_seconds=60))

    (endless,) = (shard for shard in found.shards if shard.member == "endless")
    # It was noticed at one of the looks at the job, which become rarer, that it had begun.
    assert 360 <= endless.finished_seconds <= 360 + 30 + 1
    assert found.members["well"].circuits == 3


def test_a_limit_of_running_is_none_where_nobody_says_what_runs():
    """The limit from accepting a job to its result is kept all the same."""
    policy = failover(run_seconds=60, collect_seconds=4000)

    found = simulate(long_runs(Unsaid), work(3), seed=1, policy=policy)

    (endless,) = (shard for shard in found.shards if shard.member == "endless")
    assert endless.finished_seconds == pytest.approx(4000, abs=1)
    assert found.members["well"].circuits == 3


def test_running_work_is_not_called_back_for_an_idle_member():
    """What has begun is left where it is, however idle others are."""
    fleet = [
        SimulatedMember("slow", circuit_seconds=100.0, limits=Limits(max_in_flight=1)),
        SimulatedMember("fast", circuit_seconds=0.1, outages=[(0, 10)]),
    ]
    policy = fastest(recall=RecallPolicy(idle="always"))

    found = simulate(fleet, work(5), seed=1, policy=policy)

    assert all(shard.succeeded for shard in found.shards if shard.member == "slow")
    assert circuits(found) == 5


def test_a_fee_per_job_keeps_work_where_it_is_queued():
    """Recalling for an idle member is off where a cancelled job might be charged for."""
    slow, fast = back_late()
    slow.pricing = Pricing(per_job=0.3)
    policies = (fastest(recall=RecallPolicy(idle=where)) for where in ("free", "always"))

    stays, moves = (simulate([slow, fast], work(100), seed=1, policy=one) for one in policies)

    assert stays.makespan_seconds > 3000 > moves.makespan_seconds
