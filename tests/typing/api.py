"""The API as typed programs use it: mypy reads this file, and nothing runs it."""

from typing import Any, Literal, assert_type

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BasePrimitiveJob, BaseSamplerV2, PrimitiveResult
from qiskit.primitives.base import BaseEstimatorV2
from qiskit.providers import BackendV2, JobStatus
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.quantum_info import SparsePauliOp

from qiskit_gateway import (
    AllowanceUse,
    Attempt,
    AttemptOutcome,
    Config,
    EstimatorOptions,
    GatewayError,
    GivenUp,
    Journal,
    MemberProgress,
    MemberQuote,
    MemberUse,
    Piece,
    PlanError,
    Progress,
    Quote,
    Report,
    RouterEstimator,
    RouterJob,
    RouterSampler,
    RunError,
    RunList,
    SamplerOptions,
    SimulatedShard,
    Simulation,
    SpeedEstimate,
    config_schema,
    load_config,
    simulate,
)
from qiskit_gateway.backends import (
    Allowance,
    BackendError,
    Conformance,
    Finding,
    Fleet,
    FleetMember,
    Limits,
    Member,
    Pricing,
    PublishedTariff,
    QueueReading,
    SimulatedMember,
    Tariff,
    Usage,
    check_backend,
    tariff,
    tariff_names,
)
from qiskit_gateway.policies import (
    BreakerPolicy,
    Budget,
    Filter,
    Hours,
    MaxWait,
    Objective,
    Offer,
    Policy,
    Price,
    RecallPolicy,
    RetryPolicy,
    Sum,
    Tagged,
    Verdict,
    cheapest,
    refuse,
)


def use_members(backend: BackendV2) -> Fleet:
    member = Member(
        backend,
        name="device",
        limits=Limits(max_circuits=100, max_shots=20_000),
        pricing=Allowance(meter=Pricing(per_second=1), amount=600, period="month"),
        queue=lambda: 3,
        tags=["simulator"],
    )
    assert_type(member.name, str)
    assert_type(member.limits, Limits)
    assert_type(member.pricing, Tariff)
    fleet = Fleet([member, BasicSimulator(), SimulatedMember("modelled", num_qubits=5)])
    assert_type(fleet["device"], FleetMember)
    assert_type(fleet.names, tuple[str, ...])
    assert_type([one.name for one in fleet], list[str])
    return fleet


def use_prices() -> None:
    published = tariff("ibm:payg")
    assert_type(published, PublishedTariff)
    assert_type(tariff_names(), tuple[str, ...])
    price: Tariff = Pricing(per_shot=0.01)
    assert_type(price(Usage(circuits=1, shots=100)), float)


def use_check(backend: BackendV2) -> Member:
    found = check_backend(backend)
    assert_type(found, Conformance)
    assert_type(found.findings, tuple[Finding, ...])
    return Member(backend)


def use_policy() -> Policy:
    where: Filter = Tagged("simulator") & MaxWait(60)
    best: Objective = Price() + 40 * Hours()
    assert_type(Price() + Hours(), Sum)
    policy = Policy(
        minimize=best,
        where=where,
        retry=RetryPolicy(max_attempts=3),
        breaker=BreakerPolicy(),
        recall=RecallPolicy(),
        budget=Budget(usd=20),
    )
    assert_type(cheapest(where=where), Policy)
    return policy


class OnlySmall(Filter):
    """Let through offers of few shots."""

    def __call__(self, offer: Offer) -> Verdict:
        return refuse("too many shots")


def use_sampler(fleet: Fleet, circuit: QuantumCircuit) -> None:
    options = SamplerOptions(default_shots=100)
    sampler = RouterSampler(fleet, policy=use_policy(), options=options, journal="runs.db")
    stock: BaseSamplerV2 = sampler
    assert_type(sampler.options, SamplerOptions)
    assert_type(sampler.default_shots, int)
    assert_type(sampler.quote([circuit], shots=100), Quote)
    assert_type(sampler.resume("id"), RouterJob)
    job = sampler.run([circuit], shots=100)
    assert_type(job, RouterJob)
    use_job(job)
    stock.run([(circuit, None, 10)])


