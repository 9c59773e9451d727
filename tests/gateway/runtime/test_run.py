"""The shell on a clock that jumps, over members that fail in every way they can."""

import itertools
import random
from dataclasses import dataclass, field

import anyio
import numpy as np
import pytest
import structlog
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.limits import Limits
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.backends.pricing.rates import FREE
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.policies import (
    ALLOWED,
    Filter,
    Named,
    Policy,
    RetryPolicy,
    Share,
    fastest,
    round_robin,
)
from qiskit_gateway.results.sampler_store import SamplerStore
from qiskit_gateway.runtime.notifications import logs
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.tasks import Task
from qiskit_gateway.work.workload import Work

pytestmark = pytest.mark.anyio
BITS = 16


@dataclass(eq=False)
class Echo:
    """A member whose every shot is the parameter of its row, written in binary.

    ``script`` is asked before each submission what is to happen to it.
    """

    name: str
    limits: Limits = field(default_factory=Limits)
    script: object = lambda _: ""
    seconds: float = 10.0
    pricing: object = FREE
    weight: float = 1.0
    tags: frozenset = frozenset()
    fidelity: float | None = None
    overlaps: bool = True
    batches: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    def refusal(self, program, shots, options):
        return ""

    async def submit(self, batch: Batch) -> Handle:
        step = self.script(batch)
        self.batches.append(batch)
        await anyio.sleep(0.1)
        if step == "hang in submit":
            await anyio.sleep_forever()
        if step == "refuse":
            raise Refused({0: "does not fit"})
        if isinstance(step, BackendError) and not step.submitted:
            raise step
        return Handle(job_id=f"{self.name}-{len(self.batches)}", job=step, batch=batch)

    async def collect(self, handle: Handle):
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await anyio.sleep(self.seconds)
            if handle.job == "hang in collect":
                await anyio.sleep_forever()
            if isinstance(handle.job, BackendError):
                raise handle.job
        finally:
            self.running -= 1
        return [self.outcome(value, handle) for value in self.values(handle.batch)]

    def values(self, batch: Batch):
        return [int(row[0]) for entry in batch.entries for row in entry.rows]

    def outcome(self, value: int, handle: Handle) -> Outcome:
        shots = handle.batch.kept_shots
        if handle.job == "bad" and value % 3 == 0:
            error = BackendError("lied", submitted=True, bad_result=True)
            return Outcome(shots=0, error=error)
        if handle.job == "short":
            shots = max(1, shots // 2)
        pattern = np.array([[value >> 8, value & 255]], dtype=np.uint8)
        return Outcome(shots=shots, num_bits=BITS, patterns=pattern, counts=np.array([shots]))

    async def cancel(self, handle: Handle) -> bool:
        if handle.job == "hang in cancel":
            await anyio.sleep_forever()
        self.cancelled.append(handle.job_id)
        return True

    async def reattach(self, job_id: str) -> Handle:
        raise BackendError("cannot look up jobs")


def make_work(sizes, *, seed=None) -> tuple[Work, list[SamplerStore]]:
    """Return the work of PUBs of so many rows and shots; row r of PUB p reads 100 p + r."""
    theta = Parameter("t")
    circuit = QuantumCircuit(BITS, BITS)
    circuit.rx(theta, 0)
    circuit.measure(range(BITS), range(BITS))
    program = Program(circuit=circuit)
    stores, tasks, rows = [], [], []
    for index, (count, shots) in enumerate(sizes):
        values = 100 * index + np.arange(count, dtype=float)[:, None]
        stores.append(SamplerStore(SamplerPub.coerce((circuit, values, shots))))
        tasks.append(Task(index=index, rows=count, shots=shots, group=index))
        rows.append(values)
    return (
        Work(
            tasks=tuple(tasks),
            programs=(program,) * len(tasks),
            rows=tuple(rows),
            stores=tuple(stores),
            seed=seed,
        ),
        stores,
    )


def assert_right(stores) -> None:
    """Assert that every shot of every row reads what it should."""
    for index, store in enumerate(stores):
        array = store.make_result().data.c.array
        rows, shots, _ = array.shape
        expected = 100 * index + np.arange(rows)
        seen = array[..., 0].astype(int) * 256 + array[..., 1]
        assert np.array_equal(seen, np.repeat(expected[:, None], shots, axis=1))


async def test_pieces_of_many_pubs_come_together_in_their_places():
    """Whatever the limits cut, every shot of every row of every PUB is in its place."""
    work, stores = make_work([(7, 30), (1, 1), (12, 41), (3, 30)])
    members = [
        Echo("a", Limits(max_circuits=2, max_shots=17)),
        Echo("b", Limits(max_circuits=5, min_shots=20, max_in_flight=1), seconds=3),
    ]

    done = await Run("job", Fleet(members), Policy(), work).execute()

    assert done.given_up == ()
    assert_right(stores)
    assert members[1].most_running == 1


FAULTS = (
    BackendError("503", transient=True, fault="network"),
    BackendError("slow down", transient=True, throttled=True, retry_after_seconds=7),
    BackendError("maybe", transient=True, fault="network", submitted=None),
    BackendError("job failed", transient=None, submitted=True),
    BackendError("no such gate", transient=False, fault="caller"),
    "hang in submit",
    "hang in collect",
    "hang in cancel",
    "refuse",
    "bad",
    "short",
)


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_members_do_the_result_is_right_or_the_gaps_are_named(seed):
    """Faults at every step, drawn by a seed: each shot is right, or is given up with a reason."""
    rng = random.Random(seed)

    def script(_):
        return rng.choice(FAULTS) if rng.random() < 0.35 else ""

    sizes = [(rng.randint(1, 20), rng.choice([1, 10, 33])) for _ in range(rng.randint(1, 5))]
    work, stores = make_work(sizes)
    fleet = Fleet(
        [
            Echo(
                f"m{index}",
                Limits(max_circuits=rng.choice([None, 1, 4]), max_shots=rng.choice([None, 12])),
                script if index else (lambda _: ""),
                seconds=rng.uniform(0.1, 30),
            )
            for index in range(rng.randint(2, 4))
        ]
    )
    policy = fastest(
        submit_seconds=5.0,
        collect_seconds=120.0,
        cancel_seconds=2.0,
        spread=rng.choice(["rows", "shots", "pubs"]),
        retry=RetryPolicy(budget_floor=200),
    )
    run = Run("job", fleet, policy, work)

    done = await run.execute()

    given_up = {(one.piece.task, row) for one in done.given_up for row in _rows(one.piece)}
    for task, store in zip(work.tasks, stores, strict=True):
        for row in range(task.rows):
            received = store.coverage.received[row]
            assert received == task.shots or (task.index, row) in given_up
    if not done.given_up:
        assert_right(stores)
    fleet_state = fleet.keep(FleetState)
    assert not any(one.in_flight for one in fleet_state.members.values())
    assert fleet_state.queue.listeners == []
    assert all(attempt.finished_seconds is not None for attempt in run.record)


def _rows(piece):
    return range(piece.row_start, piece.row_stop)


async def test_a_hung_call_costs_its_deadline_and_no_more():
    """A member that never answers delays a run by the deadline of that call."""
    for hang in ("hang in submit", "hang in collect"):
        work, stores = make_work([(4, 10)])
        fleet = Fleet(
            [
                Echo("hung", Limits(max_circuits=1), lambda _, hang=hang: hang),
                Echo("well", Limits(max_circuits=1), seconds=1),
            ]
        )
        policy = round_robin(submit_seconds=60.0, collect_seconds=60.0)
        run = Run("job", fleet, policy, work)

        done = await run.execute()

        assert done.given_up == ()
        assert_right(stores)
        assert run.seconds < 75


async def test_cancelling_at_any_moment_leaves_nothing_reserved_and_reaches_providers():
    """A run torn down from outside frees its slots, and cancels the jobs that it has there."""
    for moment in (0.0, 0.05, 0.2, 5.0, 10.2, 15.0):
        work, _ = make_work([(6, 10)])
        member = Echo("a", Limits(max_circuits=2, max_in_flight=2))
        fleet = Fleet([member])
        run = Run("job", fleet, Policy(), work)

        with anyio.move_on_after(moment):
            await run.execute()

        collecting = [a for a in run.record if a.accepted_seconds is not None]
        unfinished = [a.job_id for a in collecting if a.outcome == "cancelled"]
        assert member.cancelled == unfinished
        assert not any(s.in_flight for s in fleet.keep(FleetState).members.values())
        assert fleet.keep(FleetState).queue.listeners == []


async def test_a_stopped_run_keeps_what_it_has():
    """Stopping ends a run soon, with what is done in place and the rest named."""
    work, stores = make_work([(6, 10)])
    fleet = Fleet([Echo("a", Limits(max_circuits=2, max_in_flight=1))])
    run = Run("job", fleet, Policy(), work)

    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await anyio.sleep(15)
        run.stop("enough")

    assert run.seconds == pytest.approx(15, abs=0.1)
    assert stores[0].coverage.received.tolist() == [10, 10, 0, 0, 0, 0]
    assert sum(one.piece.rows for one in run.ended.given_up) == 4


async def test_two_runs_over_one_fleet_keep_its_limits_and_both_end():
    """Slots are the fleet's: two runs together never exceed them, and neither starves."""
    member = Echo("a", Limits(max_circuits=1, max_in_flight=2), seconds=1)
    fleet = Fleet([member])
    works = [make_work([(8, 10)]) for _ in range(2)]

    async with anyio.create_task_group() as group:
        for number, (work, _) in enumerate(works):
            group.start_soon(Run(f"job-{number}", fleet, Policy(), work).execute)

    assert member.most_running <= 2
    for _, stores in works:
        assert_right(stores)


class Counting(Filter):
    """Lets all members through, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, offer):
        self.asked += 1
        return ALLOWED


async def crowd(size, members):
    """Do so many runs of one shard side by side; return how often the policy was asked, and when
    each ended."""
    fleet, filter_, ended = Fleet(members), Counting(), []
    async with anyio.create_task_group() as group:
        for number in range(size):
            work, stores = make_work([(1, 10)])

            async def go(number=number, work=work, stores=stores):
                await anyio.sleep(0.001 * number)
                done = await Run(f"job {number}", fleet, fastest(where=filter_), work).execute()
                assert done.given_up == ()
                assert_right(stores)
                ended.append((anyio.current_time(), number))

            group.start_soon(go)
    assert fleet.keep(FleetState).queue.listeners == []
    assert not any(one.in_flight for one in fleet.keep(FleetState).members.values())
    return filter_.asked, ended


async def test_what_a_run_costs_does_not_grow_with_how_many_others_wait():
    """An end wakes whoever takes the slot, and not all that wait."""
    asked = [
        (
            await crowd(
                size,
                [
                    Echo("a", Limits(max_in_flight=1), seconds=0.1),
                    Echo("b", Limits(max_in_flight=2), seconds=0.1),
                ],
            )
        )[0]
        / size
        for size in (40, 160)
    ]
    assert asked[1] <= 1.5 * asked[0]


async def test_runs_that_wait_are_served_as_they_came():
    """Whoever has waited longest gets the next slot."""
    _, ended = await crowd(12, [Echo("a", Limits(max_in_flight=1), seconds=3)])
    assert [number for _, number in ended] == sorted(number for _, number in ended)
    seconds = [moment for moment, _ in ended]
    assert all(later - sooner <= 4 for sooner, later in itertools.pairwise(seconds))


async def test_a_slot_is_offered_past_those_that_cannot_use_it():
    """Runs that wait for one member do not keep another from those that wait for that."""
    members = [
        Echo("slow", Limits(max_in_flight=1), seconds=1000),
        Echo("quick", Limits(max_in_flight=1), seconds=1),
    ]
    fleet, ended = Fleet(members), {}
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for number, name in enumerate(["slow"] * 6 + ["quick"] * 6):
            work, _ = make_work([(1, 10)])

            async def go(number=number, name=name, work=work):
                await Run(f"job {number}", fleet, fastest(where=Named(name)), work).execute()
                ended.setdefault(name, []).append(anyio.current_time() - began)

            group.start_soon(go)
    assert max(ended["quick"]) < 20
    assert len(ended["slow"]) == 6


async def shared(policies, *, rows=40, slots=1, seconds=3600.0, later=()):
    """Run so much work under each policy on one member, and return the runs at some moment.

    Those whose numbers are in ``later`` begin when the others have had a tenth of the time.
    """
    member = Echo("a", Limits(max_circuits=1, max_in_flight=slots), seconds=1)
    fleet = Fleet([member])
    runs = [
        Run(f"job {number}", fleet, one, make_work([(rows, 10)])[0])
        for number, one in enumerate(policies)
    ]

    async def go(number):
        await anyio.sleep(seconds / 10 if number in later else 0)
        await runs[number].execute()

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for number in range(len(runs)):
                group.start_soon(go, number)
    assert member.most_running <= slots
    assert fleet.keep(FleetState).queue.listeners == []
    return runs


def done_of(run):
    return sum(one.outcome == "done" for one in run.record)


@pytest.mark.parametrize("slots", [1, 4])
async def test_users_share_a_member_by_their_weights(slots):
    """Three to one is three to one, within the few jobs that fly, and no slot stays empty."""
    policies = [fastest(share=Share(user=user, weight=w)) for user, w in (("ana", 3), ("ben", 1))]
    ana, ben = await shared(policies, rows=400, slots=slots, seconds=100)
    total = done_of(ana) + done_of(ben)
    # A job takes 1 s and is asked for in some calls of no length.
    assert total >= 0.9 * 100 * slots
    assert abs(done_of(ana) - 3 / 4 * total) <= 2 + slots


async def test_a_user_with_many_runs_gets_no_more_than_one_with_few():
    """Five runs of one user have together what another's single run has."""
    policies = [fastest(share=Share(user="ana"))] * 5 + [fastest(share=Share(user="ben"))]
    *ana, ben = await shared(policies, rows=200, seconds=100)
    assert abs(sum(map(done_of, ana)) - done_of(ben)) <= 3
    assert max(map(done_of, ana)) - min(map(done_of, ana)) <= 2


async def test_runs_of_one_user_share_by_priority():
    """Each step of priority is twice as much, and the least still gets its part."""
    policies = [fastest(share=Share(priority=priority)) for priority in (0, 1, 2)]
    done = [done_of(run) for run in await shared(policies, rows=200, seconds=140)]
    shares = [one / sum(done) for one in done]
    assert sum(done) >= 0.9 * 140
    assert shares == pytest.approx([1 / 7, 2 / 7, 4 / 7], abs=0.02)


@pytest.mark.parametrize("slots", [1, 3])
async def test_a_small_run_does_not_wait_for_the_end_of_a_large_one(slots):
    """Whoever comes while another has all the slots gets every other job from then on."""
    large, small = await shared([fastest()] * 2, rows=300, slots=slots, seconds=100, later=(1,))
    before = 10 * slots
    assert done_of(small) == pytest.approx((done_of(large) - before), abs=2 + 2 * slots)


async def test_whoever_was_away_does_not_catch_up():
    """Time that a run did not ask for is not given to it later, at the cost of others."""
    first, second = await shared([fastest()] * 2, rows=1000, seconds=200, later=(1,))
    total = done_of(first) + done_of(second)
    assert done_of(second) == pytest.approx(0.45 * total, abs=3)
    assert total >= 0.9 * 200


async def test_a_slot_that_whoever_is_next_has_no_use_for_goes_to_the_others():
    """A run whose turn it is and that may not go there keeps nobody from it."""
    members = [Echo(name, Limits(max_circuits=1, max_in_flight=1), seconds=1) for name in "ab"]
    fleet = Fleet(members)
    light = fastest(share=Share(user="ana", weight=1000), where=Named("b"))
    heavy = fastest(share=Share(user="ben", weight=0.001))
    works = [make_work([(60, 10)]) for _ in range(3)]
    runs = [
        Run(f"job {number}", fleet, policy, work)
        for number, (policy, (work, _)) in enumerate(zip((light, light, heavy), works, strict=True))
    ]
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.execute)
    for _, stores in works:
        assert_right(stores)
    # 180 jobs of a second on two members, of which one may take only 60 of them.
    assert anyio.current_time() - began < 135
    # Only the first time at a member nobody has had more of it than others.
    assert sum(one.member == "b" for one in runs[2].record) <= 1


