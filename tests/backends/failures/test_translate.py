"""Foreign exceptions become facts, and never carry a secret."""

import importlib
import inspect
import json
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit.exceptions import CircuitError
from qiskit.exceptions import QiskitError
from qiskit.providers import JobError, JobTimeoutError
from qiskit.transpiler.exceptions import TranspilerError

from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.failures.table import row_of
from qiskit_gateway.backends.failures.translate import redact, translate

HIDDEN = "q8Zr4TnB2LxW7yKc"


def foreign(name, base=Exception, **attributes):
    """An exception of a package that is not installed: `package.Class`."""
    module, _, own = name.rpartition(".")
    kind = type(own, (base,), {"__module__": module})
    exc = kind("it failed")
    for key, value in attributes.items():
        setattr(exc, key, value)
    return exc


def http(status, **headers):
    response = SimpleNamespace(status_code=status, headers=headers)
    return foreign("requests.exceptions.HTTPError", OSError, response=response)


def aws(code, status=400, **headers):
    response = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return foreign("botocore.exceptions.ClientError", response=response)


def facts(exc, phase="submit"):
    error = translate(exc, phase=phase)
    return error.transient, error.fault, error.submitted


@pytest.mark.parametrize(
    ("exc", "transient", "fault", "submitted"),
    [
        (TypeError("shots"), False, "caller", False),
        (ValueError("shots"), False, "caller", False),
        (MemoryError(), False, "caller", False),
        (RecursionError("deep"), False, "caller", False),
        (NotImplementedError(), False, "caller", False),
        (TranspilerError("no"), False, "caller", False),
        (CircuitError("no"), False, "caller", False),
        (TimeoutError("slow"), True, "network", None),
        (ConnectionRefusedError("no"), True, "network", False),
        (ConnectionResetError("gone"), True, "network", None),
        (ConnectionError("?"), True, "network", None),
        (OSError("?"), True, "network", None),
        (json.JSONDecodeError("garbled", "<html>", 0), True, "backend", None),
        (JobError("failed"), None, "backend", None),
        (JobTimeoutError("slow"), True, "backend", None),
        (CancelledError(), None, "backend", None),
        (KeyError("results"), None, "backend", None),
        (QiskitError("?"), None, "backend", None),
        (RuntimeError("?"), None, "backend", None),
        (foreign("never.heard.Of"), None, "backend", None),
        (http(400), False, "caller", False),
        (http(404), False, "caller", False),
        (http(409), None, "caller", False),
        (http(422), False, "caller", False),
        (http(500), True, "backend", None),
        (http(503), True, "backend", None),
        (http(524), True, "backend", None),
        (http(None), True, "network", None),
        (aws("ValidationException"), False, "caller", False),
        (aws("ResourceNotFoundException", 404), False, "caller", False),
        (aws("DeviceOfflineException", 424), True, "backend", False),
        (aws("DeviceRetiredException", 410), False, "backend", False),
        (aws("InternalServiceException", 500), True, "backend", None),
        (aws("SomethingNew", 503), True, "backend", None),
        (foreign("httpx.ConnectError"), True, "network", False),
        (foreign("httpx.ReadTimeout"), True, "network", None),
        (
            foreign("azure.core.exceptions.HttpResponseError", status_code=500),
            True,
            "backend",
            None,
        ),
        (foreign("qiskit_ionq.exceptions.IonQGateError", QiskitError), False, "caller", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_facts_when_submitting(exc, transient, fault, submitted):
    """Whether to try again, whose fault it is, and whether a job may exist all the same."""
    assert facts(exc) == (transient, fault, submitted)


@pytest.mark.parametrize("phase", ["collect", "cancel", "reattach"])
def test_a_job_that_exists_was_submitted(phase):
    """After submission the fate of the submission is known."""
    for exc in (TimeoutError(), TypeError(), http(503), http(429)):
        assert translate(exc, phase=phase).submitted is True


@pytest.mark.parametrize("phase", ["collect", "cancel", "reattach"])
def test_a_request_about_a_job_that_may_be_made_again_says_nothing_of_the_job(phase):
    """The way to the provider is blocked, whatever blocks it; a job that failed is told apart."""
    for exc in (TimeoutError(), http(503), http(429), aws("ThrottlingException")):
        assert (translate(exc, phase=phase).transient, translate(exc, phase=phase).fault) == (
            True,
            "network",
        )
    for exc in (JobError("failed"), http(404), TypeError()):
        assert translate(exc, phase=phase).fault != "network"


@pytest.mark.parametrize(
    "exc",
    [
        http(429),
        aws("ThrottlingException"),
        aws("ServiceQuotaExceededException", 402),
        foreign("exa.common.errors.TooManyRequestsError"),
    ],
)
def test_throttling(exc):
    """Being asked for fewer requests is transient, and nothing was submitted."""
    error = translate(exc, phase="submit")
    assert (error.throttled, error.transient, error.submitted) == (True, True, False)
    assert not error.authentication


@pytest.mark.parametrize(
    "exc",
    [
        http(401),
        http(403),
        aws("AccessDeniedException", 403),
        aws("ExpiredTokenException", 400),
        foreign("botocore.exceptions.NoCredentialsError"),
        foreign("qiskit_ionq.exceptions.IonQCredentialsError"),
        foreign("azure.core.exceptions.ClientAuthenticationError"),
    ],
)
def test_refused_credentials(exc):
    """Wrong keys stay wrong."""
    error = translate(exc, phase="submit")
    assert (error.authentication, error.transient, error.fault) == (True, False, "caller")


def answer(body="", status=400, **parts):
    """What an HTTP client raises of an answer: the text has the status, the body is aside."""
    error = foreign("requests.exceptions.HTTPError", OSError)
    error.args = (f"{status} Client Error: Bad Request for url: http://127.0.0.1/jobs",)
    error.response = SimpleNamespace(status_code=status, headers={}, **parts or {"text": body})
    return error


FULL = [
    "Reached maximum number (3) of concurrent jobs, Error code: 3458",
    '{"error": {"message": "The maximum number of pending jobs has been reached"}}',
    "You already have 3 active jobs",
    "At most 5 jobs may be queued at the same time",
    "concurrent_jobs limit exceeded",
    "Too many jobs in the queue",
    "limit of 2 unfinished tasks",
    "rate limit exceeded",
]
FAULTY = [
    "the circuit is not valid",
    "maximum number of shots exceeded",
    "too many circuits in one job",
    "the job's running time exceeds the maximum",
    "the monthly quota is used up",
]


@pytest.mark.parametrize("status", [400, 403, 409, 422])
@pytest.mark.parametrize("body", FULL)
def test_a_limit_of_jobs_at_once_is_a_throttle_under_whatever_status(body, status):
    """Nothing is wrong with the request: it is taken once a job has ended."""
    for error in (answer(body, status), QiskitError(body), raised(QiskitError("no"), answer(body))):
        told = translate(error, phase="submit")
        assert (told.throttled, told.transient, told.submitted) == (True, True, False)
        assert not told.authentication


@pytest.mark.parametrize("body", FAULTY)
def test_other_bad_requests_are_the_callers_and_show_what_was_answered(body):
    """The body of a refusal is the reason of it, wherever it stands."""
    told = translate(raised(QiskitError("no"), answer(body)), phase="submit")
    assert (told.throttled, told.transient, told.fault) == (False, False, "caller")
    assert body in str(told)
    for name, value in {"content": body.encode(), "data": {"detail": body}}.items():
        assert body in str(translate(answer(**{name: value}), phase="submit"))
    assert body in str(translate(foreign("a.ApiError", status=400, body=body), phase="submit"))
    assert body in str(translate(answer(json=lambda: {"detail": body}), phase="submit"))


def test_of_an_answer_only_what_tells_more_is_shown():
    """No secret, no page of an outage, nothing twice, and not too much of it."""
    shown = str(translate(answer(f'{{"token": "{HIDDEN}", "why": "no"}}'), phase="submit"))
    assert HIDDEN not in shown
    assert '"why": "no"' in shown
    assert "<html>" not in str(translate(answer("<html>", 502), phase="submit"))
    said = foreign("a.ApiError", status=400, body="it failed")
    assert str(translate(said, phase="submit")) == "ApiError: it failed"
    assert len(str(translate(answer("x y " * 1000), phase="submit"))) < 450


@pytest.mark.parametrize(
    "wrap", [QiskitError, RuntimeError, Exception, foreign("own.Odd").__class__]
)
@pytest.mark.parametrize(
    ("text", "throttled", "submitted"),
    [
        ("503: the queue is full, the job was not accepted", True, False),
        ("429: too many requests", True, False),
        ("HTTP 429", True, False),
        ("Queue is full", True, False),
        ("throttled by the server", True, False),
        ("Rate exceeded", True, False),
        ("the rate was exceeded", True, False),
        ("503: the job was not accepted", False, False),
        ("503", False, None),
        ("(503) Reason: maintenance", False, None),
        ("HTTP 502", False, None),
        ("HTTP/1.1 502 from the gateway", False, None),
        ("HTTP error 500", False, None),
        ("status code: 504", False, None),
        ("it failed with 502 Bad Gateway", False, None),
        ("Error 503 of the front end", False, None),
        ("the device is temporarily unavailable", False, None),
        ("please try again later", False, None),
    ],
)
def test_what_passes_is_read_of_a_text_where_nothing_else_tells(wrap, text, throttled, submitted):
    """Many packages wrap every HTTP error in one class, without status or cause."""
    error = translate(wrap(text), phase="submit")
    assert (error.transient, error.throttled, error.submitted) == (True, throttled, submitted)
    assert translate(wrap(text), phase="collect").fault == "network"
    # A cause of which only the class is known does not outweigh it.
    assert translate(raised(wrap(text), KeyError("id")), phase="submit").transient is True


def test_other_statuses_in_a_text_are_verdicts_only_where_it_names_them_so():
    """A number alone may be a code of a device, or a number of shots."""
    for text in ("401 Unauthorized: the token has expired", "HTTP 401", "status 403"):
        assert translate(QiskitError(text), phase="collect").authentication
    assert facts(QiskitError("400: bad request")) == (False, "caller", False)
    for text in ("error 417", "500 shots", "device error 17", "qubit 401 failed", "code 4290"):
        assert facts(QiskitError(text)) == (None, "backend", None)


def test_a_status_and_a_named_class_outweigh_a_text():
    """What a server or a package says in so many words is not read from prose."""
    assert facts(ValueError("HTTP 503")) == (False, "caller", False)
    assert facts(raised(QiskitError("HTTP 503"), http(400))) == (False, "caller", False)
    assert facts(JobError("HTTP 503"), phase="collect")[0] is None


def test_texts_are_read_in_linear_time():
    """However long a page is, and whatever it repeats."""
    for text in (
        "job ",
        "jobs at ",
        "concurrent ",
        "status code ",
        "http error ",
        "5",
        "limit 500 ",
    ):
        assert translate(QiskitError(text * 10**5), phase="submit")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("exa.TooManyRequestsError", "exa.common.errors.iqm_error.RateLimitError"),
        ("exa.UnauthorizedError", "exa.common.errors.iqm_error.AuthenticationError"),
        ("exa.ForbiddenError", "exa.common.errors.iqm_error.ForbiddenError"),
        ("exa.NotFoundError", "exa.common.errors.iqm_error.NotFoundError"),
        ("exa.ConflictError", "exa.common.errors.iqm_error.ConflictError"),
        ("exa.BadRequestError", "exa.common.errors.iqm_error.InvalidOperationError"),
        ("exa.PayloadTooLargeError", "exa.common.errors.iqm_error.DataSizeError"),
        ("exa.ValidationError", "exa.common.errors.iqm_error.ValidationError"),
        ("exa.InternalServerError", "exa.common.errors.iqm_error.InternalSystemError"),
        ("exa.BadGatewayError", "exa.common.errors.iqm_error.BadGatewayError"),
        ("exa.ServiceUnavailableError", "exa.common.errors.iqm_error.SystemUnavailableError"),
        ("exa.ServiceUnavailableError", "exa.common.errors.iqm_error.EngineInitialisationError"),
        ("exa.GatewayTimeoutError", "exa.common.errors.iqm_error.OperationTimeoutError"),
        ("iqm.APITimeoutError", "exa.common.errors.iqm_error.OperationTimeoutError"),
        ("iqm.CircuitExecutionError", "exa.common.errors.iqm_error.CircuitExecutionError"),
        ("iqm.CircuitValidationError", "exa.common.errors.iqm_error.CircuitValidationError"),
        ("iqm.CircuitTranspilationError", "exa.common.errors.iqm_error.CircuitTranspilationError"),
        ("iqm.UnknownObservationError", "exa.common.errors.iqm_error.UnknownObservationError"),
        ("exa.ExaError", "exa.common.errors.iqm_error.IQMError"),
    ],
)
@pytest.mark.parametrize("phase", ["submit", "collect"])
def test_the_names_of_iqm_client_36_mean_what_those_of_34_did(old, new, phase):
    """A release that renames its exceptions changes nothing of what they say."""
    first, second = (translate(foreign(name), phase=phase) for name in (old, new))
    for fact in ("transient", "throttled", "fault", "submitted", "authentication"):
        assert getattr(first, fact) == getattr(second, fact)


@pytest.mark.parametrize(
    ("exc", "seconds"),
    [
        (http(429, **{"Retry-After": "7"}), 7.0),
        (http(503, **{"retry-after": "0.5"}), 0.5),
        (http(503, **{"x-ms-retry-after-ms": "1500"}), 1.5),
        (
            http(
                429,
                **{
                    "Retry-After": "Sun, 22 Nov 2026 15:01:00 GMT",
                    "Date": "Sun, 22 Nov 2026 15:00:00 GMT",
                },
            ),
            60.0,
        ),
        (http(429, **{"Retry-After": "Sun, 22 Nov 1998 15:01:00 GMT"}), None),
        (http(429, **{"Retry-After": "soon"}), None),
        (http(429, **{"Retry-After": "-3"}), None),
        (http(429), None),
        (foreign("some.Error", retry_after=12), 12.0),
        (foreign("some.Error", retry_after=float("inf")), None),
        (foreign("some.Error", headers={"RETRY-AFTER": 3}), 3.0),
        (aws("ThrottlingException", 400, **{"retry-after": "4"}), 4.0),
    ],
)
def test_retry_after(exc, seconds):
    """Seconds, milliseconds and dates, wherever the provider put them."""
    assert translate(exc, phase="submit").retry_after_seconds == seconds


def test_a_backend_error_stays_as_it_is():
    """What has been translated is not translated again."""
    for error in (BackendError("x", transient=True), Refused({0: "too wide"})):
        assert translate(error, phase="submit") is error


def raised(outer, inner):
    """The outer exception as raised from the inner one."""
    try:
        try:
            raise inner
        except type(inner) as cause:
            raise outer from cause
    except type(outer) as exc:
        return exc


def test_wrappers_are_opened():
    """A class that says nothing takes its facts from its cause."""
    assert facts(raised(QiskitError("failed"), http(503))) == (True, "backend", None)
    assert facts(raised(RuntimeError("failed"), raised(QiskitError("x"), http(429))))[2] is False
    assert facts(raised(ValueError("bad"), http(503))) == (False, "caller", False)
    error = translate(raised(QiskitError("failed"), TimeoutError("slow")), phase="submit")
    assert str(error) == "QiskitError: failed, because of TimeoutError: slow"
    ionq = foreign("qiskit_ionq.exceptions.IonQRetriableError", _cause=http(429))
    assert translate(ionq, phase="submit").throttled


def test_a_connection_never_made_sent_nothing():
    """Told from a connection that broke by what caused it; a lost answer outweighs both."""
    outer = foreign("requests.exceptions.ConnectionError", OSError)
    refused = raised(outer, foreign("urllib3.exceptions.NewConnectionError"))
    assert facts(refused) == (True, "network", False)
    broken = raised(outer, foreign("urllib3.exceptions.ProtocolError"))
    assert facts(broken) == (True, "network", None)
    never = foreign("urllib3.exceptions.NewConnectionError")
    assert facts(raised(outer, raised(never, TimeoutError("no answer")))) == (True, "network", None)


def test_circles_of_causes_end():
    """Causes may form a circle."""
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert facts(one) == (None, "backend", None)


def test_texts_that_cannot_be_made():
    """QiskitError of a number fails in str(); the class name is left."""

    class MuteError(Exception):
        def __str__(self):
            raise TypeError

    assert str(translate(MuteError(), phase="submit")) == "MuteError"
    assert str(translate(QiskitError("a 'quoted' text"), phase="submit")).endswith(
        "a 'quoted' text"
    )
    long = str(translate(ValueError("x y " * 10_000), phase="submit"))
    assert len(long) == 600


# Exceptions that raise when they are looked at


def recurse(self, name):
    return getattr(self.inner, name)


def raising(error):
    def look(self, *_):
        raise error

    return look


LOOKS = {
    "__getattr__ recurses": {"__getattr__": recurse},
    "every attribute": {"__getattribute__": raising(SystemExit(3))},
    "__str__": {"__str__": raising(SystemExit(3))},
    "__str__ of no text": {"__str__": lambda self: 7},
    "its class": {"__class__": property(raising(KeyError("class")))},
    "__module__ is none": {"__module__": None},
    **{
        f"{name} raises {type(error).__name__}": {name: property(raising(error))}
        for name in ("response", "status_code", "headers", "message", "reason", "args", "__cause__")
        for error in (KeyError("x"), SystemExit(3), CancelledError(), RecursionError("deep"))
    },
}


@pytest.mark.parametrize("phase", ["submit", "collect"])
@pytest.mark.parametrize("looks", LOOKS.values(), ids=LOOKS)
def test_what_cannot_be_read_of_an_exception_is_absent(looks, phase):
    """Whatever a look at it raises, the failure is told with the name of its class."""
    error = translate(type("OddError", (Exception,), looks)("boom"), phase=phase)
    assert str(error).startswith("OddError")
    assert (error.transient, error.fault) == (None, "backend")
    assert error.submitted is (None if phase == "submit" else True)


def test_a_class_that_raises_is_told_by_its_name():
    """A metaclass may raise at every look at the class."""
    meta = type("Meta", (type,), {"__getattribute__": raising(RuntimeError("meta"))})
    error = translate(meta("OddError", (Exception,), {})("boom"), phase="submit")
    assert str(error).startswith("OddError")


def test_what_can_be_read_of_an_exception_still_counts():
    """One attribute that raises hides no other one, and an odd response hides no status."""
    looks = {"response": property(raising(KeyError("no"))), "status_code": 429}
    assert translate(type("Odd", (Exception,), looks)(), phase="submit").throttled
    answer = type("Answer", (), {"headers": property(raising(KeyError())), "status_code": 503})()
    assert facts(foreign("odd.Error", response=answer)) == (True, "backend", None)
    headers = type("Headers", (dict,), {"items": raising(RuntimeError("no"))})
    assert facts(foreign("odd.Error", status_code=429, headers=headers(a=1)))[2] is False
    number = type("Number", (), {"__float__": raising(SystemExit(3))})()
    assert translate(foreign("odd.Error", retry_after=number), phase="submit")


def test_an_error_of_a_members_own_has_facts_without_its_constructor():
    """A subclass whose constructor calls nobody is a failure of unknown kind."""

    class OwnError(BackendError):
        def __init__(self):
            pass

    error = translate(OwnError(), phase="submit")
    assert (error.transient, error.throttled, error.submitted) == (None, False, False)
    assert str(error) == ""


# Secrets


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: apiKey {HIDDEN}",
        f"{{'Authorization': 'Bearer {HIDDEN}', 'x': 1}}",
        f'"authorization":"{HIDDEN}"',
        f"Authorization=Basic {HIDDEN}==",
        f"Bearer {HIDDEN} was refused",
        f"apiKey {HIDDEN}",
        f"token={HIDDEN}",
        f"IONQ_API_KEY={HIDDEN}",
        f"api-key: '{HIDDEN}'",
        f'{{"access_token": "{HIDDEN} {HIDDEN}"}}',
        f"aws_secret_access_key = {HIDDEN}/{HIDDEN}+{HIDDEN}",
        f"X-Api-Key: {HIDDEN}",
        f"Set-Cookie: session={HIDDEN}",
        f"Ocp-Apim-Subscription-Key: {HIDDEN}",
        f"password: {HIDDEN}",
        f"https://user:{HIDDEN}@example.com/path",
        f"https://example.com/a?x=1&X-Amz-Signature={HIDDEN}&y=2",
        f"https://example.com/a?sig={HIDDEN}",
        f"IQM rejected {HIDDEN * 4}",
        f"eyJhbGciOiJIUzI1NiJ9.{HIDDEN}.{HIDDEN}",
        f"[('X-Api-Key', '{HIDDEN}'), ('Accept', 'text/html')]",
        f"(b'Authorization', b'Bearer {HIDDEN}')",
        f'["access_token", "{HIDDEN}/+=="]',
        f"<Error><apiKey>{HIDDEN}</apiKey></Error>",
        f'<session-token type="x">0</session-token><password>{HIDDEN} {HIDDEN}</password>',
        f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}\n{HIDDEN}\n-----END PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\\n{HIDDEN}/+==\\n-----END RSA PRIVATE KEY-----",
        f"secret {HIDDEN} of AKIAIOSFODNN7EXAMPLE",
        f"the password {HIDDEN} is wrong",
    ],
)
def test_secrets_are_hidden(text):
    """No part of a secret survives, wherever it stands."""
    for said in (redact(text), str(translate(RuntimeError(text), phase="submit"))):
        assert HIDDEN not in said
        assert "[redacted]" in said


