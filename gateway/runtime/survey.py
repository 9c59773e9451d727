"""Survey the members and compile circuits for estimates, before a run: the scheduler's input.

Circuits are compiled beforehand only where something depends on the outcome: a tariff by gates or by
machine time, or a policy that reads the fidelity. Where they were compiled anyway, for these or for a
quote, the durations of their operations are known too.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real

import anyio

from qiskit_gateway.backends.circuits.estimates import Estimate
from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.translate import is_interrupt, text_of, translate
from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.batch import Batch, Program
from qiskit_gateway.backends.interface.protocol import (
    CanEstimate,
    CanQuote,
    FleetMember,
    ReadsTarget,
    RemembersEstimates,
    TellsMachine,
    TellsProvider,
    TellsSpeed,
    able,
)
from qiskit_gateway.backends.interface.speed import Speed
from qiskit_gateway.backends.member_facts import costs_nothing
from qiskit_gateway.backends.pricing.allowance import allowance_of
from qiskit_gateway.backends.pricing.charge import Charge, count_charged_units
from qiskit_gateway.backends.pricing.rates import (
    FREE,
    Tariff,
    Usage,
    needs_gates,
    needs_seconds,
)
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.runtime.provider_calls import OverdueError, read_target
from qiskit_gateway.scheduling.allocation.task_classes import with_kinds
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.price import PriceError
from qiskit_gateway.work.tasks import Compiled, Task
from qiskit_gateway.work.workload import Work

Answer = Estimate | BackendError
"""What a member said of a program: a refusal is an error too."""


def profile_of(
    member: FleetMember, order: int, *, shot_seconds: float | None = None
) -> MemberProfile:
    """Translate a member into what the scheduler sees of it.

    Args:
        member: The member.
        order: Its place in the fleet, from 0.
        shot_seconds: What a circuit-shot of the run takes there by durations, if known.
    """
    limits = member.limits
    allotment = allotment_of(member)
    price = _make_price(member)
    fee = 0.0
    with suppress(PriceError):  # Raised when the price of work is asked for.
        fee = max(0.0, 2 * price(1, 1, 1, 0) - price(1, 2, 2, 0))
    if allotment is not None and allotment.sells_more:
        fee *= allotment.usd_per_unit
    return MemberProfile(
        name=member.name,
        order=order,
        weight=member.weight,
        tags=member.tags,
        fidelity=member.fidelity,
        max_circuits=limits.max_circuits,
        max_shots=limits.max_shots,
        min_shots=limits.min_shots or 1,
        max_executions=limits.max_executions,
        max_payload_bytes=limits.max_payload_bytes,
        max_in_flight=limits.max_in_flight,
        submissions_per_minute=limits.submissions_per_minute,
        overlaps=member.overlaps,
        price=price,
        allotment=allotment,
        free=costs_nothing(member),
        job_fee_usd=fee,
        provider=provider_of(member),
        machine=machine_of(member),
        shot_seconds=shot_seconds,
        told_seconds=read_declared_seconds(member),
    )


def provider_of(member: FleetMember) -> str:
    """Return the provider of a member; ``""`` where it does not say."""
    provider: object = member.provider if able(member, TellsProvider) else ""
    return provider if isinstance(provider, str) else ""


def machine_of(member: FleetMember) -> str:
    """Return the machine that a member shares with others; ``""`` where it has its own, or does not say."""
    machine: object = member.machine if able(member, TellsMachine) else ""
    return machine if isinstance(machine, str) else ""


def look_up_shot_seconds(member: FleetMember, work: Work) -> float | None:
    """Look up what a shot of some work takes on a member, by what was compiled there before."""
    teller: object = member
    if not able(teller, RemembersEstimates):
        return None
    try:
        return average_shot_seconds(work, member.name, teller.look_up_estimate)
    except Exception:  # noqa: BLE001  A member of somebody's own may raise anything.
        return None


def average_shot_seconds(
    work: Work, member: str, look_up: Callable[[Program], object]
) -> float | None:
    """Average what a shot takes on a member by the durations of what circuits are compiled to.

    Args:
        work: The work.
        member: Where.
        look_up: Finds what the member said of a program, an :data:`Answer` if it did.

    Returns:
        Seconds; ``None`` unless they are known of every circuit that the member takes.
    """
    total, shots = 0.0, 0
    for task, program in zip(work.tasks, work.programs, strict=True):
        if not task.rows or member in task.refusals:
            continue
        answer = look_up(program)
        if isinstance(answer, BackendError):
            continue
        seconds = answer.shot_seconds if isinstance(answer, Estimate) else None
        if seconds is None or not 0 <= seconds < math.inf:
            return None
        total += seconds * task.rows * task.shots
        shots += task.rows * task.shots
    return total / shots if shots else None


def read_declared_seconds(member: FleetMember) -> tuple[float, float, float] | None:
    """Read the declared times of a job, a circuit and a circuit-shot on a member, if any."""
    speed: object = member.speed if able(member, TellsSpeed) else None
    return speed.terms if isinstance(speed, Speed) else None


def allotment_of(member: FleetMember) -> Allotment | None:
    """Read the allowance of a member's tariff, if it has one."""
    allowance = allowance_of(member.pricing)
    if allowance is None:
        return None
    return Allotment(
        # No name that a user gives can be that of a member's own.
        name=f"named {allowance.name}" if allowance.name else f"of {member.name}",
        amount=allowance.amount,
        unit=allowance.unit,
        usd_per_unit=allowance.usd_per_unit,
        used=allowance.used,
        step_of=allowance.step_of,
        steps=allowance.steps,
    )