async def test_retry_after_is_honoured():
    """A member that asks to be left alone is left alone for that long."""
    answers = iter([BackendError("429", transient=True, throttled=True, retry_after_seconds=100)])
    work, stores = make_work([(1, 10)])
    run = Run("job", Fleet([Echo("a", script=lambda _: next(answers, ""))]), Policy(), work)

    await run.execute()

    assert_right(stores)
    assert run.record[1].submitted_seconds - run.record[0].finished_seconds >= 100


ODD = {
    "unknown kind, unknown fate": BackendError("odd", transient=None, submitted=None),
    "unknown kind, not sent": BackendError("odd", transient=None, submitted=False),
    "unknown kind, failed there": BackendError("odd", transient=None, submitted=True),
    "503, unknown fate": BackendError("503", transient=True, submitted=None),
    "a lost answer": BackendError("reset", transient=True, fault="network", submitted=None),
}


@pytest.mark.parametrize("error", ODD.values(), ids=ODD)
@pytest.mark.parametrize("failing", [2, 4])
async def test_what_is_unknown_is_no_verdict_where_nobody_else_can_take_the_work(error, failing):
    """It is tried again as often as max_attempts says, with waits that grow, then given up."""
    answers = iter([error] * failing)
    work, stores = make_work([(1, 10)])
    retry = RetryPolicy(max_attempts=4)
    member = Echo("a", script=lambda _: next(answers, ""))
    run = Run(
        "job", Fleet([member]), Policy(retry=retry), work, environment=Environment(draw=lambda: 0.0)
    )

    done = await run.execute()

    assert len(run.record) == min(failing + 1, 4)
    waits = [
        later.submitted_seconds - one.finished_seconds
        for one, later in itertools.pairwise(run.record)
    ]
    assert waits == pytest.approx([1, 2, 4][: len(waits)])
    assert bool(done.given_up) == (failing == 4)
    if not done.given_up:
        assert_right(stores)


