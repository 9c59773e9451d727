"""Runs whose process dies at any moment, taken up again from the journal."""

import json
import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import numpy as np
import pytest
from chaos.dying import Dying, Outage
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import JobStatus
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import rotated
from structlog.testing import capture_logs

from qiskit_gateway import Journal, RouterEstimator, RouterSampler, RunError
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.backends.failures.errors import BackendError
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import Handle
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.backends.scripted import Fails, Runs, ScriptedBackend
from qiskit_gateway.journal.replay import replay
from qiskit_gateway.journal.run_log import Entry
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Policy,
    RetryPolicy,
    fastest,
    round_robin,
)
from qiskit_gateway.primitives.router import Router
from qiskit_gateway.primitives.sampler import SamplerOptions, _plan, _spec_of
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.tasks import Piece

BITS = 16
CENT = Pricing(per_job=0.01)


@dataclass(eq=False)
class Keeper:
    """A provider that keeps its jobs: it takes one after 0.1 s, and says so after another 0.1 s.

    Every shot is the parameter of its row, written in binary. ``script`` is asked what is to
    become of a job; ``forgets`` are ids that it does not know any more.
    """

    name: str
    limits: Limits = field(default_factory=lambda: Limits(max_circuits=2, max_in_flight=2))
    script: object = lambda _: ""
    seconds: float = 5.0
    pricing: object = CENT
    weight: float = 1.0
    tags: frozenset = frozenset()
    fidelity: float | None = None
    overlaps: bool = True
    jobs: dict = field(default_factory=dict)
    cancelled: list = field(default_factory=list)
    fetched: list = field(default_factory=list)
    looks_up: bool = True

    def refusal(self, program, shots, options):
        return ""

    async def submit(self, batch: Batch) -> Handle:
        await anyio.sleep(0.1)
        step = self.script(batch)
        if isinstance(step, BackendError) and not step.submitted:
            raise step
        job_id = f"{self.name}-{len(self.jobs)}"
        self.jobs[job_id] = (batch, step, anyio.current_time() + self.seconds)
        await anyio.sleep(0.1)
        if step == "lost answer":
            raise BackendError("connection lost", transient=True, fault="network", submitted=None)
        return Handle(job_id=job_id, job=job_id, batch=batch)

    async def collect(self, handle: Handle):
        batch, step, ready = self.jobs[handle.job]
        await anyio.sleep_until(ready)
        if isinstance(step, BackendError):
            raise step
        return [self.outcome(int(row[0]), batch) for e in handle.batch.entries for row in e.rows]

    def outcome(self, value: int, batch: Batch) -> Outcome:
        pattern = np.array([[value >> 8, value & 255]], dtype=np.uint8)
        shots = batch.kept_shots
        return Outcome(shots=shots, num_bits=BITS, patterns=pattern, counts=np.array([shots]))

    async def cancel(self, handle: Handle) -> bool:
        self.cancelled.append(handle.job_id)
        return True

    async def reattach(self, job_id: str) -> Handle:
        self.fetched.append(job_id)
        await anyio.sleep(0.1)
        if not self.looks_up or job_id not in self.jobs:
            raise BackendError(f"no job {job_id}", transient=False)
        return Handle(job_id=job_id, job=job_id)


class Finder(Keeper):
    """A provider that also finds jobs by our own name for them."""

    async def find(self, key: str) -> Handle | None:
        await anyio.sleep(0.1)
        for job_id, (batch, _, _) in self.jobs.items():
            if batch.key == key:
                return Handle(job_id=job_id, job=job_id)
        return None


