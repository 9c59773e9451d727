"""A scenario lived through, on a clock that jumps: runs that go on side by side, die, and are resumed."""

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
from chaos.dying import Dying
from chaos.scenario import Scenario
from forked import in_child
from trio._core import _run as trio_run
from trio.testing import MockClock

import qiskit_gateway.primitives.estimator as estimators
import qiskit_gateway.primitives.sampler as samplers
from qiskit_gateway import Journal
from qiskit_gateway.backends import Fleet
from qiskit_gateway.journal.records import RunRecord
from qiskit_gateway.primitives.job import RouterJob
from qiskit_gateway.primitives.router import Router
from qiskit_gateway.results.known_parts import KnownParts
from qiskit_gateway.runtime.notifications.logs import silent_logger
from qiskit_gateway.runtime.preview.virtual_clock import JumpingLoop, work_at_once
from qiskit_gateway.runtime.run import Environment, Run
from qiskit_gateway.work.record.run_log import NO_RUN_LOG

# A run that is not over after so long never will be.
AGES = 50 * 86_400.0


@dataclass(kw_only=True, eq=False)
class Life:
    """One run as one process saw it.

    Attributes:
        died: Whether the process did before the run was over.
        answer: What the job answered: a result, or an error.
        began: When this process began to work on it, on the loop's clock.
        over: When it stopped.
    """

    run: Run
    fleet: Fleet
    died: bool = False
    answer: object = None
    began: float = 0.0
    over: float = 0.0


@dataclass(kw_only=True, eq=False)
class World:
    """What there was in the end.

    Attributes:
        written: What the journal knows of the run in the end, where there is one.
        lives: For each run, its lives; all but the last ended by a death.
        cancelled_at: When the user cancelled, on the loop's clock.
        judge: Asserts what must hold, of this world and of that of a forked child.
        inherited: The fleet of the parent, where this is the world of a forked child.
    """

    scenario: Scenario
    journal: Journal | None = None
    written: RunRecord | None = None
    lives: list[list[Life]] = field(default_factory=list)
    cancelled_at: float = math.inf
    judge: Callable[["World"], None] = lambda world: None
    inherited: Fleet | None = None


def lived(scenario: Scenario, folder, judge: Callable[[World], None]) -> World:
    """Live through a scenario, judge what there was in the end, and return it."""
    world = World(scenario=scenario, lives=[[] for _ in scenario.runs], judge=judge)
    _live_through(world, folder, 0.0)
    judge(world)
    return world


def _live_through(world: World, folder, start: float):
    """Live on a clock that begins at a time."""
    scenario = world.scenario
    # Which of several tasks goes first is random in trio, and part of the seed.
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    trio_run._r.seed(scenario.seed)
    clock = MockClock(autojump_threshold=0)
    clock.jump(start)
    options = {
        "trio": {"clock": clock},
        "asyncio": {"loop_factory": partial(JumpingLoop, start)},
    }[scenario.loop]
    anyio.run(_live, world, folder, backend=scenario.loop, backend_options=options)


async def _live(world: World, folder):
    scenario, primitive = world.scenario, _Primitive(world.scenario)
    with anyio.fail_after(AGES):
        if scenario.journal:
            await _again_and_again(world, primitive, folder)
        else:
            fleet = world.inherited or Fleet(scenario.providers)
            router = Router(fleet, scenario.policy)
            async with anyio.create_task_group() as group:
                for number, pubs in enumerate(scenario.runs):
                    begun = router.begin(f"run{number}", router.fleet, primitive.plan(pubs))
                    run = _run_of(begun, scenario, begun.run_log)
                    group.start_soon(_followed, world, number, run, begun.result)