@pytest.mark.parametrize("error", ODD.values(), ids=ODD)
async def test_what_is_unknown_goes_elsewhere_first_and_is_tried_to_the_end_only_there(error):
    """The last who can take the work is the one that is asked again and again."""
    work, _ = make_work([(1, 10)])
    members = [Echo("a", script=lambda _: error), Echo("b", script=lambda _: error)]
    retry = RetryPolicy(max_attempts=5)
    run = Run("job", Fleet(members), round_robin(retry=retry), work)

    done = await run.execute()

    assert done.given_up
    first, last = run.record[0].member, run.record[-1].member
    assert first != last
    tries = [one.member for one in run.record]
    assert tries.count(first) == (1 if error.submitted is None else 2)
    assert tries.count(last) == 5


@pytest.mark.parametrize("on_unknown", ["wait", "fail"])
async def test_a_submission_of_unknown_fate_is_made_again_only_where_the_policy_pays_twice(
    on_unknown,
):
    """Elsewhere or there, one more job may be one too many."""
    work, _ = make_work([(1, 10)])
    member = Echo("a", script=lambda _: ODD["503, unknown fate"])
    rules = Policy(retry=RetryPolicy(on_unknown=on_unknown))

    done = await Run("job", Fleet([member]), rules, work).execute()

    assert done.given_up
    assert len(member.batches) == 1