def _make_price(member: FleetMember) -> Callable[..., float]:
    allowance = allowance_of(member.pricing)
    tariff = member.pricing if allowance is None else allowance.meter
    if tariff is FREE:
        return lambda *_, **__: 0.0

    def price(
        jobs: float,
        circuits: float,
        circuit_shots: float,
        seconds: float,
        compiled: Compiled = Compiled(),  # noqa: B008  It is frozen.
    ) -> float:
        shots = circuit_shots / jobs
        usage = Usage(
            circuits=math.ceil(circuits / jobs),
            shots=math.ceil(shots),
            seconds=seconds / jobs,
            gate_1q_shots=round(compiled.gates_1q * shots),
            gate_2q_shots=round(compiled.gates_2q * shots),
            measure_shots=round(compiled.measures * shots),
            prepare_shots=round(compiled.prepares * shots),
        )
        return jobs * _price_by(tariff, usage)

    return price


def units_of(charge: Charge, member: FleetMember, *, circuits: int, shots: int) -> float | None:
    """Work out what a job took by its provider's word, in units of the member's allotment or in USD.

    Args:
        charge: What the provider says.
        member: Where it ran.
        circuits: Circuits of the job.
        shots: Shots of each.

    Returns:
        The amount; ``None`` where what is said does not tell it.
    """
    usage = Usage(circuits=circuits, shots=circuits * shots)
    try:
        units = count_charged_units(member.pricing, usage, charge)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and is_interrupt(error):
            raise
        return None  # A tariff may be anybody's code.
    return units if units is not None and 0 <= units < math.inf else None


async def quote_batch(member: FleetMember, batch: Batch, seconds: float) -> Charge | None:
    """Ask a member what a batch would cost; ``None`` where it cannot be asked, or does not say."""
    if not able(member, CanQuote):
        return None
    told: object = None
    with anyio.move_on_after(seconds):
        try:
            told = await member.quote(batch)
        except Exception:  # noqa: BLE001  Whatever a member raises: the tariff holds.
            return None
    return told if isinstance(told, Charge) else None


def _price_by(tariff: Tariff, usage: Usage) -> float:
    """Ask a tariff, which may be anybody's code, for the price of a job.

    Raises:
        PriceError: If it raises, or answers no finite number, zero or more.
    """
    name = getattr(tariff, "__name__", type(tariff).__name__)
    try:
        price = tariff(usage)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and is_interrupt(error):
            raise
        raise PriceError(f"its tariff {name} raised {text_of(error)}") from error
    usd = price if type(price) is float else _usd_of(price)
    if not 0 <= usd < math.inf:
        said = f"{price!r:.200}" if isinstance(price, float | str) else _describe_price(price, usd)
        raise PriceError(
            f"its tariff {name} answered {said} for a job of {usage.circuits} circuits and "
            f"{usage.shots} shots; a price is a finite number of USD, zero or more"
        )
    return usd


def _usd_of(price: object) -> float:
    """A price as a float; NaN for what is none, or too large to be one."""
    try:
        return float(price) if isinstance(price, Real) else math.nan
    except Exception:  # noqa: BLE001  A number of somebody's own.
        return math.nan


def _describe_price(price: object, usd: float) -> str:
    return f"a {type(price).__name__}" if math.isnan(usd) else str(usd)


def questions_of(fleet: Fleet, policy: Policy) -> "dict[str, Questions]":
    """Find the questions about circuits in a run under a policy, by member; most have none."""
    reads_fidelity = "fidelity" in policy.uses
    found = {one.name: Questions.of(one, reads_fidelity=reads_fidelity) for one in fleet}
    return {name: questions for name, questions in found.items() if questions}


async def survey_tasks(
    work: Work, fleet: Fleet, policy: Policy, asked: "Mapping[str, Questions]"
) -> tuple[Task, ...]:
    """Complete the tasks of a run with what their circuits are on each member, where that is asked.

    A circuit that cannot be compiled for a member is refused there.
    """
    curious = [member for member in fleet if member.name in asked]
    if not curious:
        return work.tasks
    answers: dict[str, dict[int, Answer]] = {member.name: {} for member in curious}
    async with anyio.create_task_group() as group:
        for member in curious:
            programs = [
                program
                for task, program in zip(work.tasks, work.programs, strict=True)
                if task.rows and member.name not in task.refusals
            ]
            group.start_soon(
                foretell, member, programs, answers[member.name], policy.submit_seconds
            )
    tasks = _complete_tasks(work, {name: (asked[name], told) for name, told in answers.items()})
    profiles = [profile_of(member, order) for order, member in enumerate(fleet)]
    return with_kinds(tasks, profiles, policy)


