"""The same work on every member: results by member, one report, and what a failure leaves."""

import io
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Event

import anyio
import numpy as np
import pytest
import trio
from group_runs import NAMES, is_right, sampler_over
from killing import ROWS, jobs_in
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.providers import JobStatus
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from small_circuits import bell

from qiskit_gateway import (
    GroupResult,
    Journal,
    JournalError,
    PlanError,
    RouterEstimator,
    RouterSampler,
    RunError,
)
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.backends.scripted import Fails, Hangs, Runs, ScriptedBackend
from qiskit_gateway.journal import journal as journal_module
from qiskit_gateway.policies import Budget, Tagged, cheapest, failover, fastest
from qiskit_gateway.work.record import run_events

PATIENCE = 30.0


def turned(rows=3):
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("angle"), 0)
    circuit.measure_all()
    return circuit, np.pi * (np.arange(rows) % 2)[:, None]


def two(**options):
    return Fleet([Member(BasicSimulator(), name=name, **options) for name in ("north", "south")])


def is_turned(pub, shots):
    rows = pub.data.meas
    found = [rows.get_counts(row) for row in range(rows.shape[0])]
    return found == [{str(row % 2): shots} for row in range(rows.shape[0])]


# -- results -----------------------------------------------------------------------------------


def test_each_member_does_all_of_the_work():
    """Every member has every shot of every row, under a policy that would use one of them."""
    fleet = two(limits=Limits(max_circuits=2))
    sampler = RouterSampler(fleet, policy=failover("south", "north"))
    group = sampler.run_on_each([turned(), (*turned(5), 30)], shots=20)
    result = group.result(PATIENCE)
    assert list(result) == ["north", "south"]
    assert result.errors == {}
    for found in result.values():
        assert found.metadata == {"version": 2}
        assert is_turned(found[0], 20)
        assert is_turned(found[1], 30)
    report = group.report()
    assert report.job_id == group.job_id()
    assert {name: row["shots"] for name, row in report.members.items()} == dict.fromkeys(
        ("north", "south"), 3 * 20 + 5 * 30
    )
    assert group.status() == JobStatus.DONE
    assert group.done()
    progress = group.progress()
    assert (progress.shots, progress.shots_done) == (420, 420)
    assert progress.circuits_done == progress.circuits == 16
    assert progress.members["south"].shots_done == 210


def test_the_estimator_does_likewise():
    """Expectation values by member, each with the shots of the precision."""
    circuit = QuantumCircuit(2)
    circuit.x(0)
    group = RouterEstimator(two()).run_on_each([(circuit, ["IZ", "ZI", "ZZ"])], precision=0.1)
    result = group.result(PATIENCE)
    assert {name: found[0].data.evs.tolist() for name, found in result.items()} == {
        "north": [-1, 1, -1],
        "south": [-1, 1, -1],
    }
    assert {found[0].metadata["shots"] for found in result.values()} == {100}


def test_with_a_seed_a_member_gives_what_it_gives_alone():
    """Who else is in the fleet changes nothing of what a member samples."""
    options = {"seed_simulator": 5}
    fleet = Fleet(
        [Member(GenericBackendV2(3, seed=1), name="a"), Member(BasicSimulator(), name="b")]
    )
    found = RouterSampler(fleet, options=options).run_on_each([bell()]).result(PATIENCE)
    for name in fleet.names:
        alone = RouterSampler(fleet.part([name]), options=options).run([bell()]).result(PATIENCE)
        assert np.array_equal(alone[0].data.meas.array, found[name][0].data.meas.array)


# -- failures ----------------------------------------------------------------------------------