@pytest.mark.parametrize(
    "error",
    [
        BackendError("who?", transient=False, fault="caller", authentication=True),
        BackendError("no such gate", transient=False, fault="caller"),
        BackendError("retired", transient=False),
    ],
)
async def test_a_verdict_is_one_also_where_nobody_else_can_take_the_work(error):
    """What is known to stay as it is is not asked again."""
    work, _ = make_work([(1, 10)])
    member = Echo("a", script=lambda _: error)

    assert (await Run("job", Fleet([member]), Policy(), work).execute()).given_up
    assert len(member.batches) == 1


@dataclass(eq=False)
class Few(Echo):
    """A member that takes so many jobs at once, says so only when there is one too many."""

    slots: int = 3
    has: int = 0
    refused: int = 0
    quiet_seconds: float | None = None
    quiet_until: float = 0.0

    async def submit(self, batch):
        now = anyio.current_time()
        if self.has >= self.slots:
            self.refused += 1
            self.quiet_until = now + (self.quiet_seconds or 0.0)
            raise BackendError(
                "3 concurrent jobs at most",
                transient=True,
                throttled=True,
                retry_after_seconds=self.quiet_seconds,
            )
        assert now >= self.quiet_until
        self.has += 1
        return await super().submit(batch)

    async def collect(self, handle):
        try:
            return await super().collect(handle)
        finally:
            self.has -= 1