class World:
    """A journal, and providers that outlive the processes that use them."""

    def __init__(self, path, members, *, policy=None, sizes=((7, 6), (1, 1), (5, 4)), seed=None):
        self.now = 0.0
        self.path, self.members, self.policy = path, members, policy or Policy()
        self.sizes, self.options = sizes, SamplerOptions(seed_simulator=seed)
        self.run = self.result = None

    def pubs(self):
        circuit = QuantumCircuit(BITS, BITS, metadata={"a": (1,)})
        circuit.rx(Parameter("t"), 0)
        circuit.measure(range(BITS), range(BITS))
        for index, (rows, shots) in enumerate(self.sizes):
            values = 100 * index + np.arange(rows, dtype=float)[:, None]
            yield SamplerPub.coerce((circuit, values, shots))

    def router(self):
        # A fleet of its own, as a new process has.
        return Router(
            Fleet(self.members),
            self.policy,
            Journal(self.path, clock=lambda: self.now, uptime=lambda: self.now),
        )

    def begin(self):
        router, pubs = self.router(), list(self.pubs())
        work, result = _plan(pubs, self.options)
        run_log = router.journal.begin("run", _spec_of(pubs, self.options), self.shots)
        return router, router.prepare(work, router.fleet), result, run_log

    def take(self):
        self.now += 1000.0
        router = self.router()
        begun = router.claim("run", "sampler", RouterSampler._plan_again)
        return router, begun.work, begun.result, begun.run_log

    async def execute(self, begun, *, lives=None, seconds=None, outage=None):
        """Run until it is done, or dies after so many writes or seconds."""
        router, work, self.result, run_log = begun
        run_log = Dying(run_log, lives, outage)
        longest = Environment(draw=lambda: 0.0)
        self.run = Run("run", router.fleet, self.policy, work, run_log=run_log, environment=longest)
        with run_log.scope:
            if seconds is not None:
                run_log.scope.deadline = anyio.current_time() + seconds
            await self.run.execute()
        fleet_state = router.fleet.keep(FleetState)
        assert not any(one.in_flight for one in fleet_state.members.values())
        assert fleet_state.queue.listeners == []
        return run_log.writes

    @property
    def shots(self):
        return sum(rows * shots for rows, shots in self.sizes)

    def assert_right(self):
        """Assert that the result is what it would have been without any accident."""
        assert self.run.ended.given_up == ()
        result = self.result()
        for index, (rows, shots) in enumerate(self.sizes):
            array = result[index].data.c.array
            seen = array[..., 0].astype(int) * 256 + array[..., 1]
            expected = 100 * index + np.arange(rows)
            assert np.array_equal(seen, np.repeat(expected[:, None], shots, axis=1))
            assert result[index].metadata == {"shots": shots, "circuit_metadata": {"a": (1,)}}
        (run,) = Journal(self.path).runs()
        assert (run.state, run.shots_done, run.shots) == ("done", self.shots, self.shots)

    def assert_paid_once(self, *, unknown):
        """Assert that no shot was submitted twice, but for what is reported as unknown."""
        reported = {
            f"run-{one.shard}-{one.number}" for one in self.run.record if one.outcome == "unknown"
        }
        assert unknown or not reported
        sent = Counter()
        for member in self.members:
            for batch, _, _ in member.jobs.values():
                if batch.key not in reported:
                    sent.update(places_of(batch))
        asked = {
            (100 * index + row): shots
            for index, (rows, shots) in enumerate(self.sizes)
            for row in range(rows)
        }
        assert sent == asked
        assert all(one.outcome != "running" for one in self.run.record)


def places_of(batch):
    """Return how many shots of each row a job has, by the row's value."""
    rows = [int(row[0]) for entry in batch.entries for row in entry.rows]
    return {row: batch.kept_shots * rows.count(row) for row in rows}


def fleet_of(kind, **changes):
    return [kind("a", **changes), kind("b", Limits(max_shots=3, max_in_flight=2), **changes)]


