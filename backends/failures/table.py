"""How SDKs fail: what HTTP status codes, AWS error codes and exception classes mean.

Classes are known by name, so that no provider package is imported. :mod:`.faults` reads this.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from qiskit_gateway.backends.failures.errors import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a class of failures means.

    Attributes:
        transient: As in :class:`BackendError`, like the next three.
        fault: Whose it is.
        throttled: Whether fewer requests were asked for.
        authentication: Whether credentials were refused.
        submitted: What is known of the job when submitting failed in this way.
        wraps: Whether a cause, where there is one, says more than this.
    """

    transient: bool | None
    fault: Fault
    throttled: bool = False
    authentication: bool = False
    submitted: bool | None = False
    wraps: bool = False


# No connection was made, so nothing was sent.
UNREACHABLE = Kind(transient=True, fault="network")
# Something may have been sent and no answer was read.
LOST = Kind(transient=True, fault="network", submitted=None)
# As above, but a cause may tell that nothing was sent.
CONNECTION = Kind(transient=True, fault="network", submitted=None, wraps=True)
UNAVAILABLE = Kind(transient=True, fault="backend", submitted=None)
OFFLINE = Kind(transient=True, fault="backend")
THROTTLED = Kind(transient=True, fault="backend", throttled=True)
CREDENTIALS = Kind(transient=False, fault="caller", authentication=True)
CALLER = Kind(transient=False, fault="caller")
REMOVED = Kind(transient=False, fault="backend")
# The provider took the job and failed at it; whether it would again is not known.
FAILED = Kind(transient=None, fault="backend", submitted=None)
# As above; raised while submitting, it is raised before anything is sent.
REJECTED = Kind(transient=None, fault="backend")
WRAPPER = Kind(transient=None, fault="backend", submitted=None, wraps=True)
UNKNOWN = WRAPPER


def _table(rows: Mapping[str, tuple[Kind, str]]) -> dict[str, Kind]:
    """Return rows of ``package: kind, names`` by ``package.name``."""
    return {
        f"{group.partition(' ')[0]}.{name}": kind
        for group, (kind, names) in rows.items()
        for name in names.split()
    }


STATUS = {
    401: CREDENTIALS,
    403: CREDENTIALS,
    407: CREDENTIALS,
    408: LOST,
    409: Kind(transient=None, fault="caller"),
    425: OFFLINE,
    429: THROTTLED,
    501: REMOVED,
}