@pytest.mark.parametrize("seconds", [0.5, 10, 1000])
@pytest.mark.parametrize("seed", [None, 7])
async def test_work_waits_for_a_slot_of_a_member_that_takes_only_so_many_jobs_at_once(
    seconds, seed
):
    """However long jobs take it is done slot by slot: nothing is given up, nobody is ejected."""
    member = Few("a", Limits(max_circuits=1, max_in_flight=8), seconds=seconds)
    work, stores = make_work([(16, 10)], seed=seed)
    run = Run("job", Fleet([member]), Policy(), work)

    with structlog.testing.capture_logs() as events:
        done = await run.execute()

    assert done.given_up == ()
    assert_right(stores)
    assert not any("ejected" in event["event"] for event in events)
    assert member.most_running == 3
    assert run.seconds <= 6 * (seconds + 2)
    # At most those that were under way at first, and one a minute to see if there are more by now.
    assert member.refused <= 5 + 1 + run.seconds / 60


@pytest.mark.parametrize("quiet_seconds", [5, 200])
async def test_a_full_member_that_asks_to_be_left_alone_is_left_alone(quiet_seconds):
    """A slot that becomes free meanwhile is not used before; and no work is lost for that."""
    member = Few("a", Limits(max_circuits=1, max_in_flight=8), seconds=50)
    member.quiet_seconds = quiet_seconds
    work, stores = make_work([(16, 10)])
    retry = RetryPolicy(max_attempts=2, budget_floor=0)

    done = await Run("job", Fleet([member]), Policy(retry=retry), work).execute()

    assert done.given_up == ()
    assert_right(stores)
    assert member.most_running == 3


