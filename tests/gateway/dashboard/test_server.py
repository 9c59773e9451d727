"""The dashboard tells what the journal holds, to this machine alone, and acts for the token alone."""

import contextlib
import json
import re
from html.parser import HTMLParser

import pytest
from small_circuits import zero
from starlette.testclient import TestClient

from qiskit_gateway import ConfigError, GatewayError, Journal, JournalError, RouterSampler
from qiskit_gateway.backends import BackendError, Fleet, Limits, Pricing, SimulatedMember
from qiskit_gateway.config import Config
from qiskit_gateway.dashboard import application, serve
from qiskit_gateway.dashboard.overview import Reader
from qiskit_gateway.policies import BreakerPolicy, Budget, Policy, Share, fastest

SECRET = "sk-live-0123456789abcdef0123456789abcdef"  # noqa: S105
NASTY = '<script>alert("x")</script><img src=x onerror=alert(1)>'


class Failing(SimulatedMember):
    """Fails with words of somebody's choice."""

    words = "the calibration is bad"

    async def collect(self, handle):
        raise BackendError(self.words, transient=False, submitted=True)


def run(journal, members, *, policy=None, circuits=3):
    """Run to the end, whatever that is, and return the id."""
    job = RouterSampler(members, policy=policy, journal=journal).run([zero()] * circuits)
    with contextlib.suppress(GatewayError):
        job.result(timeout=60)
    return job.job_id()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def client(path, config=None, token="abc", host="127.0.0.1"):  # noqa: S107
    return TestClient(application(path, config, token=token), base_url=f"http://{host}")


def test_the_first_page_shows_runs_fleet_money_and_failures(path):
    """Each run, each member, each cause of failure, and what is spent of the budget."""
    member = SimulatedMember("well", pricing=Pricing(per_job=0.5), limits=Limits(max_circuits=3))
    budget = Budget(usd=7.0, per_user_usd={"chem": 6.0}, per_user_day_usd={"chem/ana": 5.0})
    share = Share(user="chem/ana")
    policy = Policy(budget=budget, share=share, breaker=BreakerPolicy(submit_errors=1))
    done = run(path, [member], policy=policy)
    failed = run(path, [Failing("broken")], policy=policy)

    page = client(path).get("/").text
    assert done[:8] in page
    assert failed[:8] in page
    assert re.search(r'class="state done"', page)
    assert re.search(r'class="state failed"', page)
    assert "the calibration is bad" in page
    paid = sum(run.spent_usd for run in Journal(path).runs())
    for limit in (7, 6, 5):
        assert f"{paid:.4f} USD of {limit}.0000 USD" in page
    assert ">well<" in page
    assert ">broken<" in page


def test_the_page_of_a_run_shows_its_attempts_and_timeline(path):
    """With the ids of provider jobs, and bars for what ran."""
    done = run(path, [SimulatedMember("a", job_seconds=0.05)])
    page = client(path).get(f"/runs/{done}").text
    assert done in page
    assert "a-1" in page
    assert '<rect class="run"' in page


@pytest.mark.parametrize("job_id", ["nothing", "..%2f..", NASTY.replace("/", "%2f")])
def test_what_is_not_there_is_told(path, job_id):
    """With nothing of the address in the page."""
    run(path, [SimulatedMember("a")])
    answer = client(path).get(f"/runs/{job_id}")
    assert answer.status_code in {404, 405}  # With a slash in it, it may be the way to act.
    assert "<script>alert" not in answer.text