async def foretell(
    member: FleetMember,
    programs: Iterable[Program],
    answers: dict[int, Answer],
    seconds: float,
) -> None:
    """Ask a member what programs are there, and note its answers by identity of the program.

    Args:
        member: Whom to ask; one that cannot tell is not asked.
        programs: What about; those that are known already are left out.
        answers: Where the answers go.
        seconds: How long its provider may take to say what it can do; for one that cannot tell what
            of an estimate its provider does, how long that may take over each. Once it has taken
            longer it is not asked again.
    """
    teller: object = member
    if not able(teller, CanEstimate):
        return
    left = [program for program in programs if id(program) not in answers]
    silent = await _ask_target(member, seconds) if left else None
    # What remains is computing, which takes what it takes.
    limit = math.inf if able(member, ReadsTarget) else seconds
    for program in left:
        if silent is None and id(program) not in answers:
            silent = _describe_silence(member, seconds)
            with anyio.move_on_after(limit):
                answers[id(program)] = await _await_answer(teller.estimate(program))
                silent = None
        if silent is not None:
            answers[id(program)] = silent


async def _ask_target(member: FleetMember, seconds: float) -> BackendError | None:
    """Have a member ask its provider what it can do; return why that was not possible."""
    try:
        await read_target(member, seconds)
    except OverdueError:
        return _describe_silence(member, seconds)
    except BackendError as error:
        return error
    return None


async def _await_answer(answer: Awaitable[Estimate]) -> Answer:
    try:
        return await answer
    except BackendError as error:
        return error
    except Exception as error:  # noqa: BLE001  A member of somebody's own may raise anything.
        return translate(error, phase="submit")


def _describe_silence(member: FleetMember, seconds: float) -> BackendError:
    return BackendError(f"{member.name} did not say within {seconds:g} s what a circuit is there")


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The questions about circuits on a member.

    Attributes:
        price: Whether the price depends on them.
        seconds: Whether it depends on the machine time.
        fidelity: Whether the policy reads their fidelity.
    """

    price: bool
    seconds: bool
    fidelity: bool

    @classmethod
    def of(cls, member: FleetMember, *, reads_fidelity: bool) -> "Questions":
        """Find the questions about a member."""
        seconds = needs_seconds(member.pricing)
        return cls(
            price=seconds or needs_gates(member.pricing),
            seconds=seconds,
            fidelity=reads_fidelity and member.fidelity is None,
        )

    def __bool__(self) -> bool:
        return self.price or self.fidelity

    def find_refusal(self, answer: Answer) -> str:
        """Word why a member refuses a circuit; ``""`` if it does not."""
        if isinstance(answer, Refused):
            return answer.reasons[0]
        if isinstance(answer, BackendError) and self.price:
            return f"what it costs there cannot be told: {answer}"
        return ""

    def translate(self, answer: Answer) -> Compiled:
        """Translate what a member said of a circuit."""
        if isinstance(answer, BackendError):
            return Compiled()
        return Compiled(
            gates_1q=answer.gates.num_1q,
            gates_2q=answer.gates.num_2q,
            measures=answer.gates.num_measure,
            prepares=answer.gates.num_prepare,
            fidelity=answer.fidelity,
            shot_seconds=answer.shot_seconds if self.seconds else None,
        )


def _complete_tasks(
    work: Work, told: Mapping[str, tuple[Questions, Mapping[int, Answer]]]
) -> Sequence[Task]:
    known: dict[int, tuple[dict[str, Compiled], dict[str, str]]] = {}
    tasks = []
    for task, program in zip(work.tasks, work.programs, strict=True):
        if id(program) not in known:
            known[id(program)] = _sort_out(id(program), told)
        compiled, refusals = known[id(program)]
        merged = {**refusals, **task.refusals} if refusals else task.refusals
        tasks.append(replace(task, compiled=compiled, refusals=merged))
    return tasks


def _sort_out(
    program: int, told: Mapping[str, tuple[Questions, Mapping[int, Answer]]]
) -> tuple[dict[str, Compiled], dict[str, str]]:
    """Collect the estimates of a program by member, and the refusals with their reasons."""
    compiled: dict[str, Compiled] = {}
    refusals: dict[str, str] = {}
    for name, (asked, answers) in told.items():
        answer = answers.get(program)
        if answer is None:
            continue
        if reason := asked.find_refusal(answer):
            refusals[name] = reason
        else:
            compiled[name] = asked.translate(answer)
    return compiled, refusals