POLICIES = {
    "rows": Policy(),
    "shots": fastest(spread="shots"),
    "turns": round_robin(spread="pubs"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("spread", POLICIES)
@pytest.mark.parametrize("kind", [Keeper, Finder])
async def test_a_run_that_dies_after_any_write_is_taken_up(tmp_path, kind, spread):
    """After each write in turn the process dies; the next one ends with exact shots, paid once."""
    policy = POLICIES[spread]
    whole = World(tmp_path / "whole", fleet_of(kind), policy=policy)
    writes = await whole.execute(whole.begin())
    whole.assert_right()
    assert writes == 3 * len(whole.run.record)

    for lives in range(1, writes + 1):
        world = World(tmp_path / f"j{lives}", fleet_of(kind), policy=policy)
        await world.execute(world.begin(), lives=lives)
        assert not any(member.cancelled for member in world.members)
        await world.execute(world.take())
        world.assert_right()
        world.assert_paid_once(unknown=kind is Keeper)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [Keeper, Finder])
async def test_a_run_that_dies_at_any_moment_is_taken_up(tmp_path, kind):
    """So it is between two writes, as while the provider takes a job and has not said so yet."""
    unknown = 0
    for step in range(1, 30):
        world = World(tmp_path / f"j{step}", fleet_of(kind))
        await world.execute(world.begin(), seconds=0.05 * step + (step > 10) * 4)
        await world.execute(world.take())
        world.assert_right()
        world.assert_paid_once(unknown=kind is Keeper)
        unknown += sum(one.outcome == "unknown" for one in world.run.record)
    assert (unknown > 0) == (kind is Keeper)


FAULTS = (
    BackendError("503", transient=True, fault="network"),
    BackendError("job failed", transient=None, submitted=True),
    BackendError("no such gate", transient=False, fault="caller"),
    "lost answer",
)


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(12))
async def test_a_run_that_dies_again_and_again_ends_with_exact_shots(tmp_path, seed):
    """Whatever fails in between, and however often it dies, no shot is lost or counted twice."""
    rng = random.Random(seed)

    def script(_):
        return rng.choice(FAULTS) if rng.random() < 0.2 else ""

    members = [Finder("f", pricing=CENT), *fleet_of(rng.choice([Keeper, Finder]), script=script)]
    retry = RetryPolicy(budget_floor=200)
    policy = fastest(retry=retry, spread=rng.choice(["rows", "shots", "pubs"]))
    world = World(tmp_path / "j", members, policy=policy, seed=rng.choice([None, 4]))
    begun = world.begin()
    for _ in range(rng.randint(1, 5)):
        lives, seconds = rng.choice([(rng.randint(1, 12), None), (None, rng.uniform(0, 9))])
        await world.execute(begun, lives=lives, seconds=seconds)
        begun = world.take()
    await world.execute(begun)
    world.assert_right()


@pytest.mark.anyio
async def test_with_a_seed_the_shards_are_those_of_a_run_without_accidents(tmp_path):
    """Seeds belong to shards, and the shards that were not done are cut as they were before."""
    whole = World(tmp_path / "whole", fleet_of(Finder), seed=5)
    writes = await whole.execute(whole.begin())
    for lives in range(1, writes, 2):
        world = World(tmp_path / f"j{lives}", fleet_of(Finder), seed=5)
        await world.execute(world.begin(), lives=lives)
        await world.execute(world.take())
        world.assert_right()
        assert sorted(jobs_of(world)) == sorted(jobs_of(whole))


@pytest.mark.anyio
@pytest.mark.parametrize("steps", [["lost answer"] * 2, ["lost answer", "no such gate"]])
async def test_of_the_tries_of_one_shard_one_is_taken_up(tmp_path, steps):
    """A shard that was sent again after a lost answer is one shard: each try ends, and all arrives."""
    gone = BackendError("no such gate", transient=False, fault="caller")
    script = iter([gone if step == "no such gate" else step for step in steps])
    member = Keeper("a", script=lambda _: next(script, ""))
    policy = Policy(retry=RetryPolicy(max_attempts=3))
    world = World(tmp_path / "j", [member], policy=policy, sizes=((1, 6),))
    await world.execute(world.begin(), seconds=3.0)
    await world.execute(world.take())

    assert "running" not in [one.outcome for one in world.run.record]


EXPIRED = BackendError(
    "401: it expired", transient=False, fault="caller", authentication=True, submitted=True
)


@pytest.mark.anyio
@pytest.mark.parametrize("on_unknown", ["move", "fail"])
@pytest.mark.parametrize("expired", [1, 2])
async def test_credentials_that_expire_while_a_job_runs_cost_no_second_job(
    tmp_path, on_unknown, expired
):
    """The job is left alone, and a run that is resumed with new ones fetches it by its id."""
    member = Keeper("a", script=lambda _: EXPIRED)
    policy = Policy(retry=RetryPolicy(on_unknown=on_unknown))
    world = World(tmp_path / "j", [member], policy=policy, sizes=((2, 6),))
    begun = world.begin()
    for _ in range(expired):
        await world.execute(begun)
        (failed,) = world.run.record
        assert failed.outcome == "unknown"
        for text in ("401", "'a-0' may still run", "left alone", "resume"):
            assert text in failed.failure
        begun = world.take()
    member.jobs["a-0"] = (member.jobs["a-0"][0], "", 0.0)
    await world.execute(begun)

    world.assert_right()
    assert len(member.jobs) == 1
    assert member.cancelled == []
    assert member.fetched == ["a-0"] * expired


