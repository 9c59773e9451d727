"""IBM Quantum, the platform and its fakes."""

import importlib
from collections.abc import Container, Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import replace
from math import inf
from typing import Any

from qiskit_gateway.backends.failures.table import (
    CALLER,
    CREDENTIALS,
    FAILED,
    UNAVAILABLE,
    UNREACHABLE,
    WRAPPER,
)
from qiskit_gateway.backends.interface.adaptation import FAITHFUL, Adaptation
from qiskit_gateway.backends.interface.limits import Limits, read_property
from qiskit_gateway.backends.interface.native_primitive import (
    ALL_GATES,
    ExecutionModes,
    JobTerms,
    ModeKind,
    NativePrimitive,
)
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.published import fixed, list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing
from qiskit_gateway.backends.providers.aer import BINDS

# IBM's own estimate of what a job uses: 2 s, and for each shot its circuit and the pause after it. From
# quantum.cloud.ibm.com/docs/guides/estimate-job-run-time.
_OVERHEAD_SECONDS = 2.0


def _by_the_second(per_second: float) -> Pricing:
    return Pricing(per_second=per_second, job_overhead_seconds=_OVERHEAD_SECONDS)


_FREE_MINUTES = Allowance(
    meter=_by_the_second(1.0), amount=600, period=28.0, unit="s", usd_per_unit=inf
)


def _charge(_backend: Any, job: Any) -> Charge | None:
    # It is 0 until the job is final.
    seconds = float(job.usage() or 0.0) if hasattr(job, "usage") else 0.0
    return Charge(seconds=seconds) if seconds > 0 else None


# -- the native samplers: Sampler of executor_sampler, which prepares PUBs here, and SamplerV2, which
# has the service do that and is deprecated. Over anything but IBM's own backends both run locally.

# docs.quantum.ibm.com/guides/job-limits, 2026-11: circuits times shots of a job, and jobs of one
# instance that wait or run on most backends.
_MAX_EXECUTIONS = 10_000_000
_MAX_IN_FLIGHT = 5


def _is_local(backend: Any) -> bool:
    return read_property(backend, "service") is None


def _prepares_here(sampler: Any) -> bool:
    return any("executor" in kind.__module__ for kind in type(sampler).__mro__)


def _adaptation(sampler: Any, backend: Any) -> Adaptation:
    module = type(backend).__module__.partition(".")[0]
    faithful = module in {"qiskit", "qiskit_aer", "qiskit_ibm_runtime"}
    if faithful or not _is_local(backend) or _prepares_here(sampler):
        return FAITHFUL
    return Adaptation(
        refusal="SamplerV2 runs it by Qiskit's BackendSamplerV2, which reads zeros where this backend "
        "returns no memory; give the backend itself to the fleet"
    )


def _estimator_adaptation(estimator: Any, backend: Any) -> Adaptation:
    if not _adaptation(estimator, backend).refusal:
        return FAITHFUL
    return Adaptation(
        refusal="EstimatorV2 runs it by Qiskit's BackendEstimatorV2, which reads only results like "
        "Aer's; give the backend itself to the fleet"
    )


def _limits(_: Any, backend: Any, told: Limits) -> Limits:
    # What the configuration of a backend says of jobs was meant for backend.run.
    if _is_local(backend):
        return Limits(num_qubits=told.num_qubits)
    return Limits(
        num_qubits=told.num_qubits, max_executions=_MAX_EXECUTIONS, max_in_flight=_MAX_IN_FLIGHT
    )


def _binds(sampler: Any, backend: Any) -> Container[str]:
    # Locally, Sampler gives all rows of a PUB to Aer.
    return BINDS if _is_local(backend) and _prepares_here(sampler) else ALL_GATES


def _for_job(sampler: Any, job: JobTerms) -> Any:
    options = deepcopy(sampler.options)
    if not _is_local(sampler.backend()):
        options.environment.job_tags = [*(options.environment.job_tags or ()), job.key]
    else:
        # Locally, Sampler runs each PUB with the same seed: their samples would not be independent.
        alone = job.pubs == 1 or not _prepares_here(sampler)
        none = type(
            options.simulator
        )().seed_simulator  # SamplerV2 has a value of its own for that.
        options.simulator.seed_simulator = job.seed if alone and job.seed is not None else none
    made = copy(sampler)
    # Those of SamplerV2 have no public way to be set.
    setattr(made, "options" if _prepares_here(sampler) else "_options", options)
    return made