async def test_a_slot_that_a_run_waits_for_may_be_taken_by_another_one():
    """Two runs over one member share the slots that it has, and both end."""
    member = Few("a", Limits(max_circuits=1, max_in_flight=8), seconds=100)
    fleet, works = Fleet([member]), [make_work([(8, 10)]) for _ in range(2)]

    async with anyio.create_task_group() as group:
        for number, (work, _) in enumerate(works):
            group.start_soon(Run(f"job-{number}", fleet, Policy(), work).execute)

    assert member.most_running == 3
    for _, stores in works:
        assert_right(stores)


async def test_a_member_that_has_more_slots_by_now_gets_more():
    """What was learned of slots is doubted from time to time."""
    member = Few("a", Limits(max_circuits=1, max_in_flight=8), slots=1, seconds=50)
    work, stores = make_work([(60, 10)])
    async with anyio.create_task_group() as group:
        group.start_soon(Run("job", Fleet([member]), Policy(), work).execute)
        await anyio.sleep(200)
        member.slots = 8

    assert_right(stores)
    assert member.most_running >= 5


class Unreachable(Echo):
    """A member whose jobs cannot be asked about, nor be cancelled."""

    locked_out = False

    def failure(self):
        if self.locked_out:
            return BackendError("who?", transient=False, fault="caller", authentication=True)
        return BackendError("gone", transient=True, fault="network", submitted=True)

    async def collect(self, handle):
        await anyio.sleep(1)
        raise self.failure()

    async def cancel(self, handle):
        raise self.failure()