def jobs_of(world):
    for member in world.members:
        for batch, _, _ in member.jobs.values():
            yield member.name, batch.seed, tuple(places_of(batch).items())


@pytest.mark.anyio
async def test_a_run_that_is_done_sends_nothing_and_says_the_same(tmp_path):
    """Its result, its report and its progress are read from the journal."""
    world = World(tmp_path / "j", fleet_of(Keeper))
    await world.execute(world.begin())
    record, progress = world.run.record, world.run.progress()
    jobs = [len(member.jobs) for member in world.members]
    for _ in range(2):
        await world.execute(world.take())
        world.assert_right()
        assert world.run.record == record
        assert world.run.progress() == progress
    assert jobs == [len(member.jobs) for member in world.members]
    assert not any(member.fetched for member in world.members)


@pytest.mark.anyio
async def test_what_was_never_sent_is_written_down_as_that(tmp_path):
    """An attempt that the provider says it never took costs nothing, in the journal too."""
    world = World(tmp_path / "j", fleet_of(Finder))
    await world.execute(world.begin(), lives=1)
    await world.execute(world.take())
    world.assert_right()
    never = [one for one in world.run.record if one.outcome == "cancelled"]
    assert [one.price_usd for one in never] == [0.0]
    (written,) = Journal(world.path).runs()
    assert written.spent_usd == pytest.approx(sum(one.price_usd for one in world.run.record))


@pytest.mark.anyio
async def test_what_is_reported_goes_on_where_it_was(tmp_path):
    """The attempts of both processes are told, on one time that began with the run."""
    world = World(tmp_path / "j", fleet_of(Keeper))
    await world.execute(world.begin(), lives=4)
    before = len(world.run.record)
    await world.execute(world.take())
    record = world.run.record
    assert [one.submitted_seconds < 10 for one in record[:before]] == [True] * before
    assert all(one.submitted_seconds >= 1000 for one in record[before:])
    assert world.run.seconds > 1000
    assert len({(one.shard, one.number) for one in record}) == len(record)


@pytest.mark.anyio
async def test_jobs_are_cancelled_on_the_way_out_only_where_nobody_could_fetch_them(tmp_path):
    """A run that is torn down leaves its jobs with a journal, and cancels them without one."""
    world = World(tmp_path / "j", [Keeper("a")], sizes=((2, 3),))
    router, work, _, run_log = world.begin()
    for keeps in (run_log, None):
        run = Run(
            "run",
            router.fleet,
            world.policy,
            work,
            **({"run_log": Dying(run_log, None)} if keeps else {}),
        )
        with anyio.move_on_after(1):
            await run.execute()
        assert world.members[0].cancelled == ([] if keeps else ["a-1"])
        assert not world.router().journal.runs()[0].held


@pytest.mark.anyio
async def test_a_run_that_was_cancelled_can_be_taken_up(tmp_path):
    """Cancelling reaches the providers, journal or not; what is missing then is run anew."""
    world = World(tmp_path / "j", fleet_of(Keeper))
    router, work, world.result, run_log = world.begin()
    run = Run("run", router.fleet, world.policy, work, run_log=Dying(run_log, None))
    async with anyio.create_task_group() as group:
        group.start_soon(run.execute)
        await anyio.sleep(1)
        run.stop("enough")
    assert router.journal.runs()[0].state == "cancelled"
    assert any(member.cancelled for member in world.members)
    await world.execute(world.take())
    world.assert_right()


