"""No secret that a provider says is in logs, journal, reports, errors or pickled jobs."""

import pickle
from types import SimpleNamespace

import pytest
from qiskit.providers import BackendV2, JobStatus, Options
from qiskit.transpiler import Target
from small_circuits import zero
from structlog.testing import capture_logs

from qiskit_gateway import (
    ConfigError,
    GatewayError,
    Journal,
    JournalError,
    PlanError,
    RouterSampler,
    RunError,
    load_config,
)
from qiskit_gateway.backends import BackendError, Member
from qiskit_gateway.backends.failures.errors import Refused
from qiskit_gateway.backends.failures.redaction import redact, redact_name
from qiskit_gateway.journal.run_spec import write_options
from qiskit_gateway.policies import Policy, RetryPolicy

HIDDEN = "q8Zr4TnB2LxW7yKc"
TEXTS = [
    f"token={HIDDEN}",
    f"Authorization: Bearer {HIDDEN}",
    f"https://user:{HIDDEN}@example.com/jobs/1",
    f"https://example.com/jobs?sig={HIDDEN}",
    f"eyJhbGciOiJIUzI1NiJ9.{HIDDEN}.{HIDDEN}",
]
LONG = HIDDEN * 4
RETRY = Policy(
    retry=RetryPolicy(max_attempts=2, max_failures_per_run=3, wait_initial_seconds=0.001)
)


SECRET_NAMES = [
    "token", "IONQ_TOKEN", "api_key", "api-key", "apikey", "x_ibm_api_key", "access_key",
    "aws_access_key_id", "account_key", "private_key", "subscription_key", "client_secret",
    "password", "passwd", "pwd", "passphrase", "credential", "credentials", "signature", "sas_sig",
    "authorization", "Proxy-Authorization", "jwt", "session_cookie",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_is_secret_by_its_name_is_so_everywhere(name, tmp_path):
    """Texts, what the journal writes down and configuration files go by one list of names."""
    assert HIDDEN not in redact(f"{name}={HIDDEN}")
    with pytest.raises(JournalError, match="hold a secret"):
        write_options({"run_options": {name: "plain"}})
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[[members]]\nbackend = "qiskit.providers.basic_provider:BasicSimulator"\n'
        f'arguments = {{ {name} = "{HIDDEN}" }}\n'
    )
    with pytest.raises(ConfigError, match="a secret must not be written here") as raised:
        load_config(path)
    assert HIDDEN not in str(raised.value)


def raises(error):
    raise error


def caused(text):
    """Return an error whose causes and contexts say it all, as SDKs wrap what requests raised."""
    deep = ConnectionError(text)
    deep.__context__ = TimeoutError({"headers": {"Authorization": text}})
    middle = OSError("wrapped", text)
    middle.__cause__ = deep
    outer = RuntimeError(f"asked the provider: {text}")
    outer.__cause__ = middle
    return outer


def job(result, *, job_id="job", status=lambda: JobStatus.DONE, cancel=bool):
    return SimpleNamespace(job_id=lambda: job_id, status=status, result=result, cancel=cancel)


def failing(text):
    return {"results": [{"success": False, "status": f"ERROR: {text}", "data": {}}]}


# What a provider may say a secret in: each is `run` of its backend.
SPEAKERS = {
    "submit": lambda text: raises(caused(text)),
    "collect": lambda text: job(lambda: raises(caused(text))),
    "id": lambda text: job(lambda: failing("no"), job_id=f"job/{text}"),
    "status of a circuit": lambda text: job(lambda: failing(text)),
    "status of a job": lambda text: job(
        lambda: {"success": False, "status": text, "results": [{"data": {}}]}
    ),
    "no result": lambda text: job(lambda: text),
    "no counts": lambda text: job(lambda: {"results": [{"data": {"counts": text}}]}),
    "an outcome": lambda text: job(lambda: {"results": [{"data": {"counts": {text: 4}}}]}),
    "shots": lambda text: job(lambda: {"results": [{"shots": text, "data": {}}]}),
    "our own error": lambda text: job(lambda: raises(BackendError(text, submitted=True))),
    "a verdict": lambda text: raises(Refused({0: text})),
}


