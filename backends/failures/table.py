"""The table of failures: HTTP status codes, error codes and exception classes of SDKs.

Classes are known by name, so that no provider package is imported. Python, HTTP clients and Qiskit
are here; the rows of a provider are in its profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from qiskit_gateway.backends.failures.errors import Fault
from qiskit_gateway.backends.registry import profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The meaning of a class of failures.

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

# A word after the package only keeps the keys of this mapping apart.
_ROWS: Mapping[str, tuple[Kind, str]] = {
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
}


def row_of(package: str, name: str) -> Kind | None:
    """Find what a class of exceptions means, by its top-level package and its own name."""
    return _table(profiles()).get(f"{package}.{name}")


def kind_of_code(code: str) -> Kind | None:
    """Find what an error code in a provider's answer means; a trailing "Exception" is left out."""
    code = code.removesuffix("Exception")
    found = (profile.error_codes for profile in profiles())
    return next((codes[code] for codes in found if code in codes), None)


@lru_cache(maxsize=1)
def _table(known: tuple[Any, ...]) -> dict[str, Kind]:
    """Join the rows of all profiles, by ``package.name``; of two for one name the first counts."""
    table: dict[str, Kind] = {}
    for rows in (_ROWS, *(profile.failures for profile in known)):
        for group, (kind, names) in rows.items():
            for name in names.split():
                table.setdefault(f"{group.partition(' ')[0]}.{name}", kind)
    return table
