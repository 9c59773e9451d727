"""The async shell: it performs the scheduler's instructions and feeds back what happened.

One task group per run. All decisions are the scheduler's; all that is here is starting attempts,
keeping time, and noting what happened. Works on asyncio and trio, and on a virtual clock.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import anyio
from anyio.abc import TaskGroup

from qiskit_gateway.backends.adapter.threads import call_in_thread
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.reporting.progress import Progress, Standing, sum_up_progress
from qiskit_gateway.runtime.alarms import Alarm, Alarms, Stopwatch
from qiskit_gateway.runtime.attempts import Attempts
from qiskit_gateway.runtime.event_loop import contain
from qiskit_gateway.runtime.job_terms import JobTerms, is_local
from qiskit_gateway.runtime.notifications.announcements import (
    announce_failed_recall,
    announce_health,
    announce_move,
    announce_plan,
    announce_run_end,
    announce_shard_end,
    count_delivered,
)
from qiskit_gateway.runtime.notifications.logs import Log, logger_for
from qiskit_gateway.runtime.notifications.notify import Notifier, Posting
from qiskit_gateway.runtime.notifications.own_code import Decisions
from qiskit_gateway.runtime.onlookers import Onlookers
from qiskit_gateway.runtime.queue_watch import (
    FIRST_READING_SECONDS,
    Queues,
    look_seconds,
    watch_job,
)
from qiskit_gateway.runtime.recorder import InThread, Loss, Recorder
from qiskit_gateway.runtime.rivals import Rivals
from qiskit_gateway.runtime.sightings import Found, Sightings
from qiskit_gateway.runtime.survey import (
    Questions,
    look_up_shot_seconds,
    profile_of,
    questions_of,
    survey_tasks,
)
from qiskit_gateway.scheduling.events import (
    Cancel,
    Close,
    Command,
    Done,
    Event,
    Fetch,
    FleetDown,
    MemberEjected,
    MemberRecovered,
    Recall,
    ShardFinished,
    ShardQueued,
    ShardStarted,
    Solve,
    Solved,
    Stop,
    Submit,
    Tick,
    WakeAt,
    Watch,
)
from qiskit_gateway.scheduling.members.fair_queue import Listener
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.scheduling.run_state import RunView
from qiskit_gateway.scheduling.scheduler import Scheduler
from qiskit_gateway.work.record import run_events as happened
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.record.run_log import NO_RUN_LOG, RunLog
from qiskit_gateway.work.record.run_status import RunStatus
from qiskit_gateway.work.speed_estimate import SpeedEstimate
from qiskit_gateway.work.tasks import Shard
from qiskit_gateway.work.workload import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The dice, the log, the time of day and the threads of a run.

    Attributes:
        draw: Draws the jitter of retries: numbers in [0, 1).
        log: Where events are written; by default where the application's are.
        in_thread: Does work that would hold up the event loop. A clock that jumps must have no
            threads: it would run away meanwhile.
        clock: Tells the time in seconds since a midnight in UTC that is the same for all runs.
        stopwatch: Measures how long a decision takes: in seconds of this machine, also where the
            clock of the event loop jumps.
    """

    draw: Callable[[], float] = random.random
    log: Log | None = None
    in_thread: InThread = call_in_thread
    clock: Callable[[], float] = time.time
    stopwatch: Callable[[], float] = time.perf_counter


REAL = Environment()
"""For runs that are no simulations."""