# AWS error codes, without a trailing "Exception".
AWS = {
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

# A word after the package only keeps the keys of this mapping apart.
TABLE = _table(
    {
        # Python
        "builtins wrapper": (WRAPPER, "Exception RuntimeError"),
        "builtins connection": (CONNECTION, "OSError ConnectionError"),
        "builtins lost": (
            LOST,
            "TimeoutError ConnectionResetError ConnectionAbortedError BrokenPipeError EOFError",
        ),
        "builtins unreachable": (UNREACHABLE, "ConnectionRefusedError"),
        "builtins caller": (
            CALLER,
            "TypeError ValueError ArithmeticError MemoryError RecursionError NotImplementedError "
            "ImportError NameError SyntaxError FileNotFoundError PermissionError",
        ),
        # Often a provider's bug on an answer that it did not expect.
        "builtins failed": (FAILED, "LookupError AttributeError AssertionError"),
        "concurrent": (FAILED, "CancelledError BrokenExecutor InvalidStateError"),
        "asyncio": (FAILED, "CancelledError InvalidStateError"),
        "socket": (UNREACHABLE, "gaierror herror"),
        "ssl": (CONNECTION, "SSLError"),
        "ssl unreachable": (UNREACHABLE, "SSLCertVerificationError"),
        "http": (LOST, "HTTPException"),
        "json": (UNAVAILABLE, "JSONDecodeError"),
        # HTTP clients
        "requests connection": (
            CONNECTION,
            "RequestException HTTPError ConnectionError ProxyError SSLError Timeout RetryError",
        ),
        "requests unreachable": (UNREACHABLE, "ConnectTimeout"),
        "requests lost": (
            LOST,
            "ReadTimeout ChunkedEncodingError ContentDecodingError StreamConsumedError "
            "TooManyRedirects",
        ),
        "requests unavailable": (UNAVAILABLE, "JSONDecodeError InvalidJSONError"),
        "requests caller": (
            CALLER,
            "URLRequired MissingSchema InvalidSchema InvalidURL InvalidHeader InvalidProxyURL "
            "UnrewindableBodyError",
        ),
        "urllib": (CONNECTION, "URLError HTTPError"),
        "urllib3 connection": (
            CONNECTION,
            "HTTPError PoolError RequestError MaxRetryError SSLError ProxyError TimeoutError "
            "ResponseError",
        ),
        "urllib3 unreachable": (
            UNREACHABLE,
            "ConnectTimeoutError NewConnectionError NameResolutionError EmptyPoolError "
            "FullPoolError ClosedPoolError",
        ),
        "urllib3 lost": (LOST, "ProtocolError ReadTimeoutError DecodeError IncompleteRead"),
        "urllib3 caller": (CALLER, "LocationValueError"),
        "httpx connection": (CONNECTION, "HTTPError TransportError TimeoutException"),
        "httpx unreachable": (UNREACHABLE, "ConnectError ConnectTimeout PoolTimeout"),
        "httpx lost": (
            LOST,
            "ReadError WriteError ReadTimeout WriteTimeout CloseError RemoteProtocolError "
            "DecodingError TooManyRedirects",
        ),
        "httpx caller": (CALLER, "UnsupportedProtocol LocalProtocolError InvalidURL"),
        "aiohttp connection": (CONNECTION, "ClientError ServerTimeoutError"),
        "aiohttp unreachable": (UNREACHABLE, "ClientConnectorError ConnectionTimeoutError"),
        "grpc": (CONNECTION, "RpcError"),
        # Qiskit
        "qiskit wrapper": (WRAPPER, "QiskitError"),
        "qiskit failed": (FAILED, "JobError ResultError QpyError"),
        "qiskit lost": (
            Kind(transient=True, fault="backend", submitted=None),
            "JobTimeoutError",
        ),
        "qiskit caller": (
            CALLER,
            "QiskitBackendNotFoundError TranspilerAccessError CircuitTooWideForTarget "
            "InvalidLayoutError TranspilerError PassManagerError CouplingError LayoutError "
            "CircuitError DAGCircuitError DAGDependencyError QASM2Error QASM3Error "
            "MissingOptionalLibraryError InvalidFileError QiskitUserConfigError "
            "BasicProviderError UnsupportedFeatureForVersion VisualizationError",
        ),
        "qiskit_aer": (CALLER, "AerError NoiseError"),
        # IBM
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
        # IonQ
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
        # IQM
        "iqm failed": (FAILED, "CircuitExecutionError JobError"),
        "iqm unavailable": (UNAVAILABLE, "APITimeoutError"),
        "iqm caller": (
            CALLER,
            "CircuitValidationError CircuitTranspilationError InstructionNotSupportedError "
            "OperationNotSupportedError UnknownObservationError",
        ),
        "iqm credentials": (CREDENTIALS, "ClientAuthenticationError"),
        "iqm configuration": (CALLER, "ClientConfigurationError"),
        "exa wrapper": (WRAPPER, "ExaError StationControlError"),
        "exa caller": (
            CALLER,
            "BadRequestError NotFoundError PayloadTooLargeError ValidationError "
            "UnknownSettingError EmptyComponentListError",
        ),
        "exa conflict": (STATUS[409], "ConflictError"),
        "exa credentials": (CREDENTIALS, "UnauthorizedError ForbiddenError"),
        "exa throttled": (THROTTLED, "TooManyRequestsError"),
        "exa unavailable": (
            UNAVAILABLE,
            "InternalServerError BadGatewayError ServiceUnavailableError GatewayTimeoutError",
        ),
        # AWS Braket
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
        # Others
        "azure wrapper": (WRAPPER, "AzureError HttpResponseError"),
        "azure credentials": (CREDENTIALS, "ClientAuthenticationError"),
        "azure caller": (CALLER, "ResourceNotFoundError"),
        "azure unreachable": (UNREACHABLE, "ServiceRequestError"),
        "azure lost": (LOST, "ServiceResponseError ServiceRequestTimeoutError"),
        "aqt_connector": (WRAPPER, "AqtConnectorError"),
        "qiskit_aqt_provider": (CALLER, "CircuitValidationError TokenNotFoundError"),
        "mqt wrapper": (WRAPPER, "QDMIQiskitError JobSubmissionError"),
        "mqt caller": (
            CALLER,
            "UnsupportedDeviceError UnsupportedOperationError TranslationError "
            "CircuitValidationError UnsupportedFormatError",
        ),
        # qdk's errors live in a module that calls itself "module".
        "module": (CALLER, "QSharpError QasmError StimError"),
        "pytket": (
            CALLER,
            "CircuitNotValidError CircuitNotRunError InvalidResultType ResultHandleTypeError "
            "NoIBMQCredentialsError",
        ),
        "pyqrack": (CALLER, "QrackError"),
        "qiskit_qrack_provider": (CALLER, "QrackError"),
    }
)