class Elements(HTMLParser):
    """The elements of a page as a browser reads it."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def assert_no_code(html):
    """No handler, no style of its own, no address elsewhere, and no script but the one file."""
    for tag, attributes in Elements(html).found:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}
        assert tag != "script" or attributes == {"src": "/static/dashboard.js", "defer": None}
        for name in ("href", "src", "action"):
            assert attributes.get(name, "/").startswith(("/", "#"))


def test_nothing_that_a_provider_says_is_code(path):
    """Names and failures are escaped, in pages and in what is sent live; scripts are our own file."""
    nasty = type("Nasty", (Failing,), {"words": NASTY})
    failed = run(path, [nasty(NASTY)])
    with client(path) as browser:
        for place in ("/", f"/runs/{failed}"):
            answer = browser.get(place)
            assert "alert(" in answer.text
            assert "<img" not in answer.text
            assert "<script>" not in answer.text
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert_no_code(answer.text)


def test_secrets_do_not_reach_the_page(path, tmp_path, monkeypatch):
    """Neither those that a provider repeats in a failure nor those of the configuration."""
    leaky = type("Leaky", (Failing,), {"words": f"401 for token={SECRET}"})
    failed = run(path, [leaky("a")])
    monkeypatch.setenv("PROVIDER_KEY", SECRET)
    config = tmp_path / "fleet.toml"
    config.write_text(
        "[[members]]\n"
        'name = "b"\n'
        'backend = "qiskit.providers.basic_provider:BasicSimulator"\n'
        'run_options = { api_key = { env = "PROVIDER_KEY" } }\n'
    )
    browser = client(path, config)
    for place in ("/", f"/runs/{failed}"):
        assert SECRET not in browser.get(place).text
    assert ">b<" in browser.get("/").text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
def test_pages_of_other_names_are_refused(path, host):
    """A foreign page that resolves to this machine reads nothing."""
    run(path, [SimulatedMember("a")])
    assert client(path, host=host).get("/").status_code == 400


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}, {"cookie": "abc"}],
)
@pytest.mark.parametrize("action", ["cancel", "resume"])
def test_without_the_token_nothing_is_done(path, headers, action):
    """Not even what is wrong with the request is told."""
    run(path, [SimulatedMember("a")])
    answer = client(path).post(f"/runs/any/{action}", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("job_id", "action", "status", "says"),
    [
        (None, "cancel", 409, "over already: it is done"),
        (None, "resume", 409, "done already"),
        ("nothing", "cancel", 409, "no such run"),
        ("nothing", "resume", 409, "no such run"),
        (None, "forget", 404, "cancelled or resumed"),
    ],
)
def test_what_cannot_be_done_is_told(path, job_id, action, status, says):
    """In a sentence, for people."""
    done = run(path, [SimulatedMember("a")])
    answer = client(path).post(
        f"/runs/{job_id or done}/{action}", headers={"authorization": "Bearer abc"}
    )
    assert answer.status_code == status
    assert says in answer.json()["message"]


def test_a_run_is_not_acted_on_by_a_link(path):
    """Only by a request that a page of another site cannot make."""
    done = run(path, [SimulatedMember("a")])
    assert client(path).get(f"/runs/{done}/cancel").status_code == 405


def test_a_run_of_a_dead_process_is_resumed_with_a_configuration_alone(path):
    """Without one the answer says what is missing; with it the run is done in this process."""
    job = RouterSampler(SimulatedMember("a", queue_seconds=3600.0), journal=path).run([zero()])
    while not job.report().attempts:
        pass
    # As after a crash: nobody holds it any more.
    journal = Journal(path)
    job.cancel()
    with contextlib.suppress(GatewayError):
        job.result(timeout=60)
    post = {"headers": {"authorization": "Bearer abc"}}

    answer = client(path).post(f"/runs/{job.job_id()}/resume", **post)
    assert answer.status_code == 409
    assert "--config" in answer.json()["message"]

    config = Config(fleet=Fleet([SimulatedMember("b")]), policy=fastest())
    made = application(path, config, token="abc")  # noqa: S106
    answer = TestClient(made, base_url="http://localhost").post(
        f"/runs/{job.job_id()}/resume", **post
    )
    assert answer.status_code == 202
    for _ in range(100_000):
        (record,) = journal.runs()
        if record.state == "done":
            break
    assert record.state == "done"


def test_health_and_queues_are_those_that_runs_wrote_down(path):
    """A member that a run left alone is told so while that run goes on, with the reason."""
    policy = Policy(breaker=BreakerPolicy(failures=1, max_ejected_share=1.0))
    members = [Failing("broken"), SimulatedMember("slow", queue_seconds=3600.0)]
    job = RouterSampler(members, policy=policy, journal=path).run([zero()] * 2)
    journal = Journal(path)
    while not journal.standing("health"):
        pass
    try:
        found = {one.name: one for one in Reader(journal=journal).overview().members}
    finally:
        job.cancel()
    assert found["broken"].health == "ejected"
    assert "calibration" in found["broken"].why
    assert found["slow"].queue_seconds == 3600.0
    assert found["slow"].queue_age_seconds < 60
    ahead = found["broken"].until - journal.now
    assert 0 < ahead <= policy.breaker.eject_seconds


def test_an_ejection_says_until_when_and_speeds_are_learned(path):
    """Seconds that are left of it, or the rest of its run; speed from jobs that were done."""
    run(path, [SimulatedMember("quick", job_seconds=0.05, limits=Limits(max_circuits=1))])
    pages = application(path, token="abc").routes[1].endpoint.__self__  # noqa: S106
    overview = pages._reader.overview()
    (quick,) = overview.members
    assert quick.speed_jobs >= 1
    assert 0.04 < quick.speed_seconds < 5
    for until, says in ((overview.now + 45, "for 45.0 s more"), (None, "for the rest of its run")):
        quick.health, quick.until = "ejected", until
        html = pages._render("fleet.html", overview=overview)
        assert says in html
        assert "learned from" in html


def test_looking_on_reads_nothing_where_nothing_changed(path):
    """Between two changes the journal is asked for a counter alone, however many look on."""
    run(path, [SimulatedMember("a")])
    now = [0.0]
    journal = Journal(path)
    pages = application(journal, token="abc").routes[1].endpoint.__self__  # noqa: S106
    pages._clock = lambda: now[0]
    first = pages._render_latest(None)
    asked = []
    journal._database._connection.set_trace_callback(asked.append)
    for _ in range(4):
        now[0] += 1.0
        assert pages._render_latest(None) is first
    assert asked == ["PRAGMA data_version"] * 4

    other = run(path, [SimulatedMember("a")])  # By another connection, as another process would.
    now[0] += 0.5
    assert other[:8] in pages._render_latest(None)["runs"]
    # Time passes where nothing changes, and a process may have died.
    before = pages._render_latest(None)
    now[0] += 5.0
    assert pages._render_latest(None) is not before


def test_a_journal_that_is_slow_to_read_is_read_seldom(path):
    """Looking on takes a twentieth of the time at most, also while something changes."""
    run(path, [SimulatedMember("a")])
    ticks = iter([0.0, 2.0, 1.0 + 2.0, 30.0, 43.0, 45.0])
    pages = application(path, token="abc").routes[1].endpoint.__self__  # noqa: S106
    pages._clock = lambda: next(ticks)
    first = pages._render_latest(None)  # It took two seconds.
    run(path, [SimulatedMember("a")])
    assert pages._render_latest(None) is first
    assert pages._render_latest(None) is first
    assert pages._render_latest(None) is not first


def test_pages_of_many_runs_are_not_kept_for_ever(path):
    """The parts of the last few pages that somebody looked at are kept."""
    run(path, [SimulatedMember("a")])
    pages = application(path, token="abc").routes[1].endpoint.__self__  # noqa: S106
    for number in range(200):
        assert pages._render_latest(f"no run {number}") == {}
    assert len(pages._made) == 64


def test_a_run_hears_from_its_journal_that_it_is_to_be_cancelled(path):
    """Whoever opens the journal elsewhere can ask for that; the job ends as cancelled."""
    job = RouterSampler(SimulatedMember("a", queue_seconds=3600.0), journal=path).run([zero()])
    answer = client(path).post(
        f"/runs/{job.job_id()}/cancel", headers={"authorization": "Bearer abc"}
    )
    assert answer.status_code == 202
    with pytest.raises(GatewayError, match="was cancelled"):
        job.result(timeout=60)
    assert job.cancelled()
    (record,) = Journal(path).runs()
    assert record.state == "cancelled"
    assert not record.held


@pytest.mark.parametrize("name", ["dashboard.js", "dashboard.css", "icon.svg"])
def test_scripts_and_styles_are_served(path, name):
    """From this server alone, in any kind of installation."""
    run(path, [SimulatedMember("a")])
    answer = client(path).get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_changes_is_sent_live(path):
    """The first event has every part of the page."""
    done = run(path, [SimulatedMember("a")])
    made = application(path, token="abc")  # noqa: S106
    pages = made.routes[1].endpoint.__self__
    changes = pages._watch_changes(None, until=lambda: False)

    async def first():
        return await anext(changes)

    import anyio

    text = anyio.run(first)
    event, data = text.strip().split("\n")
    assert event == "event: parts"
    parts = json.loads(data.removeprefix("data: "))
    assert set(parts) == {"running", "fleet", "money", "failures", "runs"}
    assert done[:8] in parts["runs"]


def test_what_cannot_be_served_is_told(path, tmp_path):
    """A journal that is not there is not made; a bad configuration and an empty token are refused."""
    with pytest.raises(JournalError, match="there is no journal"):
        application(path, token="abc")  # noqa: S106
    assert not path.exists()
    run(path, [SimulatedMember("a")])
    with pytest.raises(ValueError, match="token"):
        application(path, token="")
    bad = tmp_path / "bad.toml"
    bad.write_text("members = 3")
    with pytest.raises(ConfigError):
        application(path, bad, token="abc")  # noqa: S106
    with pytest.raises(GatewayError, match="got 70000"):
        serve(path, port=70_000, tell=lambda _: None)