# -- a journal that cannot be written ----------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    "outage",
    [
        {"begins": 0.0, "calls": 1},
        {"begins": 0.0, "calls": 20, "late": True},
        {"begins": 5.1, "calls": 9},
        {"begins": 5.1, "calls": 9, "late": True},
        {"begins": 0.15, "seconds": 20.0},
        {"begins": 5.3, "seconds": 29.0},
    ],
)
async def test_what_could_not_be_written_is_written_later(tmp_path, outage):
    """An outage costs one warning and some time; all is done, written down, and paid once."""
    world = World(tmp_path / "j", fleet_of(Keeper))
    with capture_logs() as events:
        await world.execute(world.begin(), outage=Outage(**outage))
    world.assert_right()
    world.assert_paid_once(unknown=False)
    assert [event["log_level"] for event in events if "journal" in event["event"]] == ["warning"]
    record = world.run.record
    await world.execute(world.take())
    assert world.run.record == record


@pytest.mark.anyio
@pytest.mark.parametrize("begins", [0.0, 0.15, 1.0, 4.0])
async def test_a_run_whose_journal_is_gone_ends_with_what_is_done(tmp_path, begins):
    """What providers have is waited for, nothing more is sent, and the rest can be taken up."""
    world = World(tmp_path / "j", fleet_of(Finder))
    began = anyio.current_time()
    with capture_logs() as events:
        await world.execute(world.begin(), outage=Outage(begins=began + begins, seconds=math.inf))
    assert 30 <= anyio.current_time() - began <= begins + 40
    given_up, jobs = world.run.ended.given_up, sum(len(one.jobs) for one in world.members)
    assert given_up
    assert {one.why for one in given_up} == {"the journal cannot be written"}
    assert sum(event["event"] == "gateway.journal_failed" for event in events) == 1
    outcomes = Counter(one.outcome for one in world.run.record)
    assert set(outcomes) <= {"done", "cancelled"}
    assert outcomes["done"] == jobs
    assert not any(member.cancelled for member in world.members)
    lost = sum(one.piece.circuit_shots for one in given_up)
    received = sum(int(store.coverage.received.sum()) for store in world.run.work.stores)
    assert received == world.shots - lost
    (written,) = Journal(world.path).runs()
    assert (written.state, written.held) == ("running", False)
    await world.execute(world.take())
    world.assert_right()
    world.assert_paid_once(unknown=False)


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["deadline", "cancel", "death"])
async def test_a_run_that_is_to_end_is_not_held_up_by_its_journal(tmp_path, how):
    """A deadline, the user and the end of the process come first."""
    policy = Policy(deadline_seconds=3.0) if how == "deadline" else Policy()
    world = World(tmp_path / "j", fleet_of(Finder), policy=policy)
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        if how == "cancel":
            group.start_soon(cancel_later, world)
        await world.execute(
            world.begin(),
            seconds=3.0 if how == "death" else None,
            outage=Outage(begins=began + 0.5, seconds=1000.0),
        )
    assert anyio.current_time() - began == pytest.approx(3.0, abs=0.5)
    assert (world.run.ended is None) == (how == "death")
    world.policy = Policy()
    await world.execute(world.take())
    world.assert_right()


async def cancel_later(world):
    await anyio.sleep(3)
    world.run.stop("enough")


@pytest.mark.anyio
async def test_a_run_that_has_everything_ends_well_whatever_the_journal_does(tmp_path):
    """Its results are there; it is not recorded as done, and can be fetched again."""
    world = World(tmp_path / "j", [Finder("a", Limits(max_in_flight=9))])
    began = anyio.current_time()
    outage = Outage(begins=began + 1, seconds=math.inf)
    await world.execute(world.begin(), outage=outage)
    assert world.run.ended.given_up == ()
    assert anyio.current_time() - began < 40
    assert Journal(world.path).runs()[0].state == "running"
    await world.execute(world.take())
    world.assert_right()
    world.assert_paid_once(unknown=False)


@pytest.mark.anyio
async def test_a_run_that_another_process_has_taken_stops_and_leaves_its_jobs(tmp_path):
    """Jobs that are the other's now are not cancelled, and nothing more is written or sent."""
    world = World(tmp_path / "j", fleet_of(Finder))
    begun = world.begin()
    async with anyio.create_task_group() as group:
        group.start_soon(world.execute, begun)
        await anyio.sleep(1)
        first, jobs = world.run, sum(len(one.jobs) for one in world.members)
        begun[3].abandon()  # As if it were taken for dead on another machine.
        await world.execute(world.take())
    assert not any(member.cancelled for member in world.members)
    assert all("another process has taken it" in one.why for one in first.ended.given_up)
    assert first.ended.given_up
    assert sum(len(one.jobs) for one in world.members) > jobs
    world.assert_right()
    world.assert_paid_once(unknown=False)


