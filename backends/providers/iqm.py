"""IQM, machines and fakes."""

from math import inf

from qiskit_gateway.backends.failures.table import (
    CALLER,
    CREDENTIALS,
    FAILED,
    STATUS,
    THROTTLED,
    UNAVAILABLE,
    WRAPPER,
)
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.pricing.allowance import Allowance
from qiskit_gateway.backends.pricing.published import fixed, list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing


def _free_credits(*, credits_per_second: float) -> Allowance:
    meter = Pricing(per_second=credits_per_second)
    return Allowance(meter=meter, amount=30, period="month", unit="credits", usd_per_unit=inf)


PROFILE = ProviderProfile(
    name="iqm",
    packages=("iqm",),
    jobs_overlap=True,
    # What star machines compile to; their plain target leaves out the resonators.
    target="target_with_resonators",
    # The star's target has gates between any two qubits, of which run() takes those routed by its
    # own stage; and that stage drops the last rotations about Z, so that no basis can be measured
    # afterwards.
    own_stages=("get_scheduling_stage_plugin", "get_translation_stage_plugin"),
    # Up to iqm-client 34 the names are those of HTTP statuses; 36 has names of its own, all in exa.
    failures={
        "iqm failed": (FAILED, "CircuitExecutionError JobError"),
        "iqm unavailable": (UNAVAILABLE, "APITimeoutError"),
        "iqm caller": (
            CALLER,
            "CircuitValidationError CircuitTranspilationError InstructionNotSupportedError "
            "OperationNotSupportedError UnknownObservationError",
        ),
        "iqm credentials": (CREDENTIALS, "ClientAuthenticationError"),
        "iqm configuration": (CALLER, "ClientConfigurationError"),
        "exa wrapper": (WRAPPER, "ExaError StationControlError IQMError"),
        "exa failed": (FAILED, "CircuitExecutionError"),
        "exa caller": (
            CALLER,
            "BadRequestError NotFoundError PayloadTooLargeError ValidationError "
            "UnknownSettingError EmptyComponentListError InvalidOperationError DataSizeError "
            "CircuitValidationError CircuitTranspilationError UnknownObservationError",
        ),
        "exa conflict": (STATUS[409], "ConflictError"),
        "exa credentials": (CREDENTIALS, "UnauthorizedError ForbiddenError AuthenticationError"),
        "exa throttled": (THROTTLED, "TooManyRequestsError RateLimitError"),
        "exa unavailable": (
            UNAVAILABLE,
            "InternalServerError BadGatewayError ServiceUnavailableError GatewayTimeoutError "
            "InternalSystemError SystemUnavailableError EngineInitialisationError "
            "OperationTimeoutError",
        ),
    },
    tariffs=list_tariffs(
        "USD",
        "api-evangelist/iqm-quantum-computers plans",
        "2026-08-23",
        {"iqm:resonance": fixed(Pricing(per_second=0.30))},
        "the lowest price of a QPU second",
    )
    | list_tariffs(
        "credits",
        "api-evangelist/iqm-quantum-computers plans",
        "2026-08-23",
        {"iqm:starter": _free_credits},
        "up to 30 free credits a month, taken as those of a calendar month; what a second takes of "
        "them was not published",
    ),
)