def test_a_member_that_fails_takes_nothing_from_the_others():
    """Its error is kept with what it did; one that takes nothing says why; the rest is whole."""
    dies = ScriptedBackend(BasicSimulator(), [Runs()], then=Fails(transient=False))
    fleet = Fleet(
        [
            Member(dies, name="dies", limits=Limits(max_circuits=2, max_in_flight=1)),
            Member(BasicSimulator(), name="well", pricing=Pricing(per_job=0.5)),
            Member(BasicSimulator(), name="narrow", limits=Limits(num_qubits=1)),
        ]
    )
    wide = QuantumCircuit(2)
    wide.measure_all()
    group = RouterSampler(fleet).run_on_each([turned(5), wide], shots=10)
    result = group.result(PATIENCE)
    assert isinstance(result, GroupResult)
    assert list(result) == ["well"]
    assert is_turned(result["well"][0], 10)
    assert result.errors.keys() == {"dies", "narrow"}
    assert isinstance(result.errors["narrow"], PlanError)
    lost = result.errors["dies"]
    assert isinstance(lost, RunError)
    received = lost.partial_result[0].metadata["received_shots"]
    assert sorted(np.ravel(received).tolist()) == [0, 0, 0, 10, 10]
    with pytest.raises(KeyError, match=r"'dies' has no result: .*not done"):
        result["dies"]
    assert result.get("dies") is None
    with pytest.raises(KeyError, match="nobody"):
        result["nobody"]
    assert group.status() == JobStatus.ERROR
    partial = group.partial_result()
    assert partial.keys() == {"dies", "well", "narrow"}
    assert is_turned(partial["well"][0], 10)
    report = group.report()
    assert report.members["well"]["price_usd"] == 0.5
    assert {one.why.partition(":")[0] for one in report.given_up} >= {"dies"}
    assert sum(note.startswith("narrow: nothing was sent") for note in report.notes) == 1
    assert "dies: " in str(report)


def test_a_member_that_the_policy_refuses_is_told():
    """The filters of the policy hold for each member."""
    fleet = Fleet(
        [
            Member(BasicSimulator(), name="a", tags={"qpu"}),
            Member(BasicSimulator(), name="b"),
        ]
    )
    policy = fastest(where=Tagged("qpu"))
    result = RouterSampler(fleet, policy=policy).run_on_each([bell()], shots=5).result(PATIENCE)
    assert list(result) == ["a"]
    assert isinstance(result.errors["b"], PlanError)


def test_bad_input_is_told_before_anything_is_sent():
    """No member has a job of a PUB that is none."""
    backend = ScriptedBackend(BasicSimulator(), [])
    sampler = RouterSampler(Member(backend))
    with pytest.raises(ValueError, match="parameter"):
        sampler.run_on_each([turned()[0]])
    assert not backend.calls


# -- the fleet's -------------------------------------------------------------------------------


def test_runs_share_limits_and_observers_of_the_fleet():
    """A member's slots are those of the whole fleet: nothing is sent while another run has them."""
    gate = Event()

    class Seen:
        def __init__(self):
            self.jobs = set()

        def on_event(self, event):
            if isinstance(event, run_events.RunFinished):
                self.jobs.add(event.job_id)

    class Slow(BasicSimulator):
        def run(self, run_input, **options):
            assert gate.wait(PATIENCE)
            return super().run(run_input, **options)

    seen = Seen()
    fleet = Fleet(
        [
            Member(Slow(), name="slow", limits=Limits(max_in_flight=1)),
            Member(BasicSimulator(), name="quick"),
        ],
        observers=[seen],
    )
    sampler = RouterSampler(fleet)
    first = RouterSampler(fleet.part(["slow"])).run([bell()], shots=5)
    group = sampler.run_on_each([bell()], shots=5)
    assert group.jobs["quick"].result(PATIENCE)
    assert not group.jobs["slow"].report().attempts
    assert group.running()
    with pytest.raises(TimeoutError):
        group.result(timeout=0.01)
    gate.set()
    assert set(group.result(PATIENCE)) == {"slow", "quick"}
    first.result(PATIENCE)
    assert fleet.flush_observers()
    assert seen.jobs == {first.job_id(), *(job.job_id() for job in group.jobs.values())}


def test_a_budget_counts_all_of_them():
    """Two members at 1 USD each do not both fit into 1.50."""
    fleet = two(pricing=Pricing(per_job=1.0))
    sampler = RouterSampler(fleet, policy=cheapest(budget=Budget(usd=1.5)))
    result = sampler.run_on_each([bell()], shots=5).result(PATIENCE)
    assert len(result) == len(result.errors) == 1
    assert "1.5" in str(next(iter(result.errors.values())))


def test_parts_of_a_fleet():
    """They have the members by name, and an unknown name is told."""
    fleet = two()
    assert fleet.part(["south"]).names == ("south",)
    assert fleet.part(["south"])["south"] is fleet["south"]
    with pytest.raises(KeyError, match="no member 'west'; there are north, south"):
        fleet.part(["west"])
    with pytest.raises(ValueError, match="no names"):
        fleet.part([])


