"""Observers are told all that happens in a run, in order, and never hold it up."""

import copy
import logging
import os
import pickle
import threading
import warnings

import pytest
from qiskit.providers.basic_provider import BasicSimulator
from small_circuits import ones

from qiskit_gateway import RouterSampler, run_events, simulate
from qiskit_gateway.backends import Fleet, Limits, Mailbox, Member, Pricing, SimulatedMember
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import BreakerPolicy, Policy, RetryPolicy

ONE = Limits(max_circuits=1, max_in_flight=1)
QUICK = RetryPolicy(wait_initial_seconds=0.01)


class Recorder:
    """Keeps what it is told."""

    def __init__(self):
        self.events = []

    def on_event(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def run(members, recorder, *, circuits=3, policy=None, observers=()):
    """Run circuits over members, and wait until observers were told."""
    fleet = Fleet(members, observers=[recorder, *observers])
    job = RouterSampler(fleet, policy=policy).run([ones()] * circuits, shots=10)
    job.result(timeout=60)
    assert fleet.mailboxes[0].flush(10)
    return job


def test_a_run_is_told_from_plan_to_end():
    """Each job is paid for, submitted, accepted, finished and settled, in this order."""
    recorder = Recorder()
    member = Member(BasicSimulator(), name="a", limits=ONE, pricing=Pricing(per_job=0.5))

    job = run([member], recorder)

    assert {event.job_id for event in recorder.events} == {job.job_id()}
    assert [event.seconds for event in recorder.events] == sorted(
        event.seconds for event in recorder.events
    )
    assert recorder.events[0] == run_events.RunPlanned(
        job_id=job.job_id(),
        seconds=recorder.events[0].seconds,
        circuits=3,
        shots=30,
        members=1,
        settled=False,
    )
    for shard in range(3):
        kinds = [type(e) for e in recorder.of(run_events.ShardEvent) if e.shard == shard]
        assert kinds == [
            run_events.MoneyReserved,
            run_events.ShardSubmitted,
            run_events.ShardAccepted,
            run_events.MoneySettled,
            run_events.ShardFinished,
        ]
    assert sum(event.usd for event in recorder.of(run_events.MoneySettled)) == pytest.approx(1.5)
    assert sum(event.circuit_shots for event in recorder.of(run_events.ShardFinished)) == 30
    (end,) = recorder.of(run_events.RunFinished)
    assert (end.attempts, end.members, end.given_up) == (3, 1, 0)
    assert end.price_usd == pytest.approx(1.5)
    assert recorder.events[-1] is end


def test_failures_moves_and_ejections_are_told():
    """A member that fails is ejected, and its work told to move, with the reasons."""
    recorder = Recorder()
    broken = ScriptedBackend(BasicSimulator(), then=Fails())
    members = [Member(broken, name="broken", limits=ONE), Member(BasicSimulator(), name="well")]
    policy = Policy(breaker=BreakerPolicy(submit_errors=1))

    run(members, recorder, circuits=2, policy=policy)

    assert {event.member for event in recorder.of(run_events.ShardFailed)} == {"broken"}
    assert all("refused" in event.reason for event in recorder.of(run_events.ShardFailed))
    (ejected, *_) = recorder.of(run_events.MemberEjected)
    assert ejected.member == "broken"
    assert ejected.wait_seconds > 0
    assert {(event.member, event.from_members) for event in recorder.of(run_events.ShardMoved)} == {
        ("well", ("broken",))
    }


def test_a_try_that_is_repeated_is_told():
    """Where nobody else can take it the same member is tried again, after the wait that is told."""
    recorder = Recorder()
    fails = ScriptedBackend(BasicSimulator(), [Fails()])

    run([Member(fails, name="a")], recorder, circuits=1, policy=Policy(retry=QUICK))

    (retried,) = recorder.of(run_events.ShardRetried)
    assert (retried.member, retried.attempt) == ("a", 1)
    assert 0 <= retried.wait_seconds <= 0.01
    assert [event.attempt for event in recorder.of(run_events.ShardSubmitted)] == [1, 2]


def test_queues_that_are_read_are_told():
    """A reading of a queue is an event of the run that asked for it."""
    recorder = Recorder()
    run([SimulatedMember("a", queue_seconds=0.01)], recorder, circuits=1)

    (read, *_) = recorder.of(run_events.QueueRead)
    assert (read.member, read.wait_seconds) == ("a", 0.01)


class Broken:
    """Raises whatever it is told."""

    def __init__(self, error):
        self.error, self.told = error, 0

    def __repr__(self):
        return "Broken()"

    def on_event(self, event):
        self.told += 1
        raise self.error


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_an_observer_that_raises_is_reported_once_and_goes_on_being_told(error, caplog):
    """Whatever it raises, runs and other observers do not notice."""
    recorder, broken = Recorder(), Broken(error)
    with caplog.at_level(logging.WARNING, logger="qiskit_gateway"):
        fleet = Fleet([BasicSimulator()], observers=[broken, recorder])
        RouterSampler(fleet).run([ones()], shots=10).result(timeout=60)
        assert fleet.flush_observers()

    assert broken.told == len(recorder.events) > 1
    assert sum("observer Broken() raised" in message for message in caplog.messages) == 1


def test_an_observer_that_hangs_holds_up_nobody():
    """The run ends, others are told, and the observer gets all once it goes on."""
    recorder, goes_on = Recorder(), threading.Event()

    class Hangs(Recorder):
        def on_event(self, event):
            goes_on.wait(60)
            super().on_event(event)

    slow = Hangs()
    fleet = Fleet([BasicSimulator()], observers=[slow, recorder])
    RouterSampler(fleet).run([ones()], shots=10).result(timeout=60)

    assert fleet.mailboxes[1].flush(10)
    assert recorder.of(run_events.RunFinished)
    assert slow.events == []
    goes_on.set()
    assert fleet.flush_observers()
    assert slow.events == recorder.events


def test_what_is_too_much_for_a_slow_observer_is_dropped_and_said(caplog):
    """What waits already is kept, in order; what comes while the mailbox is full is counted."""
    has_one, goes_on = threading.Event(), threading.Event()

    class Slow(Recorder):
        def on_event(self, event):
            has_one.set()
            goes_on.wait(60)
            super().on_event(event)

    mailbox = Mailbox(Slow(), size=3)
    with caplog.at_level(logging.WARNING, logger="qiskit_gateway"):
        mailbox.post(0)
        assert has_one.wait(60)
        for number in range(1, 10):
            mailbox.post(number)
    goes_on.set()

    assert mailbox.flush(10)
    assert mailbox.observer.events == [0, 1, 2, 3]
    assert mailbox.dropped == 6
    assert any("is slow: 1 events dropped" in message for message in caplog.messages)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda box: pickle.loads(pickle.dumps(box))])  # noqa: S301