class Run:
    """One run over a fleet.

    Args:
        job_id: Its name.
        fleet: Where.
        policy: The rules.
        work: What to do.
        run_log: Where it is written down, and what was done of it before.
        environment: What it takes from outside; a simulation brings its own.
    """

    def __init__(  # noqa: PLR0913  What, where, by which rules, and the world outside.
        self,
        job_id: str,
        fleet: Fleet,
        policy: Policy,
        work: Work,
        *,
        run_log: RunLog = NO_RUN_LOG,
        environment: Environment = REAL,
    ) -> None:
        self.job_id = job_id
        self.work = work
        self.record: list[Attempt] = list(run_log.past.attempts)
        self.ended: Done | None = None
        self.cancelled = False  # By way of the run log.
        self._time = Stopwatch()
        self._ended_at: float | None = None
        self._fleet = fleet
        self._policy = policy
        self._fleet_state = fleet.keep(FleetState)
        self._notifier = Notifier(
            job_id=job_id,
            seconds=self._time.seconds,
            log=environment.log or logger_for(job_id),
            mailboxes=[*fleet.mailboxes],
        )
        self._terms = JobTerms(
            fleet=fleet, policy=policy, fleet_state=self._fleet_state, clock=environment.clock
        )
        self._queues = Queues(
            fleet=fleet,
            fleet_state=self._fleet_state,
            interval_seconds=policy.queue_seconds,
            notifier=self._notifier,
        )
        self._sightings = Sightings(
            fleet=fleet,
            run_log=run_log,
            queues=self._queues if work.seed is None else None,
            tell=lambda event: self.tell(event, freed=event.member),
        )
        self._scheduler: Scheduler | None = None
        self._asked: Mapping[str, Questions] = {}
        self._surveying: anyio.CancelScope | None = None
        self._stop_reason = ""
        self._was_stopped = False
        self._environment = environment
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._alarm: Alarm | None = None
        self._listens = self._told_held_up = False
        self._wake = math.inf
        self._run_log = run_log
        self._lost: Loss | None = None
        self._recorder = self._make_recorder()
        if run_log.lasting:
            self._notifier.mailboxes.append(self._recorder)
        self._shots_done: dict[str, list[int]] = {
            name: list(done) for name, done in run_log.past.done.items() if name in fleet
        }

    def _make_recorder(self) -> Recorder:
        return Recorder(
            run_log=self._run_log,
            merge=self.work.write,
            seconds=self._time.seconds,
            notifier=self._notifier,
            in_thread=self._environment.in_thread,
            in_flight=self._scopes.__len__,
            lose=self._lose,
            goes_on=self._run_log.lasting
            and any(self._terms.read_lasting(one).claims_nothing for one in self._fleet),
        )

    async def execute(self) -> Done:
        """Do the work, and return what was given up. Once only."""
        try:
            return await self._execute()
        finally:
            self._let_go()

    async def _execute(self) -> Done:
        entered = self._entered = self._time.now()
        self._time.began = entered - self._run_log.past.seconds
        self._over = anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                self._group: TaskGroup = group
                self._onlookers = Onlookers(group)
                self._alarms = Alarms(self._onlookers)
                self._time.now = self._alarms.now
                self._recorder.start(self._onlookers, self._alarms)
                self._found: list[Found] = await self._sightings.look()
                self._queues.watch(self._onlookers)
                self._asked = questions_of(self._fleet, self._policy)
                if self._asked or self._reads_queues:
                    group.start_soon(contain, self._survey, entered)
                else:
                    self._start(entered)
                await self._alarms.ring_until(self._over)
                self._onlookers.dismiss()
        finally:
            self.tell(Close())
            self._ended_at = self._time.now()
            await self._close()
        assert self.ended is not None  # noqa: S101
        announce_run_end(
            self._notifier,
            self.ended,
            self.record,
            stopped=bool(self._stop_reason),
            quiet=self._was_stopped,
        )
        return self.ended

    def _let_go(self) -> None:
        """Let go of all that knows the run, and is of no use once it is over.

        So it goes with its job, and its arrays with it, not when Python next looks for cycles.
        """
        self._notifier.mailboxes.clear()
        self._recorder.lose = _take_no_notice
        self._alarms.clear()
        for helper in ("_sightings", "_alarms", "_alarm", "_attempts", "_rivals"):
            vars(self).pop(helper, None)

    @property
    def _reads_queues(self) -> bool:
        # With a seed nothing that depends on the time is looked at.
        return self.work.seed is None and self._queues.due and self._policy.looks_at_queues

    async def _survey(self, entered: float) -> None:
        """Find out what the circuits are on each member and how long queues are, and begin then."""
        patience = self._policy.deadline_seconds
        with anyio.CancelScope() as self._surveying:
            if self._stop_reason:  # It was stopped before this began.
                self._surveying.cancel()
            if patience is not None:
                self._surveying.deadline = entered + patience
            tasks = await survey_tasks(self.work, self._fleet, self._policy, self._asked)
            self.work = replace(self.work, tasks=tasks)
            if self._reads_queues:
                await self._queues.await_first_readings(entered + FIRST_READING_SECONDS)
        if self._surveying.cancelled_caught and not self._stop_reason:
            self._stop_reason = f"the deadline of {patience:g} s is over"
        self._start(entered)

    def _plan(self) -> Scheduler:
        announce_plan(self._notifier, self.work, len(self._fleet))
        budget = self._policy.budget
        facts = {"members": self._fleet.names, "budget": None if budget is None else asdict(budget)}
        self._recorder.stand("plan", "", facts)
        return Scheduler(
            self.work.tasks,
            [
                profile_of(member, order, shot_seconds=self._look_up_shot_seconds(member))
                for order, member in enumerate(self._fleet)
            ],
            self._policy,
            fleet_state=self._fleet_state,
            settled=self.work.seed is not None,
            unfinished=self._run_log.past.unfinished,
        )

    def _look_up_shot_seconds(self, member: FleetMember) -> float | None:
        """Look up what a shot of the run takes on a member, by what was compiled there before."""
        if self.work.seed is None:
            wanted = not self._fleet_state.of(member.name).speed.jobs
        else:
            # What happens to have been compiled before must not decide, only what this run asked for.
            wanted = member.name in self._asked
        return look_up_shot_seconds(member, self.work) if wanted else None

    def _start(self, entered: float) -> None:
        self._decisions = Decisions(
            self._fleet,
            self._policy,
            self._notifier,
            stopwatch=self._environment.stopwatch,
        )
        self._scheduler = self._plan()
        self._attempts = Attempts(
            policy=self._policy,
            door=self,
            recorder=self._recorder,
            terms=self._terms,
            draw=self._environment.draw,
            notifier=self._notifier,
            alarms=self._alarms,
            record=self.record,
            began=self._time.began,
        )
        self._rivals = Rivals(
            fleet=self._fleet,
            fleet_state=self._fleet_state,
            shared=tuple(one.name for one in self._fleet if not is_local(one)),
            run_log=self._run_log,
            calls=self._attempts.calls,
            waits=lambda: self._scheduler is not None and self._scheduler.waits,
            was_denied=lambda: self._scheduler is not None and self._scheduler.was_denied,
            offer=lambda name: self.tell(Tick(), freed=name),
        )
        # What an earlier process has sent must be taken over to be cancelled.
        if not self._stop_reason or self._run_log.past.unfinished is not None:
            now = self._time.now()
            self._perform(
                self._decisions.make(
                    self._scheduler.start,
                    now,
                    epoch=now - self._environment.clock(),
                    began=entered,
                    found=self._found,
                )
            )
            self._listen()
            self._tell_held_up()
            self._sightings.watch(self._alarms)
        self._tell_budget()
        if self._stop_reason:
            self.tell(Stop(reason=self._stop_reason))

    def stop(self, reason: str) -> None:
        """Give up what is not done; reaches the providers of what is in flight."""
        self._stop_reason, self._was_stopped = reason, True
        if self._surveying is not None:
            self._surveying.cancel()
        self.tell(Stop(reason=reason))

    @property
    def _is_on(self) -> bool:
        return self._scheduler is not None and self._ended_at is None

    @property
    def seconds(self) -> float:
        """Duration of the run, or its time so far; read it in the event loop during the run."""
        until = self._time.now() if self._ended_at is None else self._ended_at
        return max(self._run_log.past.seconds, until - self._time.began)

    @property
    def view(self) -> RunView:
        """The scheduler's view of the run."""
        return RunView() if self._scheduler is None else self._scheduler.view

    @property
    def speeds(self) -> dict[str, SpeedEstimate]:
        """Expected running times of jobs on each member; empty before the run has begun."""
        return {} if self._scheduler is None else self._scheduler.speeds

    def progress(self) -> Progress:
        """Return the progress of the run."""
        now, scheduler = self._time.now(), self._scheduler
        return sum_up_progress(
            self.work.tasks,
            self._fleet.names,
            self._shots_done,
            {} if scheduler is None else scheduler.in_flight,
            Standing(
                seconds=self.seconds if self.ended else max(0.0, now - self._time.began),
                queued=self._attempts.queued if self._is_on else frozenset(),
                attempts=self.record,
                outlook=None if scheduler is None else scheduler.outlook(now),
                held_up_by={} if scheduler is None else scheduler.held_up_by,
            ),
        )

    def observe(self, mailbox: Posting) -> None:
        """Add an observer of the events from now on."""
        self._notifier.mailboxes.append(mailbox)

    # -- performing --------------------------------------------------------------------------

    def tell(self, event: Event, freed: str | None = None) -> Sequence[Command]:
        """Report an event to the scheduler, carry out its commands, and return them.

        Args:
            event: What happened.
            freed: The member that has a slot less in use thereby, if one has.
        """
        # Before it has begun, and once it is over, there is nothing that an event could change.
        if self._scheduler is None or not self._is_on:
            return ()
        commands = self._decisions.make(self._scheduler.handle, event, self._time.now())
        self._perform(commands)
        self._listen()
        if isinstance(event, ShardFinished):
            self._told_held_up = False
        self._tell_held_up()
        held = self._scheduler.take_held()
        if freed is not None:
            self._pass_on(freed, commands, stepped_back=freed in held)
        for member in held - {freed}:
            self._fleet_state.queue.offer(member)
        return commands

    def _listen(self) -> None:
        """Have this run told of slots that become free, as long as some of its work waits."""
        scheduler, queue = self._scheduler, self._fleet_state.queue
        if scheduler is None:
            return
        waits = scheduler.waits
        if waits and not self._listens:
            queue.wait(Listener(scheduler.flow, self._offer))
        elif self._listens and not waits:
            queue.leave(scheduler.flow)
        self._listens = waits
        if waits and self._run_log.lasting:
            self._rivals.watch(self._onlookers)

    def _tell_held_up(self) -> None:
        """Tell once that the run stands: a probe that fails in between is no news."""
        if self._told_held_up or self._scheduler is None:
            return
        if reasons := self._scheduler.held_up_by:
            self._told_held_up = True
            self._notifier.tell(happened.RunHeldUp, reasons=reasons)

    def _offer(self, member: str) -> bool:
        """Look whether a slot is of use that became free on a member; tell if it was taken."""
        self._listens = False  # An observer that is called has left its place in the line.
        return _takes(self.tell(Tick()), member)

    def _pass_on(self, member: str, answers: Sequence[Command], *, stepped_back: bool) -> None:
        """Offer a slot that became free to the runs that wait; to this one too, if it stepped back."""
        assert self._scheduler is not None  # noqa: S101
        self._fleet_state.queue.offer(
            member,
            taken=_takes(answers, member),
            to_all=any(isinstance(one, MemberRecovered) for one in answers),
            besides=() if stepped_back else (self._scheduler.flow,),
        )

    def _perform(self, commands: Sequence[Command]) -> None:
        """Carry out commands, except the ones that an attempt asked for and reads itself."""
        for command in commands:
            match command:
                case Submit() | Fetch():
                    self._take_off(command)
                case Cancel():
                    self._scopes[command.shard].cancel()
                case Recall() | Watch() | Solve():
                    self._look_after(command)
                case WakeAt():
                    self._set_alarm(command.seconds)
                case MemberEjected() | MemberRecovered() | FleetDown():
                    announce_health(self._notifier, command, self._time.now())
                case Done():
                    self.ended = command
                    self._over.set()

    def _take_off(self, command: Submit | Fetch) -> None:
        # Made here, so that a cancellation finds it before the task has begun.
        self._scopes[command.shard.index] = anyio.CancelScope()
        if isinstance(command, Submit):
            announce_move(self._notifier, command)
        self._group.start_soon(contain, self._see_through, command)

    def _look_after(self, command: Recall | Watch | Solve) -> None:
        if isinstance(command, Solve):
            self._onlookers.start_soon(contain, self._solve, command)
        elif isinstance(command, Recall):
            self._onlookers.start_soon(contain, self._recall, command)
        else:
            began = self._time.now()
            self._alarms.run_at(
                began + look_seconds(0.0, self._policy.probe_seconds),
                lambda: self._watch(command.shard, began),
            )

    def _tell_budget(self) -> None:
        left = self._scheduler.left_usd(self._time.now()) if self._scheduler else None
        if left is not None:
            self._notifier.tell(happened.BudgetRead, left_usd=left)

    def _set_alarm(self, seconds: float) -> None:
        # An alarm that rings too early does no harm; only an earlier one must be set anew.
        if seconds < self._wake:
            self._wake = seconds
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._alarms.call_at(seconds, self._ring)

    def _ring(self) -> None:
        self._wake = math.inf
        self.tell(Tick())

    async def _solve(self, solve: Solve) -> None:
        self.tell(Solved(answer=await self._environment.in_thread(solve.problem)))

    async def _recall(self, recall: Recall) -> None:
        """Ask a shard back, and tell if it was not given."""
        failed = await self._attempts.recall(recall.shard, recall.unless)
        if failed is None:
            return
        announce_failed_recall(self._notifier, failed, recall.member)
        self.tell(failed)

    async def _watch(self, shard: int, began: float) -> None:
        """Report what a provider says of a queued shard, until its job starts."""

        def note_stage(started: bool) -> None:  # noqa: FBT001  It is an answer.
            self._attempts.note_stage(shard, started)
            self.tell(ShardStarted(shard=shard) if started else ShardQueued(shard=shard))

        await watch_job(
            lambda: self._attempts.has_started(shard),
            note_stage,
            goes_on=lambda: shard in self._scopes,
            began=began,
            most_seconds=self._policy.probe_seconds,
        )

    async def _see_through(self, command: Submit | Fetch) -> None:
        """Carry a shard to a member, or fetch it from there, and report how it ended."""
        shard, name = command.shard, command.member
        member = self._fleet[name]
        event: Event | None = None
        with self._scopes[shard.index]:
            if isinstance(command, Submit):
                event = await self._attempts.run(shard, member, command.price)
            else:
                event = await self._attempts.fetch(shard, member)
        del self._scopes[shard.index]
        if event is None:
            event = self._attempts.report_cancelled(shard.index)
        if isinstance(event, ShardFinished):
            self._count(shard, name, event)
        announce_shard_end(self._notifier, shard, name, event)
        self.tell(event, freed=name)
        self._tell_budget()

    def _lose(self, loss: Loss) -> None:
        """Give up what is not done, since it cannot be written down."""
        if loss.cancelled:
            self.cancelled = True
            self.stop(loss.reason)
        elif self._lost is None and self.ended is None:
            self._lost = loss
            if self._scheduler is None:
                self.stop(loss.reason)
            else:
                self.tell(Stop(reason=loss.reason))

    async def _close(self) -> None:
        """Record the state of the run; one that was torn down can be taken up by another."""
        status = RunStatus.RUNNING
        if self.ended is not None:
            status = RunStatus.FAILED if self.ended.given_up else RunStatus.DONE
            status = RunStatus.CANCELLED if self._stop_reason else status
        seconds = 0.0
        if self.ended is not None and not (self._stop_reason or self._lost):
            deadline = self._policy.deadline_seconds
            seconds = math.inf if deadline is None else self._entered + deadline - self._time.now()
        if self._run_log.lasting:
            speeds = {name: self._fleet_state.of(name).speed for name in self._fleet.names}
            fresh = {name: speed.take_fresh() for name, speed in speeds.items() if speed.fresh.jobs}
            self._recorder.learn(fresh)
        await self._recorder.close(status, seconds=seconds)

    def leaves(self, shard: int) -> bool:
        """Decide whether a shard ends because the run is torn down, to be taken up by another."""
        if self._lost is not None and self._lost.taken:
            return True
        going_on = shard in self._scopes and not self._scopes[shard].cancel_called
        return self._run_log.lasting and going_on

    def make_batch(self, shard: Shard, number: int) -> Batch:
        """Make the batch of a shard, for one of its tries on a member."""
        return self.work.batch_of(shard, f"{self.job_id}-{shard.index}-{number}")

    def _count(self, shard: Shard, member: str, finished: ShardFinished) -> None:
        done = self._shots_done.setdefault(member, [0, 0])
        for number, more in enumerate(count_delivered(shard, finished)):
            done[number] += more


def _take_no_notice(_: Loss) -> None:
    """Do nothing more about a run that is over."""


def _takes(commands: Sequence[Command], member: str) -> bool:
    return any(isinstance(one, Submit) and one.member == member for one in commands)