# -- the handle --------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [anyio.run, trio.run])
def test_awaiting(run):
    """On any event loop, and errors do not come out of it."""
    dead = ScriptedBackend(BasicSimulator(), [], then=Fails(transient=False))

    async def main():
        fleet = Fleet([Member(dead, name="dead"), Member(BasicSimulator(), name="well")])
        return await RouterSampler(fleet).run_on_each([bell()], shots=7)

    result = run(main)
    assert list(result) == ["well"]
    assert list(result.errors) == ["dead"]


def test_cancelling_ends_all():
    """What hangs is cancelled, what is done stays."""
    hangs = ScriptedBackend(BasicSimulator(), [], then=Hangs())
    fleet = Fleet([Member(hangs, name="hangs"), Member(BasicSimulator(), name="well")])
    group = RouterSampler(fleet).run_on_each([bell()], shots=7)
    group.jobs["well"].result(PATIENCE)
    assert not group.in_final_state()
    assert group.cancel()
    result = group.result(PATIENCE)
    assert list(result) == ["well"]
    assert "cancelled" in str(result.errors["hangs"])
    assert group.cancelled()
    assert not group.cancel()
    hangs.release()


def test_a_group_that_is_over_can_be_pickled():
    """Results, errors, report and state are those it had."""
    dead = ScriptedBackend(BasicSimulator(), [], then=Fails(transient=False))
    fleet = Fleet([Member(dead, name="dead"), Member(BasicSimulator(), name="well")])
    group = RouterSampler(fleet).run_on_each([bell()], shots=7)
    again = pickle.loads(pickle.dumps(group))  # noqa: S301
    assert again.job_id() == group.job_id()
    assert str(again.report()) == str(group.report())
    assert again.status() == JobStatus.ERROR
    before, after = group.result(), again.result()
    assert after["well"][0].data.meas.get_counts() == before["well"][0].data.meas.get_counts()
    assert str(after.errors["dead"]) == str(before.errors["dead"])


def test_watching_a_group():
    """Lines tell of all members, to the end."""
    group = RouterSampler(two()).run_on_each([bell()], shots=7)
    lines = io.StringIO()
    group.watch(file=lines)
    last = lines.getvalue().splitlines()[-1]
    assert last.startswith("100% | 2 of 2 circuits")
    assert "north: 1 done" in last
    assert "south: 1 done" in last
    group.watch(file=(late := io.StringIO()))
    assert late.getvalue().splitlines() == [last]
    RouterSampler(two()).run_on_each([bell()], shots=7, progress=True).result(PATIENCE)


# -- the journal -------------------------------------------------------------------------------


def test_the_journal_knows_groups(tmp_path):
    """Each run has its member and its group; a group has one report; others have neither."""
    journal = Journal(tmp_path / "j")
    sampler = RouterSampler(two(), journal=journal)
    group = sampler.run_on_each([turned()], shots=9)
    group.result(PATIENCE)
    alone = sampler.run([turned()], shots=9)
    alone.result(PATIENCE)
    runs = {run.job_id: (run.group_id, run.member) for run in journal.runs()}
    assert runs == {
        **{job.job_id(): (group.job_id(), name) for name, job in group.jobs.items()},
        alone.job_id(): (None, None),
    }
    report = journal.report(group.job_id())
    assert report.job_id == group.job_id()
    assert {name: row["shots"] for name, row in report.members.items()} == {
        "north": 27,
        "south": 27,
    }
    assert set(report.notes) == {
        "north: done: 27 of 27 shots have arrived",
        "south: done: 27 of 27 shots have arrived",
    }
    again = sampler.resume_on_each(group.job_id()).result(PATIENCE)
    assert all(is_turned(again[name][0], 9) for name in ("north", "south"))
    assert journal.report(group.job_id()).members["north"]["jobs"] == 1


