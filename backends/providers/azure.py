"""Azure Quantum."""

from collections.abc import Callable
from math import inf
from typing import Any

from qiskit_gateway.backends.failures.table import CALLER, CREDENTIALS, LOST, UNREACHABLE, WRAPPER
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile, Queue
from qiskit_gateway.backends.interface.queue_reading import QueueReading, amount_of
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.charge import Charge
from qiskit_gateway.backends.pricing.published import Rates, fixed, hourly_eur, list_tariffs
from qiskit_gateway.backends.pricing.rates import FREE, Hqc, Pricing

_SOURCE = "MicrosoftDocs/quantum-docs, articles/pricing.md"
_AS_OF = "2026-04-15"


def _read_queue(backend: Any) -> QueueReading:
    """Read the average queue time of a target, in seconds."""
    name = backend._get_azure_target_id()  # noqa: SLF001  There is no public way.
    found = backend._get_azure_workspace().get_targets(name=name)  # noqa: SLF001
    targets = found if isinstance(found, list | tuple) else [found]
    for target in targets:
        seconds = amount_of(getattr(target, "_average_queue_time", None))
        if seconds is not None:
            return QueueReading(wait_seconds=seconds)
    return QueueReading(error="the target tells no average queue time")


def _charge(_backend: Any, job: Any) -> Charge | None:
    return _read_cost(job._azure_job.details.cost_estimate)  # noqa: SLF001  There is no public way.


def _read_cost(cost: Any) -> Charge | None:
    total = amount_of(getattr(cost, "estimated_total", None))
    dollars = getattr(cost, "currency_code", None) == "USD"
    return Charge(usd=total) if total is not None and dollars else None


def _ionq(
    *, gate_1q: float, gate_2q: float, floor: float, mitigated_floor: float
) -> Callable[..., Pricing]:
    def make(*, error_mitigation: bool = True) -> Pricing:
        return Pricing(
            per_1q_gate_shot=gate_1q,
            per_2q_gate_shot=gate_2q,
            minimum_per_job=mitigated_floor if error_mitigation else floor,
        )

    return make


_FORTE = _ionq(gate_1q=0.0001645, gate_2q=0.001121, floor=25.7899, mitigated_floor=168.195)


def _subscription(amount: float, unit: str = "HQC") -> Callable[..., Rates]:
    meter = Hqc(usd_per_hqc=1)
    return fixed(Allowance(meter=meter, amount=amount, period="month", unit=unit, usd_per_unit=inf))


PROFILE = ProviderProfile(
    name="azure",
    packages=("azure.quantum",),
    jobs_overlap=True,
    charge=_charge,
    queue=Queue(names=("_get_azure_workspace", "_get_azure_target_id"), read=_read_queue),
    failures={
        "azure wrapper": (WRAPPER, "AzureError HttpResponseError"),
        "azure credentials": (CREDENTIALS, "ClientAuthenticationError"),
        "azure caller": (CALLER, "ResourceNotFoundError"),
        "azure unreachable": (UNREACHABLE, "ServiceRequestError"),
        "azure lost": (LOST, "ServiceResponseError ServiceRequestTimeoutError"),
    },
    tariffs=list_tariffs(
        "USD",
        _SOURCE,
        _AS_OF,
        {
            "azure:ionq_aria": _ionq(
                gate_1q=0.000220, gate_2q=0.000975, floor=12.4166, mitigated_floor=97.50
            ),
            "azure:ionq_forte": _FORTE,
            "azure:ionq_forte_enterprise": _FORTE,
        },
        "the page calls the floor a minimum in its table and adds it in its formula; here it is a "
        "minimum. A program is a job, since Azure takes one circuit in a job",
    )
    | list_tariffs(
        "HQC",
        _SOURCE,
        _AS_OF,
        {
            "azure:quantinuum_standard": _subscription(10_000),
            "azure:quantinuum_standard_emulator": _subscription(100_000, "eHQC"),
            "azure:quantinuum_premium": _subscription(17_000),
            "azure:quantinuum_premium_emulator": _subscription(170_000, "eHQC"),
        },
        "the credits of a subscription of 125 000 USD a month (standard) or 175 000 (premium), which "
        "are not in the price; taken as those of a calendar month, and none are sold beyond them",
    )
    | list_tariffs(
        "USD",
        _SOURCE,
        _AS_OF,
        {
            "azure:rigetti_cepheus_1_108q": fixed(Pricing(per_second=2.0, second_increment=0.01)),
            "azure:rigetti_qvm": fixed(FREE),
        },
        "0.02 USD for each 10 ms of execution; nothing for jobs, shots or gates",
    )
    | list_tariffs(
        "EUR",
        _SOURCE,
        _AS_OF,
        {"azure:pasqal_qpu": hourly_eur(3000), "azure:pasqal_emulator": hourly_eur(15)},
        "by the hour of machine time",
    ),
)