# -- jobs that cannot be fetched ---------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_job_that_cannot_be_fetched_goes_elsewhere_and_is_reported(tmp_path):
    """A provider that cannot look up jobs is not paid for them again where another may run them."""
    members = [Keeper("a", looks_up=False), Keeper("b", seconds=0.5)]
    world = World(tmp_path / "j", members, policy=round_robin())
    await world.execute(world.begin(), seconds=1)
    held = dict(members[0].jobs)
    assert held
    await world.execute(world.take())
    world.assert_right()
    world.assert_paid_once(unknown=True)
    unknown = [one for one in world.run.record if one.outcome == "unknown"]
    assert {one.job_id for one in unknown} == set(held)
    assert all("may still run" in one.failure for one in unknown)
    again = [one for one in world.run.record if one.member == "a" and one.outcome == "done"]
    lost = {(piece.task, row) for one in unknown for piece in one.pieces for row in rows_of(piece)}
    done = {(piece.task, row) for one in again for piece in one.pieces for row in rows_of(piece)}
    assert not lost & done


def rows_of(piece):
    return range(piece.row_start, piece.row_stop)


@pytest.mark.anyio
async def test_what_costs_nothing_may_run_on_the_same_member_again(tmp_path):
    """A local simulator's jobs die with the process; the only member is asked again for free."""
    world = World(tmp_path / "j", [Keeper("a", looks_up=False, pricing=lambda _: 0.0)])
    await world.execute(world.begin(), seconds=1)
    await world.execute(world.take())
    world.assert_right()


@pytest.mark.anyio
@pytest.mark.parametrize("on_unknown", ["fail", "wait"])
async def test_unknown_submissions_are_given_up_where_the_policy_says_so(tmp_path, on_unknown):
    """Nothing is run elsewhere that may run already, and the reason is told."""
    members = [Keeper("a", looks_up=False), Keeper("b", seconds=0.5, looks_up=False)]
    policy = round_robin(retry=RetryPolicy(on_unknown=on_unknown))
    world = World(tmp_path / "j", members, policy=policy)
    await world.execute(world.begin(), seconds=0.3)
    sent = sum(len(member.jobs) for member in members)
    await world.execute(world.take())
    given_up = world.run.ended.given_up
    assert given_up
    assert all("may still run" in one.why for one in given_up)
    lost = sum(one.piece.circuit_shots for one in given_up)
    assert sum(len(member.jobs) for member in members) > sent
    (run,) = Journal(world.path).runs()
    assert (run.state, run.shots_done) == ("failed", world.shots - lost)


@pytest.mark.anyio
async def test_a_member_that_is_gone_is_not_asked(tmp_path):
    """Jobs on a member that the fleet does not have any more are reported, and run elsewhere."""
    world = World(tmp_path / "j", fleet_of(Keeper), policy=round_robin())
    await world.execute(world.begin(), seconds=1)
    world.members = [Keeper("c")]
    await world.execute(world.take())
    world.assert_right()
    unknown = [one for one in world.run.record if one.outcome == "unknown"]
    assert unknown
    assert all("no member 'a'" in o.failure or "no member 'b'" in o.failure for o in unknown)


@pytest.mark.anyio
async def test_a_job_that_failed_in_the_meantime_goes_elsewhere(tmp_path):
    """What was fetched and turns out to have failed is a failed attempt like any other."""
    failed = BackendError("the job failed", transient=None, submitted=True)
    members = [Keeper("a", script=lambda _: failed), Keeper("b")]
    world = World(tmp_path / "j", members, policy=round_robin())
    await world.execute(world.begin(), seconds=1)
    await world.execute(world.take())
    world.assert_right()
    assert members[0].fetched


class Hung(Keeper):
    async def reattach(self, job_id):
        await anyio.sleep_forever()


