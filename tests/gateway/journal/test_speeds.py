"""What was learned of speeds lasts longer than a process."""

import sqlite3

import pytest
from small_circuits import zero

from benchmarks.planner import draw_load
from qiskit_gateway import Journal, RouterSampler, simulate
from qiskit_gateway.backends import Fleet, SimulatedMember
from qiskit_gateway.journal.speeds import add_speeds
from qiskit_gateway.journal.storage.schema import APPLICATION, MIGRATIONS
from qiskit_gateway.journal.storage.sqlite_file import SqliteFile
from qiskit_gateway.policies import fastest
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.speed_evidence import SpeedEvidence

WEEK = 7 * 86_400.0


def fleet():
    return Fleet(
        [SimulatedMember("x", job_seconds=0.02), SimulatedMember("y", job_seconds=0.06)],
    )


def evidence(*jobs):
    found = SpeedEvidence()
    for circuits, shots, seconds in jobs:
        found.add(circuits, shots, seconds)
    return found


def written(path, learned, *, now=0.0):
    journal = Journal(path, clock=lambda: now)
    add_speeds(journal._database, learned, now)
    return journal


def test_a_new_fleet_knows_what_the_runs_of_a_journal_have_learned(tmp_path):
    """It is read before the first run, and before a quote, which says where it comes from."""
    first = RouterSampler(fleet(), journal=tmp_path / "j")
    first.run([zero()] * 20, shots=10).result()
    learned = Journal(tmp_path / "j").speeds()

    second = RouterSampler(fleet(), journal=tmp_path / "j")
    quote = second.quote([zero()] * 20)

    assert learned.keys() == {"x", "y"}
    assert [quote[name].estimate.source for name in "xy"] == ["journal", "journal"]
    for name in "xy":
        known = second.fleet.keep(FleetState).of(name).speed
        seen = first.fleet.keep(FleetState).of(name).speed
        assert known.seconds(5, 50) == pytest.approx(seen.seconds(5, 50), rel=1e-3)
    other = RouterSampler(fleet(), journal=tmp_path / "other")
    assert other.quote([zero()])["x"].estimate.source == "guess"


def test_what_several_processes_have_learned_is_added_up(tmp_path):
    """Nobody writes over what others have seen, and jobs that were seen once count once."""
    samplers = [RouterSampler(fleet(), journal=tmp_path / "j") for _ in range(2)]
    jobs = 0
    for sampler in samplers * 2:
        job = sampler.run([zero()] * 10, shots=10)
        job.result()
        jobs += sum(row["jobs"] for row in job.report().members.values())

    assert sum(one.jobs for one in Journal(tmp_path / "j").speeds().values()) == jobs


def test_half_of_it_is_forgotten_in_a_week(tmp_path):
    """It counts half after a week; after half a year it is gone; no step of the clock adds to it."""
    seen = evidence((10, 100, 5.0), (20, 200, 9.0))
    written(tmp_path / "j", {"a": seen}, now=1e9).close()

    def weight(now):
        found = Journal(tmp_path / "j", clock=lambda: now).speeds()
        return found["a"].weight / seen.weight if found else 0.0

    assert weight(1e9) == pytest.approx(1.0)
    assert weight(1e9 + WEEK) == pytest.approx(0.5)
    assert weight(1e9 - 50 * WEEK) == pytest.approx(1.0)
    assert weight(1e9 + 26 * WEEK) == 0.0


def test_what_is_newer_comes_on_top(tmp_path):
    """What is added later counts whole, beside what is left of what was there."""
    path = tmp_path / "j"
    written(path, {"a": evidence((10, 100, 5.0))}, now=0.0).close()
    journal = written(path, {"a": evidence((10, 100, 50.0))}, now=WEEK)

    found = journal.speeds()["a"]

    assert found.jobs == 2
    assert found.weight == pytest.approx(1 + 0.5 * 0.95)
    assert found.targets[0] == pytest.approx(50 + 0.5 * 0.95 * 5)


def test_a_journal_of_an_earlier_version_learns_too(tmp_path):
    """It has no table for speeds, and gets one when it is opened."""
    without = MIGRATIONS[: next(n for n, one in enumerate(MIGRATIONS) if "TABLE speeds" in one)]
    SqliteFile(tmp_path / "j", application=APPLICATION, migrations=without).close()

    assert Journal(tmp_path / "j").speeds() == {}
    RouterSampler(fleet(), journal=tmp_path / "j").run([zero()], shots=9).result()
    assert Journal(tmp_path / "j").speeds()


def test_what_cannot_be_read_is_told_and_written_over(tmp_path):
    """A damaged record is an error for whoever reads it, and does not keep a run from its end."""
    sampler = RouterSampler(fleet(), journal=tmp_path / "j")
    sampler.run([zero()], shots=9).result()
    with sqlite3.connect(tmp_path / "j") as connection:
        connection.execute("UPDATE speeds SET sums = '[1, 2]'")
    connection.close()

    with pytest.raises(Exception, match="speeds cannot be read"):
        RouterSampler(fleet(), journal=tmp_path / "j").run([zero()])
    sampler.run([zero()] * 9, shots=9).result()
    assert Journal(tmp_path / "j").speeds()


@pytest.mark.parametrize("kind", ["rows", "shots"])
@pytest.mark.parametrize("seed", [8])
def test_a_second_process_is_as_fast_as_one_that_saw_the_jobs_itself(tmp_path, kind, seed):
    """Over drawn fleets its first run takes at most 1.3 times what a later one of the first takes."""
    load = draw_load(seed, kind)
    policy = fastest(spread="shots" if kind == "shots" else "rows")

    def simulated(fleet):
        return simulate(fleet, load.pubs(), policy=policy, shots=load.shots, seed=seed)

    def fresh_fleet():
        return Fleet(load.members(told=False, failing=False))

    warm, anew = fresh_fleet(), fresh_fleet()
    for job in simulated(warm).shards:
        speed = warm.keep(FleetState).of(job.member).speed
        seconds = job.finished_seconds - job.started_seconds
        speed.observe(job.circuits, job.circuits * job.shots, seconds)
    known = simulated(warm).makespan_seconds
    states = warm.keep(FleetState).members
    written(tmp_path / "j", {name: one.speed.take_fresh() for name, one in states.items()}).close()
    journal = Journal(tmp_path / "j", clock=lambda: 0.0)
    RouterSampler(anew, journal=journal).quote([zero()])  # Reads it.

    assert simulated(anew).makespan_seconds <= 1.3 * known
    assert known <= 1.1 * load.bound()