class Talking(BackendV2):
    """A backend that says something secret."""

    def __init__(self, speak, text, name="talking"):
        super().__init__(name=name)
        self._speak, self._text = speak, text

    @property
    def target(self):
        return Target(num_qubits=2)

    @property
    def max_circuits(self):
        return None

    @classmethod
    def _default_options(cls):
        return Options(shots=4, memory=False)

    def run(self, run_input, **options):
        return self._speak(self._text)


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("text", [*TEXTS, LONG])
def test_what_a_provider_says_is_kept_nowhere(tmp_path, speaker, text):
    """Whatever it stands in, no part of a secret is logged, written down, reported or pickled."""
    path = tmp_path / "j"
    if (speaker, text) == ("id", LONG):
        text = f"token={LONG}"  # That an id is long makes no secret of it.
    backend = Talking(SPEAKERS[speaker], text, name=f"backend {text}" if text in TEXTS else "b")
    backend._target = None
    sampler = RouterSampler(backend, policy=RETRY, journal=path)
    with capture_logs() as logs:
        run = sampler.run([zero()], shots=4)
        with pytest.raises(GatewayError) as caught:
            run.result(timeout=60)
    error, report = caught.value, run.report()
    assert isinstance(error, RunError | PlanError)
    assert not isinstance(error.__cause__ or error.__context__, Exception)
    said = [
        *(str(error), repr(error), repr(vars(error)), repr(logs)),
        *(str(report), repr(report), repr(report.to_dict()), repr(report.attempts)),
    ]
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert report.attempts
    for place in (*said, files.decode(errors="replace"), pickle.dumps(run).decode("latin-1")):
        assert HIDDEN not in place


def test_an_id_stays_what_it_is_unless_it_holds_a_secret():
    """A job can be fetched by its id, however long; only what says that it is a secret is hidden."""
    for name in (
        LONG.lower(),
        "123e4567-e89b-12d3-a456-426614174000",
        "arn:aws:x:1:quantum-task/2",
    ):
        assert redact_name(name) == name
    for text in TEXTS:
        assert HIDDEN not in redact_name(text)
    key = f"AKIA{HIDDEN.upper()}"
    for text in (key, f"job-{key}", key.lower(), f"1/{key}"):
        assert HIDDEN.upper() not in redact_name(text).upper()


@pytest.mark.parametrize("text", ["\ud800", "\x00", "'; DROP TABLE runs; --", "x" * 10**6])
def test_strange_ids_and_texts_do_no_harm(tmp_path, text):
    """Whatever an id or a message is made of, the run ends as it would, and the journal reads."""
    for speak in (SPEAKERS["id"], SPEAKERS["submit"]):
        sampler = RouterSampler(Talking(speak, text), policy=RETRY, journal=tmp_path / "j")
        run = sampler.run([zero()], shots=4)
        with pytest.raises(GatewayError):
            run.result(timeout=60)
        entries = list(Journal(tmp_path / "j").entries(run.job_id()))
        assert len(entries) == len(run.report().attempts) > 0
        with pytest.raises(JournalError, match=r"no run|cannot be used|cannot hold"):
            Journal(tmp_path / "j").forget(text)


def test_backends_are_named_without_secrets():
    """A name that a backend gives itself is a label in logs and reports."""
    member = Member(Talking(raises, "", name=f"https://user:{HIDDEN}@example.com"))
    assert HIDDEN not in member.name


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {HIDDEN}"}},
        {"session": {"deep": [{"api_key": "x"}]}},
        {"urls": [f"https://user:{HIDDEN}@example.com"]},
        {"more": {f"token={HIDDEN}": 1}},
    ],
)
def test_secrets_anywhere_in_run_options_are_refused(tmp_path, options):
    """However deep it is, what looks like a secret is neither written down nor repeated."""
    sampler = RouterSampler(
        Talking(raises, ""), options={"run_options": options}, journal=tmp_path / "j"
    )
    with pytest.raises(JournalError, match="secret") as caught:
        sampler.run([zero()])
    assert HIDDEN not in str(caught.value)
    assert Journal(tmp_path / "j").runs() == ()


def test_an_address_of_a_journal_is_not_repeated_with_its_password():
    """An address that cannot be used is told without what is secret in it."""
    for address in (f"postgresql://u:{HIDDEN}@host/db", f"sqlite://u:{HIDDEN}@host"):
        with pytest.raises(JournalError) as caught:
            Journal(address)
        assert HIDDEN not in str(caught.value)