@pytest.mark.anyio
async def test_a_provider_that_hangs_over_old_jobs_costs_its_deadline(tmp_path):
    """Asking for a job has a deadline, and then it counts as lost."""
    members = [Hung("a"), Keeper("b", seconds=0.1)]
    policy = round_robin(submit_seconds=20.0, retry=RetryPolicy(max_attempts=1))
    world = World(tmp_path / "j", members, policy=policy)
    await world.execute(world.begin(), seconds=0.4)
    world.members[0] = Hung("a", seconds=0.1, jobs=members[0].jobs)
    began = anyio.current_time()
    await world.execute(world.take())
    assert anyio.current_time() - began < 30
    world.assert_right()


@pytest.mark.anyio
async def test_what_failed_on_a_member_goes_there_again_only_when_nobody_else_is_left(tmp_path):
    """A resumed run knows where pieces failed, and is not kept from a member that was mended."""
    broken = BackendError("cannot", transient=False, submitted=True)
    members = [Keeper("a", seconds=0.1, script=lambda _: broken), Keeper("b", seconds=50.0)]
    policy = round_robin(retry=RetryPolicy(max_attempts=1), breaker=BreakerPolicy(failures=10**6))
    world = World(tmp_path / "j", members, policy=policy, sizes=((4, 3),))
    await world.execute(world.begin(), seconds=1)
    sent = len(members[0].jobs)
    assert sent
    world.members[1] = Keeper("b", seconds=0.1, jobs=members[1].jobs)
    await world.execute(world.take())
    world.assert_right()
    assert len(members[0].jobs) == sent

    alone = [Keeper("a", seconds=0.1, script=lambda _: broken)]
    world = World(tmp_path / "k", alone, policy=policy, sizes=((1, 3),))
    await world.execute(world.begin())
    assert "cannot" in str(world.run.ended.given_up[0])
    world.members[0] = Keeper("a", seconds=0.1, jobs=alone[0].jobs)
    await world.execute(world.take())
    world.assert_right()


@pytest.mark.anyio
async def test_money_spent_before_counts(tmp_path):
    """A run that is taken up in a new process has what is left of its budget, and no more."""
    policy = fastest(budget=Budget(usd=0.05), on_failure="partial")
    world = World(tmp_path / "j", [Finder("a")], policy=policy, sizes=((20, 1),))
    await world.execute(world.begin(), lives=8)
    await world.execute(world.take())
    assert len(world.members[0].jobs) == 5
    assert world.run.ended.given_up


@pytest.mark.anyio
async def test_tries_before_the_one_in_flight_count_too(tmp_path):
    """A shard that failed, was sent again and is then fetched has cost two jobs."""
    failed = BackendError("the job failed", transient=None, submitted=True)
    answers = iter([failed])
    policy = fastest(budget=Budget(usd=0.02), on_failure="partial")
    member = Finder("a", Limits(max_in_flight=1), script=lambda _: next(answers, ""))
    world = World(tmp_path / "j", [member], policy=policy, sizes=((1, 3), (1, 2)))
    await world.execute(world.begin(), seconds=8)
    assert len(member.jobs) == 2
    await world.execute(world.take())
    assert len(member.jobs) == 2
    assert world.run.ended.given_up


# -- while the process lives -------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_submission_whose_answer_was_lost_is_looked_for(tmp_path):
    """A provider that can be asked is asked before anything runs twice, journal or not."""
    world = World(tmp_path / "j", fleet_of(Finder, script=lambda _: "lost answer"))
    await world.execute(world.begin())
    world.assert_right()
    world.assert_paid_once(unknown=False)
    assert {one.outcome for one in world.run.record} == {"done"}


class Late(Keeper):
    """A provider that shows a job only some time after it took it."""

    async def find(self, key: str) -> Handle | None:
        for job_id, (batch, _, ready) in self.jobs.items():
            if batch.key == key and anyio.current_time() > ready - self.seconds + 7:
                return Handle(job_id=job_id, job=job_id)
        return None