class LockedOut(Unreachable):
    locked_out = True


@pytest.mark.parametrize("kind", [Unreachable, LockedOut])
@pytest.mark.parametrize("on_unknown", ["move", "fail"])
async def test_a_job_that_can_be_neither_fetched_nor_cancelled_is_of_unknown_fate(kind, on_unknown):
    """It may run on, which is reported, and it is not paid again where the policy forbids that."""
    work, stores = make_work([(1, 10)])
    fleet = Fleet([kind("gone"), Echo("well")])
    run = Run("job", fleet, round_robin(retry=RetryPolicy(on_unknown=on_unknown)), work)

    done = await run.execute()

    assert [one.outcome for one in run.record[:1]] == ["unknown"]
    assert "'gone-1' may still run" in run.record[0].failure
    assert len(fleet["gone"].batches) == 1
    assert bool(done.given_up) == (on_unknown == "fail")
    if not done.given_up:
        assert_right(stores)


async def test_seeds_of_shards_differ_and_repeat():
    """With a seed every shard has its own, and the same run has the same ones again."""
    seen = []
    for _ in range(2):
        work, _ = make_work([(9, 30), (2, 30)], seed=11)
        members = [Echo("a", Limits(max_circuits=2)), Echo("b", Limits(max_shots=8))]
        await Run("job", Fleet(members), Policy(), work).execute()
        seen.append([sorted(batch.seed for batch in member.batches) for member in members])

    flat = [seed for seeds in seen[0] for seed in seeds]
    assert len(set(flat)) == len(flat)
    assert seen[0] == seen[1]


@dataclass
class Slow(Echo):
    """A member that takes far longer than it did, and answers a cancellation by a script."""

    answer: object = lambda _: True

    async def collect(self, handle: Handle):
        late = len(self.batches) > 2
        with anyio.CancelScope() as self.wait:
            await anyio.sleep(5000.0 if late else 0.0)
        return await super().collect(handle)

    async def cancel(self, handle: Handle) -> bool:
        self.cancelled.append(handle.job_id)
        return await self.answer(self)


async def _refuses(_) -> bool:
    return False


async def _is_silent(_) -> bool:
    await anyio.sleep_forever()
    return True


async def _delivers_first(member) -> bool:
    member.wait.cancel()
    await anyio.sleep(20.0)
    return True