def test_access_keys_of_aws_are_hidden():
    """They are told by their form."""
    assert redact("key AKIAIOSFODNN7EXAMPLE refused") == "key [redacted] refused"


@pytest.mark.parametrize(
    "text",
    [
        "job 123e4567-e89b-12d3-a456-426614174000 failed",
        "the token expired yesterday",
        "basic simulator: unsupported gate",
        "Number of qubits 31 is greater than maximum (24)",
        "/opt/venvs/dev/lib/python3.11/site-packages/qiskit_something/long_0123456789_name.py",
        "there are options 'token', 'max_shots_of_2024' and 'url'",
        "unknown key ['token', 'instance', 'channel']",
        "<b>token</b> is needed, the password must have 8 characters",
        "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    ],
)
def test_plain_texts_stay(text):
    """What is no secret can still be read."""
    assert redact(text) == text


@given(st.text(max_size=300))
def test_redacting_twice_changes_nothing_more(text):
    """Redaction is stable, whatever the text."""
    once = redact(text)
    assert redact(once) == once


def test_redaction_is_quick_on_hostile_texts():
    """No text makes the patterns run away."""
    for text in (
        "a" * 10**6,
        "token" * 10**5,
        "api-" * 10**5,
        "x://" * 10**5,
        "authorization: " * 10**4,
        "token" + " " * 10**5,
        "eyJ" * 10**5,
        "token='" * 10**5,
    ):
        assert len(redact(text)) <= 40_000


# Every class that a provider's package defines is in the table by its own name.


def defined_in(module_name):
    module = pytest.importorskip(module_name)
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
        and not issubclass(kind, Warning)
        and kind.__module__.partition(".")[0] == module_name.partition(".")[0]
    ]


