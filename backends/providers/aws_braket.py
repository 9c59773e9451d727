"""AWS Braket."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from qiskit_gateway.backends.failures.table import (
    CALLER,
    CONNECTION,
    CREDENTIALS,
    LOST,
    OFFLINE,
    REMOVED,
    THROTTLED,
    UNAVAILABLE,
    UNREACHABLE,
    WRAPPER,
)
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.limits import Limits, read_property
from qiskit_gateway.backends.interface.native_primitive import JobTerms, NativePrimitive
from qiskit_gateway.backends.interface.provider_profile import (
    LABEL,
    MAX_PAGES,
    Label,
    ProviderProfile,
    Queue,
    by_class,
    too_many_pages,
    with_field,
)
from qiskit_gateway.backends.interface.queue_reading import QueueReading, amount_of
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.published import list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing

# Of several measurements into one bit only the last is made, whatever follows on the other qubits.
_MEASURES_LAST = Adaptation(unsound=frozenset({"overwritten"}))

# amazon-braket-default-simulator 1.41 applies a gate with one control to wrong amplitudes where a
# qubit lies between the two and the control is qubit 1 or 2 of four: ctrl @ ry(0.7) q[1], q[3].
# These gates are sent as such, and compiled into others in their place.
_CONTROLLED = frozenset({"ch", "crx", "cry", "crz", "cs", "csdg", "csx"})
_LOCAL = replace(_MEASURES_LAST, gates=_CONTROLLED)
_LOCAL_CLASS = "qiskit_braket_provider.providers.braket_backend.BraketLocalBackend"
_known_of_class = by_class({_LOCAL_CLASS: _LOCAL})


def _adaptation(backend: Any, options: Mapping[str, Any] = MappingProxyType({})) -> Adaptation:
    return _known_of_class(backend, options) or _MEASURES_LAST


# AWS error codes, without a trailing "Exception".
_CODES = {
    code: kind
    for kind, codes in (
        (
            THROTTLED,
            "Throttling Throttled ThrottledRequest RequestThrottled RequestLimitExceeded SlowDown "
            "TooManyRequests BandwidthLimitExceeded ServiceQuotaExceeded LimitExceeded "
            "ProvisionedThroughputExceeded PriorRequestNotComplete TransactionInProgress",
        ),
        (
            CREDENTIALS,
            "AccessDenied ExpiredToken UnrecognizedClient InvalidClientTokenId AuthFailure "
            "SignatureDoesNotMatch InvalidSignature MissingAuthenticationToken "
            "IncompleteSignature UnauthorizedOperation OptInRequired NotAuthorized "
            "InvalidAccessKeyId RequestExpired",
        ),
        (CALLER, "ResourceNotFound Validation ValidationError Conflict InvalidParameterValue"),
        (OFFLINE, "DeviceOffline"),
        (REMOVED, "DeviceRetired"),
        (
            UNAVAILABLE,
            "InternalService InternalServer InternalServerError InternalFailure InternalError "
            "ServiceUnavailable RequestTimeout",
        ),
    )
    for code in codes.split()
}


def _tasks(backend: Any, key: str) -> Iterator[str]:
    """Go through all tasks of the device: they cannot be asked for by a tag."""
    device = backend._device  # noqa: SLF001  There is no public way.
    pages = device.aws_session.braket_client.get_paginator("search_quantum_tasks").paginate(
        filters=[{"name": "deviceArn", "operator": "EQUAL", "values": [device.arn]}],
        PaginationConfig={"PageSize": 100},
    )
    for number, page in enumerate(pages):
        if number == MAX_PAGES:
            raise too_many_pages(MAX_PAGES)
        for task in page["quantumTasks"]:
            if (task.get("tags") or {}).get(LABEL) == key:
                yield str(task["quantumTaskArn"])


def _read_queue(backend: Any) -> QueueReading:
    """Read the depths of the queue: tasks of both priorities are before ours."""
    depth = backend.queue_depth()
    tasks = getattr(depth, "quantum_tasks", depth)
    written = tasks.values() if isinstance(tasks, dict) else [tasks]
    counts = [count for count in map(amount_of, written) if count is not None]
    if not counts:
        return QueueReading(error="queue_depth() tells no number of tasks")
    return QueueReading(pending_jobs=sum(counts))


def _charge(_backend: Any, job: Any) -> Charge | None:
    """Read the billed shots: AWS bills a task by the shots that succeeded."""
    tasks = job._tasks if isinstance(job._tasks, list | tuple) else [job._tasks]  # noqa: SLF001
    # What came with the result, which no request is made for.
    told = [
        task.metadata(use_cached_value=True).get("numSuccessfulShots")
        for task in tasks
        if hasattr(task, "metadata")
    ]
    known = len(told) == len(tasks) and all(isinstance(shots, int) for shots in told)
    return Charge(shots=sum(told)) if known else None


def _per_shot(usd: float) -> Callable[..., Pricing]:
    def make(*, program_sets: bool = False) -> Pricing:
        if program_sets:
            return Pricing(per_job=0.30, per_shot=usd)
        return Pricing(per_circuit=0.30, per_shot=usd)

    return make


def _limits(_: Any, backend: Any, told: Limits) -> Limits:
    """Keep a job to what is one task: of several, the first that fails takes all others along."""
    most = read_property(backend, "_max_program_set_executables")
    return replace(told, max_circuits=most or None)


def _each_term_alone(estimator: Any, _: JobTerms) -> Any:
    """Return an estimator that measures each term by itself.

    With its own grouping, version 0.27 was seen to give values that are off by ten standard errors in
    some processes and not in others.
    """
    made = copy(estimator)
    made._abelian_grouping = False  # noqa: SLF001  There is no public way after it is made.
    return made


PROFILE = ProviderProfile(
    name="aws_braket",
    packages=("qiskit_braket_provider",),
    jobs_overlap=True,
    adaptation=_adaptation,
    # Tasks have tags where the user gives some, since to tag them takes a permission of its own. All
    # tasks of one call have the same, so that only a job that is one task is told from others.
    label=Label(option="tags", labelled=with_field, jobs=_tasks),
    primitive=NativePrimitive(
        adaptation=lambda _primitive, backend: _adaptation(backend),
        limits=_limits,
        overlaps=lambda *_: True,
    ),
    estimator=NativePrimitive(
        adaptation=lambda _primitive, backend: _adaptation(backend),
        limits=_limits,
        overlaps=lambda *_: True,
        for_job=_each_term_alone,
    ),
    charge=_charge,
    queue=Queue(names=("queue_depth",), read=_read_queue),
    shots_range=("_device", "properties", "service", "shotsRange"),
    error_codes=_CODES,
    failures={
        "qiskit_braket_provider": (WRAPPER, "QiskitBraketException"),
        "braket": (CALLER, "QASM3ParsingError EmulatorValidationError DiscretizationError"),
        "botocore wrapper": (WRAPPER, "BotoCoreError ClientError"),
        "botocore connection": (
            CONNECTION,
            "HTTPClientError ConnectionError SSLError ProxyConnectionError",
        ),
        "botocore unreachable": (UNREACHABLE, "EndpointConnectionError ConnectTimeoutError"),
        "botocore lost": (
            LOST,
            "ConnectionClosedError ReadTimeoutError ResponseStreamingError IncompleteReadError",
        ),
        "botocore credentials": (
            CREDENTIALS,
            "NoCredentialsError PartialCredentialsError CredentialRetrievalError NoAuthTokenError "
            "TokenRetrievalError UnauthorizedSSOTokenError SSOError LoginError",
        ),
        "botocore offline": (OFFLINE, "CapacityNotAvailableError"),
        "botocore caller": (
            CALLER,
            "ParamValidationError ValidationError NoRegionError UnknownServiceError "
            "UnknownRegionError ProfileNotFound ConfigNotFound ConfigParseError",
        ),
    },
    tariffs=list_tariffs(
        "USD",
        "aws.amazon.com/braket/pricing, stored copy",
        "about 2025 (undated)",
        {
            "braket:ionq_forte": _per_shot(0.08),
            "braket:ionq_aria": _per_shot(0.03),
            "braket:iqm_garnet": _per_shot(0.00145),
            "braket:quera_aquila": _per_shot(0.01),
            "braket:rigetti_ankaa": _per_shot(0.00090),
        },
        "a fee for each task and each shot; with error mitigation IonQ asks for 2500 shots or more",
    ),
)