async def _fails(_) -> bool:
    raise BackendError("cannot cancel", transient=False)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (_refuses, "done"),
        (_delivers_first, "done"),
        (_is_silent, "cancelled"),
        (_fails, "cancelled"),
    ],
)
async def test_work_that_is_asked_back_counts_once(answer, outcome):
    """Refused, answered late, not at all, or by an error: each shot is written once, and it is told."""
    work, stores = make_work([(12, 10)])
    fleet = Fleet(
        [
            Slow("slow", Limits(max_circuits=1, max_in_flight=1), answer=answer),
            Echo("well", Limits(max_circuits=1, max_in_flight=1)),
        ]
    )

    with structlog.testing.capture_logs() as events:
        run = Run("job", fleet, round_robin(cancel_seconds=60.0), work)
        done = await run.execute()

    asked = fleet["slow"].cancelled
    ends = {one.job_id: one for one in run.record if one.member == "slow"}
    told = [event for event in events if event["event"] == logs.RECALL_FAILED]
    assert done.given_up == ()
    assert_right(stores)
    assert {ends[job].outcome for job in asked} == {outcome}
    assert bool(told) == (answer is not _delivers_first)
    if outcome == "cancelled":
        assert told[0]["log_level"] == "debug"
        assert all("may still run" in ends[job].failure for job in asked)
        assert run.seconds < 2000
    assert not any(s.in_flight for s in fleet.keep(FleetState).members.values())


async def test_the_events_of_a_run_that_moves_work():
    """A submission, a failure, a retry and the summary are logged under their names."""
    answers = iter([BackendError("503", transient=True), BackendError("bad", transient=False)])
    work, _ = make_work([(1, 10)])
    fleet = Fleet([Echo("a", script=lambda _: next(answers, "")), Echo("b")])

    with structlog.testing.capture_logs() as events:
        await Run("job-7", fleet, round_robin(), work).execute()

    names = [event["event"] for event in events]
    assert names == [
        logs.PLAN_MADE,
        logs.SHARD_RETRIED,
        logs.SHARD_FAILED,
        logs.SHARD_SUBMITTED,
        logs.SHARD_FINISHED,
        logs.JOB_FINISHED,
    ]
    assert {event["job_id"] for event in events} == {"job-7"}
    assert events[2]["backend"] == "a"
    assert [event["log_level"] for event in events] == ["debug"] * 5 + ["info"]


async def test_a_closed_and_reopened_backend_is_logged():
    """Closing and reopening a backend are told with the backend's name, and none being well too."""
    failing = [BackendError("503", transient=True, submitted=True)] * 3
    answers = iter(failing)
    work, stores = make_work([(1, 10)])
    fleet = Fleet([Echo("a", script=lambda _: next(answers, ""))])

    with structlog.testing.capture_logs() as events:
        await Run("job", fleet, Policy(), work).execute()

    assert_right(stores)
    closed = [event for event in events if event["event"] == logs.MEMBER_EJECTED]
    opened = [event for event in events if event["event"] == logs.MEMBER_RECOVERED]
    assert [event["backend"] for event in closed] == ["a"]
    assert closed[0]["wait_seconds"] == pytest.approx(60, abs=0.1)
    assert len(opened) == 1
    assert {event["log_level"] for event in [*closed, *opened]} == {"info"}
    assert [event["error"] for event in events if event["event"] == logs.FLEET_DOWN] == ["503"]


class Compiling(Echo):
    """A member that takes a minute to compile its first batch."""

    async def prepare(self, batch: Batch) -> None:
        if not self.batches:
            await anyio.sleep(60.0)


async def test_compiling_is_not_taken_for_the_speed_of_a_member():
    """A member is as fast as its jobs run, however long their circuits took to compile."""
    fleet = Fleet([Compiling("a", seconds=1.0), Compiling("b", seconds=1.0)])
    for _ in range(2):
        work, stores = make_work([(8, 10)])
        done = await Run("job", fleet, fastest(), work).execute()
        assert_right(stores)
    assert not done.given_up
    for member in fleet.names:
        speed = fleet.keep(FleetState).of(member).speed
        # Echo takes a tenth of a second to accept a job.
        assert speed.mean_seconds == pytest.approx(1.1)
