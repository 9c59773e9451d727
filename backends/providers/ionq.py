"""IonQ, by its own API."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qiskit.circuit import QuantumCircuit

from qiskit_gateway.backends.circuits.estimates import gate_counts
from qiskit_gateway.backends.failures.table import (
    CALLER,
    CREDENTIALS,
    FAILED,
    REJECTED,
    UNAVAILABLE,
    WRAPPER,
    Kind,
)
from qiskit_gateway.backends.interface.adaptation import Adaptation, Trait
from qiskit_gateway.backends.interface.limits import read_property
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

# What IonQ's list of gates cannot express goes to it as a program, one in a job and only by itself.
# A job that is a list of one has no memory either.
_DYNAMIC: frozenset[Trait] = frozenset({"mid-circuit", "reset"})
_MACHINE = Adaptation(alone=_DYNAMIC, bare=True)
# The ideal simulator answers with chances, of which such programs have none.
_IDEAL = Adaptation(unanswered=_DYNAMIC, bare=True)
_known = by_class(
    {
        "qiskit_ionq.ionq_backend.IonQBackend": _MACHINE,
        "qiskit_ionq.ionq_backend.IonQSimulatorBackend": _IDEAL,
    }
)


def _adapt(backend: Any, options: Mapping[str, Any]) -> Adaptation | None:
    found = _known(backend, options)
    noise = options.get("noise_model") or read_property(backend, "options", "noise_model")
    return _MACHINE if found is _IDEAL and noise != "ideal" else found


def _jobs(backend: Any, key: str) -> Iterator[str]:
    """Go through all jobs of the project: the API cannot be asked for those of one name."""
    client = backend.client
    after: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        answer = client.get_with_retry(
            client.make_path("jobs"), params=after or None, headers=client.api_headers
        )
        answer.raise_for_status()
        page = answer.json()
        for job in page["jobs"]:
            # The circuits of a job are jobs too, and have its metadata.
            if not job.get("parent_job_id") and (job.get("metadata") or {}).get(LABEL) == key:
                yield str(job["id"])
        if not page.get("next"):
            return
        after = {"next": page["next"]}
    raise too_many_pages(MAX_PAGES)


def _read_queue(backend: Any) -> QueueReading:
    """Read the predicted queue time, in seconds, by the estimate of a small job."""
    estimate = backend.client.estimate_job(
        backend=backend._api_backend_name,  # noqa: SLF001  What its own calls send.
        oneq_gates=1,
        twoq_gates=1,
        qubits=2,
        shots=100,
    )
    seconds = amount_of(getattr(estimate, "queue_time", None))
    return QueueReading(
        wait_seconds=seconds, error="" if seconds is not None else "the estimate has no queue time"
    )


def _charge(backend: Any, job: Any) -> Charge | None:
    """Read the bill of a job: docs.ionq.com/api-reference/v0.4/jobs/get-job-cost."""
    client = backend.client
    answer = client.get_with_retry(
        client.make_path("jobs", job.job_id(), "cost"), headers=client.api_headers
    )
    answer.raise_for_status()
    cost = answer.json().get("cost") or {}
    value = amount_of(cost.get("value"))
    return Charge(usd=value) if value is not None and cost.get("unit") == "usd" else None


def _quote(backend: Any, circuits: Sequence[QuantumCircuit], shots: int) -> Charge | None:
    """Add up the provider's estimates of circuits, asked for once where they are alike."""
    kinds = Counter(
        (gates.num_1q, gates.num_2q, gates.num_measure) for gates in map(gate_counts, circuits)
    )
    total = 0.0
    for (one, two, qubits), number in kinds.items():
        estimate = backend.client.estimate_job(
            backend=backend._api_backend_name,  # noqa: SLF001  As above.
            oneq_gates=one,
            twoq_gates=two,
            qubits=max(qubits, 1),
            shots=shots,
        )
        cost = amount_of(estimate.cost)
        if cost is None or estimate.cost_unit != "usd":
            return None
        total += number * cost
    return Charge(usd=total)


PROFILE = ProviderProfile(
    name="ionq",
    packages=("qiskit_ionq",),
    jobs_overlap=True,
    adaptation=_adapt,
    label=Label(option="extra_metadata", labelled=with_field, jobs=_jobs),
    charge=_charge,
    quote=_quote,
    failed_job_errors=frozenset({"IonQJobFailureError"}),
    queue=Queue(
        names=("_api_backend_name",),
        read=_read_queue,
        # Its simulators have no queue that could be asked for.
        exists=lambda backend: not getattr(backend, "_simulator", False),
    ),
    failures={
        "qiskit_ionq wrapper": (
            WRAPPER,
            "IonQError IonQClientError IonQAPIError",
        ),
        "qiskit_ionq throttled": (
            Kind(transient=True, fault="backend", submitted=None, wraps=True),
            "IonQRetriableError",
        ),
        "qiskit_ionq credentials": (CREDENTIALS, "IonQCredentialsError"),
        "qiskit_ionq failed": (FAILED, "IonQJobFailureError IonQJobStateError"),
        "qiskit_ionq untold": (REJECTED, "IonQJobError"),
        "qiskit_ionq unavailable": (UNAVAILABLE, "IonQJobTimeoutError"),
        "qiskit_ionq caller": (
            CALLER,
            "IonQBackendError IonQGateError IonQMidCircuitMeasurementError "
            "IonQPauliExponentialError",
        ),
    },
)