def assert_all_named(module_name):
    kinds = defined_in(module_name)
    missing = [
        kind.__qualname__
        for kind in kinds
        if row_of(kind.__module__.partition(".")[0], kind.__name__) is None
    ]
    assert kinds
    assert not missing, f"give these a row in the profile of their provider: {missing}"


@pytest.mark.parametrize(
    "module",
    [
        "qiskit.exceptions",
        "qiskit.providers.exceptions",
        "qiskit.providers.basic_provider.exceptions",
        "qiskit.transpiler.exceptions",
        "qiskit.circuit.exceptions",
    ],
)
def test_every_class_of_qiskit_is_in_the_table(module):
    """A class that a new release adds fails here, not in somebody's run."""
    assert_all_named(module)


@pytest.mark.providers
@pytest.mark.parametrize(
    "module",
    [
        "qiskit_ionq.exceptions",
        "qiskit_ibm_runtime.exceptions",
        "qiskit_ibm_runtime.api.exceptions",
        "qiskit_ibm_runtime.accounts.exceptions",
        "qiskit_aer.aererror",
        "qiskit_aer.noise.noiseerror",
        "qiskit_braket_provider.exception",
        "requests.exceptions",
        "iqm.iqm_client.errors",
        "iqm.station_control.client.authentication",
        "iqm.qiskit_iqm.qiskit_to_iqm",
        "exa.common.errors.station_control_errors",
        "exa.common.errors.iqm_error",
        "mqt.core.plugins.qiskit.exceptions",
        "pytket.backends.backend_exceptions",
    ],
)
def test_every_class_of_the_providers_is_in_the_table(module):
    """The same for the packages that talk to machines."""
    assert_all_named(module)