@pytest.mark.anyio
@pytest.mark.parametrize("on_unknown", ["move", "wait", "fail"])
async def test_what_becomes_of_an_answer_that_stays_lost(tmp_path, on_unknown):
    """It runs elsewhere and may be paid twice, is waited for, or is given up, as the policy says."""
    lost = iter(["lost answer"])
    members = [Late("a", script=lambda _: next(lost, "")), Keeper("b")]
    policy = round_robin(retry=RetryPolicy(on_unknown=on_unknown))
    world = World(tmp_path / "j", members, policy=policy)
    await world.execute(world.begin())
    outcomes = Counter(one.outcome for one in world.run.record)
    assert outcomes["unknown"] == (on_unknown != "wait")
    assert bool(world.run.ended.given_up) == (on_unknown == "fail")
    if on_unknown != "fail":
        world.assert_right()
        world.assert_paid_once(unknown=on_unknown == "move")


# -- replaying ---------------------------------------------------------------------------------------


def test_a_second_job_for_the_same_shots_is_ignored():
    """Should both come back, the first that was written counts, and nothing breaks."""
    world = World(None, [])
    work, result = _plan(list(world.pubs()), world.options)

    def entry(number, shard, value):
        outcome = Keeper("a").outcome(value, Batch(entries=(), shots=6, kept_shots=6))
        attempt = Attempt(
            shard=shard,
            member="a",
            number=number,
            circuits=1,
            shots=6,
            pieces=(Piece(0, 0, 1, 0, 6),),
        )
        return Entry(attempt=attempt, state="arrived", outcomes=(outcome,))

    past = replay([entry(1, 0, 7), entry(1, 1, 8)], work, ["a"], seconds=0.0)

    assert [one.outcome for one in past.attempts] == ["done", "short"]
    assert set(result()[0].data.c[0].get_int_counts()) == {7}
    assert past.done == {"a": (1, 6)}
    assert past.unfinished.next_shard == 2


# -- the whole way, with real backends ---------------------------------------------------------------


def down(backend):
    """Return a backend that takes one job, and then no more."""
    return ScriptedBackend(backend, script=[Runs()], then=Fails(transient=False))


@pytest.mark.parametrize("kind", ["sampler", "estimator"])
def test_a_failed_run_is_completed_on_another_fleet(tmp_path, kind):
    """Only what is missing is run, and the result is that of a run without accidents."""
    angles = np.linspace(0, 3, 6)
    if kind == "sampler":
        circuit = rotated()
        circuit.measure_all()
        primitive, pub, options = RouterSampler, (circuit, angles[:, None]), {"default_shots": 50}
    else:
        primitive, options = RouterEstimator, {"default_precision": 0.1}
        pub = (rotated(), [["ZZ"], ["XX"]], angles.reshape(1, 6, 1))
    options = {**options, "seed_simulator": 3}
    limits = Limits(max_circuits=2, max_in_flight=1)

    def over(backend):
        member = Member(backend, name="it", limits=limits)
        policy = Policy(breaker=BreakerPolicy(max_ejected_share=0))
        return primitive(member, policy=policy, options=options, journal=tmp_path / "j")

    expected = over(BasicSimulator()).run([pub]).result()
    job = over(down(BasicSimulator())).run([pub])
    with pytest.raises(RunError):
        job.result()
    healthy = ScriptedBackend(BasicSimulator())
    resumed = over(healthy).resume(job.job_id())
    found = resumed.result()

    assert resumed.job_id() == job.job_id()
    assert resumed.status() is JobStatus.DONE
    assert found[0].metadata == expected[0].metadata
    for name in expected[0].data:
        one, other = getattr(found[0].data, name), getattr(expected[0].data, name)
        assert one == other if kind == "sampler" else np.array_equal(one, other)
    rerun = sum(len(call.sent) for call in healthy.calls)
    assert rerun == sum(one.circuits for one in resumed.report().attempts[-len(healthy.calls) :])
    assert rerun < sum(one.circuits for one in resumed.report().attempts if one.outcome == "done")


@pytest.mark.parametrize("kind", ["sampler", "estimator"])
def test_kill(tmp_path, kind, request):
    """Killed at random moments over providers that keep their jobs, each run ends as it should."""
    script = Path(__file__).parents[2] / "killing.py"
    times = request.config.getoption("kills")
    done = subprocess.run(  # noqa: S603
        [sys.executable, script, str(tmp_path), str(times), "0", kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == times
    assert all(one["right"] and one["paid_once"] for one in told), told
    assert not any(one.get("unknown_where_it_can_be_asked") for one in told), told