def _list_tagged_jobs(backend: Any, key: str) -> Iterable[Any]:
    found: Iterable[Any] = backend.service.jobs(job_tags=[key])
    return found


def _begin_mode(kind: ModeKind, backend: Any, seconds: int | None) -> Any:
    runtime = importlib.import_module("qiskit_ibm_runtime")
    return getattr(runtime, kind.capitalize())(backend=backend, max_time=seconds)


def _enter_mode(sampler: Any, mode: Any) -> Any:
    made = copy(sampler)
    made._mode = mode  # noqa: SLF001  To make one anew warns, and forgets what a subclass holds.
    return made


def _is_machine(backend: Any) -> bool:
    return any(kind.__name__ == "IBMBackend" for kind in type(backend).__mro__)


def _sampler_over(backend: Any) -> Any:
    if not _is_machine(backend):
        return None
    return importlib.import_module("qiskit_ibm_runtime.executor_sampler").Sampler(mode=backend)


def _without_run(backend: Any, _: Mapping[str, Any]) -> Adaptation | None:
    if not _is_machine(backend):
        return None
    return Adaptation(
        refusal="has no backend.run any more: give the fleet the backend itself, or "
        "PrimitiveMember(Sampler(mode=backend))"
    )


def _is_closed(mode: Any) -> bool:
    said = str(mode.status() or "").lower()
    return "closed" in said or "not accepting" in said


_MODES = ExecutionModes(
    begin=_begin_mode,
    enter=_enter_mode,
    of=lambda primitive: primitive.mode,
    is_closed=_is_closed,
)

_PRIMITIVE = NativePrimitive(
    adaptation=_adaptation,
    limits=_limits,
    overlaps=lambda _, backend: not _is_local(backend),
    binds=_binds,
    for_job=_for_job,
    jobs=_list_tagged_jobs,
    modes=_MODES,
)

PROFILE = ProviderProfile(
    name="ibm",
    packages=("qiskit_ibm_runtime",),
    is_local=_is_local,
    charge=_charge,
    adaptation=_without_run,
    primitive=replace(_PRIMITIVE, over=_sampler_over),
    estimator=replace(_PRIMITIVE, adaptation=_estimator_adaptation),
    failures={
        "qiskit_ibm_runtime wrapper": (
            WRAPPER,
            "IBMError IBMBackendError IBMRuntimeError ApiError IBMApiError RequestsApiError "
            "IBMBackendApiError",
        ),
        "qiskit_ibm_runtime credentials": (
            CREDENTIALS,
            "IBMAccountError IBMNotAuthorizedError AuthenticationLicenseError AccountsError "
            "InvalidAccountError AccountNotFoundError AccountAlreadyExistsError",
        ),
        "qiskit_ibm_runtime unavailable": (
            UNAVAILABLE,
            "IBMBackendApiProtocolError ApiIBMProtocolError UserTimeoutExceededError "
            "RuntimeJobTimeoutError",
        ),
        "qiskit_ibm_runtime unreachable": (UNREACHABLE, "CloudResourceNameResolutionError"),
        "qiskit_ibm_runtime failed": (
            FAILED,
            "RuntimeJobFailureError RuntimeInvalidStateError RuntimeJobMaxTimeoutError",
        ),
        "qiskit_ibm_runtime caller": (
            CALLER,
            "IBMBackendValueError IBMInputValueError RuntimeProgramNotFound RuntimeJobNotFound "
            "BackendPropertyError BackendConfigurationError",
        ),
    },
    tariffs=list_tariffs(
        "USD",
        "api-evangelist/ibm-quantum plans, citing ibm.com/quantum/pricing",
        "2026-05-25",
        {
            "ibm:open": fixed(_FREE_MINUTES),
            "ibm:pay_as_you_go": fixed(_by_the_second(1.60)),
            "ibm:flex": fixed(_by_the_second(72 / 60)),
            "ibm:premium": fixed(_by_the_second(48 / 60)),
        },
        "of machine time, 2 s a job included, of which the open plan has 10 minutes in any 28 days and sells no more; "
        "the 30 000 USD that flex asks for are not counted",
    ),
)