@pytest.mark.providers
def test_real_connections_refused():
    """Nothing listens on this port, so nothing was sent."""
    requests = pytest.importorskip("requests")
    with pytest.raises(requests.ConnectionError) as caught:
        requests.post("http://127.0.0.1:9/jobs", json={}, timeout=2)
    assert facts(caught.value) == (True, "network", False)


@pytest.mark.providers
def test_real_errors_of_ionq():
    """A refused job tells the status, and its text is the message without headers or body."""
    errors = importlib.import_module(pytest.importorskip("qiskit_ionq.exceptions").__name__)
    headers = {"Retry-After": "9", "Set-Cookie": HIDDEN}
    fatal = errors.IonQAPIError("out of credit", 402, headers, HIDDEN, "payment")
    error = translate(fatal, phase="submit")
    assert (str(error), error.transient) == ("IonQAPIError: out of credit", False)
    busy = errors.IonQAPIError("slow down", 429, headers, HIDDEN, "rate")
    error = translate(errors.IonQRetriableError(busy), phase="submit")
    assert (error.throttled, error.retry_after_seconds, error.submitted) == (True, 9.0, False)


@pytest.mark.providers
def test_real_errors_of_qdk():
    """qdk's errors live in a module called "module"."""
    pytest.importorskip("qdk")
    from qdk._native import QSharpError

    assert facts(QSharpError("bad program")) == (False, "caller", False)