def test_a_group_goes_on_after_a_kill(tmp_path):
    """Its runs are taken up together, each on its own member, and nothing is sent twice."""
    script = Path(__file__).parents[2] / "group_runs.py"
    done = subprocess.run(  # noqa: S603
        [sys.executable, script, tmp_path],
        env=os.environ | {"PYTHONPATH": str(script.parent)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    group_id = done.stdout.strip()
    assert len(jobs_in(tmp_path)) < len(NAMES) * ROWS / 3
    with pytest.raises(JournalError, match=r"for the member 'second' alone.*there are first"):
        sampler_over(tmp_path, NAMES[:1]).resume_on_each(group_id)
    group = sampler_over(tmp_path).resume_on_each(group_id)
    result = group.result(PATIENCE)
    assert list(result) == list(NAMES)
    assert all(map(is_right, result.values()))
    for name in NAMES:
        files = (tmp_path / name).glob("*.json")
        rows = sorted(row for file in files for row in json.loads(file.read_text())["values"])
        assert rows == list(range(ROWS))
        assert {one.member for one in group.jobs[name].report().attempts} == {name}


def test_one_run_of_a_group_goes_on_where_it_belongs(tmp_path):
    """Taken up by itself it is still that of its member, whatever the policy prefers."""
    sampler = RouterSampler(two(), policy=failover("north", "south"), journal=tmp_path / "j")
    group = sampler.run_on_each([turned()], shots=9)
    group.result(PATIENCE)
    job_id = group.jobs["south"].job_id()
    with sqlite3.connect(tmp_path / "j") as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM attempts WHERE job_id = ?", (job_id,))
    connection.close()
    job = sampler.resume(job_id)
    assert is_turned(job.result(PATIENCE)[0], 9)
    assert {one.member for one in job.report().attempts} == {"south"}


def test_a_group_that_goes_on_is_not_taken(tmp_path):
    """Nor any part of it: those that were free are free again."""
    hangs = ScriptedBackend(BasicSimulator(), [], then=Hangs())
    fleet = Fleet([Member(BasicSimulator(), name="well"), Member(hangs, name="hangs")])
    journal = Journal(tmp_path / "j")
    sampler = RouterSampler(fleet, journal=journal)
    group = sampler.run_on_each([bell()], shots=7)
    group.jobs["well"].result(PATIENCE)
    with pytest.raises(JournalError, match="goes on in process"):
        sampler.resume_on_each(group.job_id())
    held = {run.member: run.held for run in journal.runs()}
    assert held == {"well": False, "hangs": True}
    group.cancel()
    group.result(PATIENCE)
    hangs.release()


def test_what_cannot_be_resumed_is_told(tmp_path):
    """No journal, no such group, or one of another kind."""
    with pytest.raises(JournalError, match="no journal to resume from"):
        RouterSampler(two()).resume_on_each("x")
    sampler = RouterSampler(two(), journal=tmp_path / "j")
    with pytest.raises(JournalError, match="there is no group 'x'"):
        sampler.resume_on_each("x")
    group = sampler.run_on_each([bell()], shots=7)
    group.result(PATIENCE)
    with pytest.raises(JournalError, match="is of a sampler: resume it with one"):
        RouterEstimator(two(), journal=tmp_path / "j").resume_on_each(group.job_id())


def test_a_group_that_cannot_be_written_down_is_not_begun(tmp_path):
    """Neither in part nor at all."""
    backend = ScriptedBackend(BasicSimulator(), [])
    fleet = Fleet([Member(backend, name="a"), Member(BasicSimulator(), name="b")])
    sampler = RouterSampler(fleet, journal=tmp_path / "j", options={"run_options": {"token": "x"}})
    with pytest.raises(JournalError, match="secret"):
        sampler.run_on_each([bell()])
    assert Journal(tmp_path / "j").runs() == ()
    assert not backend.calls


def test_a_journal_of_before_groups_is_read(tmp_path, monkeypatch):
    """Its runs belong to no group, and are resumed as ever."""
    monkeypatch.setattr(journal_module, "MIGRATIONS", journal_module.MIGRATIONS[:-1])
    old = Journal(tmp_path / "j")
    ((before,),) = old._database.query("PRAGMA user_version")
    old.close()
    monkeypatch.undo()
    new = Journal(tmp_path / "j")
    ((after,),) = new._database.query("PRAGMA user_version")
    assert after == before + 1
    job = RouterSampler(two(), journal=new).run([bell()], shots=7)
    job.result(PATIENCE)
    assert [(run.group_id, run.member) for run in new.runs()] == [(None, None)]
