"""IBM Quantum, the platform and its fakes."""

from math import inf

from qiskit_gateway.backends.failures.table import (
    CALLER,
    CREDENTIALS,
    FAILED,
    UNAVAILABLE,
    UNREACHABLE,
    WRAPPER,
)
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.published import fixed, hourly, list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing

_FREE_MINUTES = Allowance(
    meter=Pricing(per_second=1.0), amount=600, period=28.0, unit="s", usd_per_unit=inf
)

PROFILE = ProviderProfile(
    name="ibm",
    packages=("qiskit_ibm_runtime",),
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
            "ibm:pay_as_you_go": fixed(Pricing(per_second=1.60)),
            "ibm:flex": hourly(72 * 60),
            "ibm:premium": hourly(48 * 60),
        },
        "of machine time, of which the open plan has 10 minutes in any 28 days and sells no more; "
        "the 30 000 USD that flex asks for are not counted",
    ),
)