def test_a_copy_of_a_mailbox_works_by_itself(again):
    """A fleet that is sent to another process tells the observer's copy there."""
    mailbox = Mailbox(Recorder())
    mailbox.post(1)
    other = again(mailbox)
    other.post(2)

    assert mailbox.flush(10)
    assert other.flush(10)
    assert (mailbox.observer.events, other.observer.events[-1:]) == ([1], [2])


@pytest.mark.parametrize("given", [5, object(), Recorder])
def test_what_is_no_observer_is_told(given):
    """An object without ``on_event``, or the class in place of an instance, is refused at once."""
    with pytest.raises(TypeError, match="on_event"):
        Fleet([BasicSimulator()], observers=[given])


def test_quotes_and_simulations_tell_nobody():
    """What is only tried out is no event."""
    recorder = Recorder()
    fleet = Fleet([SimulatedMember("a")], observers=[recorder])
    RouterSampler(fleet).quote([ones()])
    simulate(fleet, [ones()])

    assert fleet.flush_observers()
    assert recorder.events == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_tells_its_own_events_and_ends_at_once():
    """The thread stays with the parent: the child starts another, and waits for nothing else's."""
    blocked = threading.Event()

    class Waits(Recorder):
        def on_event(self, event):
            if event == "parent":
                blocked.wait(60)
            super().on_event(event)

    mailbox = Mailbox(Waits())
    mailbox.post("parent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of forks beside threads, from 3.12.
        child = os.fork()
    if not child:
        mailbox.post("child")
        told = mailbox.flush(10) and mailbox.observer.events == ["child"]
        os._exit(0 if told else 1)
    _, status = os.waitpid(child, 0)
    blocked.set()

    assert os.waitstatus_to_exitcode(status) == 0
    assert mailbox.flush(10)
    assert mailbox.observer.events == ["parent"]