def use_estimator(fleet: Fleet, circuit: QuantumCircuit) -> None:
    options = EstimatorOptions(default_precision=0.01)
    estimator = RouterEstimator(fleet, options=options)
    stock: BaseEstimatorV2 = estimator
    assert_type(estimator.options, EstimatorOptions)
    assert_type(estimator.default_precision, float)
    pub = (circuit, SparsePauliOp("ZZ"))
    assert_type(estimator.quote([pub], precision=0.1), Quote)
    assert_type(estimator.run([pub], precision=0.1), RouterJob)
    assert_type(estimator.resume("id"), RouterJob)
    stock.run([pub])


def use_job(job: RouterJob) -> None:
    stock: BasePrimitiveJob[PrimitiveResult[Any], JobStatus] = job
    assert_type(job.result(timeout=60), PrimitiveResult[Any])
    assert_type(job.partial_result(), PrimitiveResult[Any])
    assert_type(job.status(), JobStatus)
    assert_type(job.done(), bool)
    assert_type(job.cancel(), bool)
    assert_type(job.error_message(), str | None)
    progress = job.progress()
    assert_type(progress, Progress)
    assert_type(progress.members, dict[str, MemberProgress])
    use_report(job.report())
    stock.job_id()


async def await_job(job: RouterJob) -> None:
    assert_type(await job, PrimitiveResult[Any])


def use_report(report: Report) -> None:
    assert_type(report.attempts, tuple[Attempt, ...])
    assert_type(report.attempts[0].outcome, AttemptOutcome)
    assert_type(report.given_up, tuple[GivenUp, ...])
    assert_type([one.piece for one in report.given_up], list[Piece])
    assert_type(report.price_usd, float)
    assert_type(report.members, dict[str, dict[str, Any]])
    assert_type(report.to_dict(), dict[str, Any])


def use_quote(quote: Quote) -> None:
    assert_type(quote.members, tuple[MemberQuote, ...])
    assert_type(quote["device"], MemberQuote)
    assert_type(quote["device"].estimate, SpeedEstimate | None)
    if quote["device"].estimate is not None:
        assert_type(quote["device"].estimate.rest, Literal["peers", "guess"] | None)
    assert_type(quote["device"].allowance, AllowanceUse | None)
    assert_type(quote.price_usd, float)
    assert_type(quote.makespan_seconds, float)
    assert_type(quote.not_done, tuple[GivenUp, ...])


def use_simulation(fleet: Fleet, circuit: QuantumCircuit) -> None:
    found = simulate(fleet, [circuit], policy=use_policy(), shots=100, seed=1)
    assert_type(found, Simulation)
    assert_type(found.members, dict[str, MemberUse])
    assert_type(found.shards, tuple[SimulatedShard, ...])
    assert_type(found.cost_usd, float)


def use_journal() -> None:
    journal = Journal("runs.db")
    assert_type(journal.runs(), RunList)
    journal.forget("id")
    journal.close()


def use_config() -> None:
    config = load_config("fleet.toml")
    assert_type(config, Config)
    assert_type(config.fleet, Fleet)
    assert_type(config.policy, Policy)
    assert_type(config.sampler(default_shots=100), RouterSampler)
    assert_type(config.estimator(), RouterEstimator)
    assert_type(config_schema(), dict[str, Any])


def use_errors(job: RouterJob) -> str:
    try:
        job.result()
    except RunError as error:
        assert_type(error.failures, tuple[Any, ...])
    except PlanError as error:
        assert_type(error.reasons, dict[str, str])
    except GatewayError as error:
        return str(error)
    except BackendError as error:
        assert_type(error.transient, bool | None)
    return ""


def read_queue(reading: QueueReading) -> None:
    assert_type(reading.wait_seconds, float | None)
    assert_type(reading.pending_jobs, float | None)