async def _again_and_again(world: World, primitive: "_Primitive", folder):
    scenario, (pubs,) = world.scenario, world.scenario.runs
    dead = [0.0]
    for number, death in enumerate([*scenario.deaths, None, None]):
        # A journal and a fleet of its own, as a new process has.
        clock = lambda: anyio.current_time() + dead[0]  # noqa: E731
        world.journal = Journal(folder / "journal", clock=clock, uptime=clock)
        router = Router(Fleet(scenario.providers), scenario.policy, world.journal)
        if number == 0:
            begun, spec = router.begin("run0", router.fleet, primitive.plan(pubs)), primitive.spec
            run_log = world.journal.begin("run0", spec(pubs), begun.shots, party=router._party)
        else:
            dead[0] += 1000.0
            begun = router.claim("run0", scenario.kind, primitive.restated)
            run_log = begun.run_log
        dying = Dying(run_log, death and death.writes, scenario.outage)
        run = _run_of(begun, scenario, dying)
        with dying.scope:
            if death is not None and death.seconds is not None:
                dying.scope.deadline = anyio.current_time() + death.seconds
            await _followed(world, 0, run, begun.result)
        life = world.lives[0][-1]
        # Whoever has put the journal right goes on with a run that it ended.
        again = run._lost is not None and not scenario.outage.is_final and death is None
        if again and number <= len(scenario.deaths):
            await anyio.sleep(scenario.outage.seconds)
        elif not life.died:
            (world.written,) = world.journal.runs()
            return
        world.journal.close()


_LOG = silent_logger()


def _run_of(begun, scenario, run_log):
    """Make a run whose waits have their jitter from the seed, too."""
    dice = random.Random(f"jitter {scenario.seed}").random
    return Run(
        begun.job_id,
        begun.fleet,
        scenario.policy,
        begun.work,
        run_log=run_log,
        environment=Environment(log=_LOG, draw=dice, in_thread=work_at_once),
    )


async def _followed(world: World, number: int, run: Run, result):
    """Live a run to its end, or to that of its process."""
    life = Life(run=run, fleet=run._fleet, died=True, began=anyio.current_time())
    world.lives[number].append(life)
    job = RouterJob(run, result, on_failure=world.scenario.policy.on_failure)
    try:
        async with anyio.create_task_group() as group:
            if world.scenario.cancel_seconds is not None:
                group.start_soon(_cancelled, world, job)
            if world.scenario.fork_seconds is not None:
                group.start_soon(_forked, world, run._fleet)
            await job._main()
            group.cancel_scope.cancel()
        life.died = run.ended is None
        if run._run_log is not NO_RUN_LOG:
            life.died |= run._run_log.scope.cancel_called
        if job.in_final_state():
            life.answer = job._future.exception() or job._future.result()
    finally:
        life.over = anyio.current_time()


async def _cancelled(world: World, job: RouterJob):
    await anyio.sleep(world.scenario.cancel_seconds)
    world.cancelled_at = anyio.current_time()
    job._cancel()


async def _forked(world: World, fleet: Fleet):
    """Fork while the run goes on; the child asks for the same over the same fleet, and is judged."""
    await anyio.sleep(world.scenario.fork_seconds)
    in_child(partial(_live_in_child, world, fleet, anyio.current_time()))


def _live_in_child(parent: World, fleet: Fleet, now: float):
    ended = {"journal": False, "outage": None, "deaths": []}
    scenario = replace(parent.scenario, cancel_seconds=None, fork_seconds=None, **ended)
    for provider in scenario.providers:
        provider.forget()  # They are asked by the parent, and by a child that is not this one.
    world = World(scenario=scenario, lives=[[] for _ in scenario.runs], inherited=fleet)
    # In a thread of its own: the one that was copied is in the midst of the parent's loop.
    thread = threading.Thread(target=_judged, args=(world, parent.judge, now, told := []))
    thread.start()
    thread.join()
    if told:
        raise told[0]


def _judged(world: World, judge: Callable[[World], None], now: float, told: list):
    try:
        _live_through(world, None, now)
        judge(world)
    except BaseException as error:  # noqa: BLE001  Raised by whoever waits for this thread.
        told.append(error)


class _Primitive:
    """How the primitive of a scenario states work."""

    def __init__(self, scenario: Scenario) -> None:
        self._options = {"seed_simulator": scenario.simulator_seed}
        if scenario.kind == "sampler":
            self._module, self._options = samplers, samplers.SamplerOptions(**self._options)
            self.restated, self._known = samplers.RouterSampler._plan_again, ()
        else:
            allocation = "by_weight" if scenario.by_weight else "per_basis"
            self._module = estimators
            self._options = estimators.EstimatorOptions(**self._options, shot_allocation=allocation)
            self.restated, self._known = estimators.RouterEstimator._plan_again, (KnownParts(),)

    def plan(self, pubs):
        return self._module._plan(pubs, self._options, *self._known)

    def spec(self, pubs):
        return self._module._spec_of(pubs, self._options)
