"""The dashboard in a real browser: a run of another process goes on, is cancelled, fails, is resumed."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from qiskit_gateway import Journal  # noqa: E402

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="chromium and chromedriver are not installed",
)
PATIENCE = 90
# So many circuits that the run goes on while a slow machine opens its page.
LONG = 300
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CONFIG = """
[[members]]
name = "north"
simulated = { job_seconds = %(seconds)g }
limits = { max_circuits = 2, max_in_flight = 2 }

[[members]]
name = "spare"
simulated = { job_seconds = %(seconds)g }
limits = { max_circuits = 2, max_in_flight = 2 }

[policy.budget]
usd = 50
"""
# A run that takes long enough to be looked at, in a process of its own.
RUN = """
import sys
from qiskit import QuantumCircuit
from qiskit_gateway import RouterSampler
from qiskit_gateway.backends import BackendError, Limits, Pricing, SimulatedMember
from qiskit_gateway.policies import Budget, Policy

class Failing(SimulatedMember):
    async def collect(self, handle):
        await super().collect(handle)
        raise BackendError("<b id=injected>the <script>document.title='owned'</script> laser is off",
                           transient=False, submitted=True)

path, seconds, kinds = sys.argv[1], float(sys.argv[2]), sys.argv[3].split(",")
member = {"north": SimulatedMember, "south": Failing}
limits = Limits(max_circuits=2, max_in_flight=2)
fleet = [
    member[name](name, job_seconds=seconds, limits=limits, pricing=Pricing(per_job=0.5))
    for name in kinds
]
made = QuantumCircuit(1); made.measure_all()
job = RouterSampler(fleet, policy=Policy(budget=Budget(usd=100), patience_seconds=1), journal=path).run([made] * int(sys.argv[4]))
print(job.job_id(), flush=True)
try:
    job.result()
except Exception as error:
    print(type(error).__name__, flush=True)
"""
SERVE = ["-m", "qiskit_gateway", "dashboard", "--port", "0"]


@pytest.fixture
def processes():
    """Start programs, and end what is left of them."""
    started = []

    def start(*arguments):
        one = subprocess.Popen(  # noqa: S603
            [sys.executable, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(one)
        return one, one.stdout.readline().strip()

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for all tests, as starting it takes seconds."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as made:
        yield made


@pytest.fixture
def browser(chromium):
    """A window that has never been anywhere, and an empty console."""
    old = chromium.current_window_handle
    chromium.switch_to.new_window("window")
    new = chromium.current_window_handle
    chromium.switch_to.window(old)
    chromium.close()
    chromium.switch_to.window(new)
    chromium.get_log("browser")
    return chromium


def until(browser, ready):
    return WebDriverWait(browser, PATIENCE, 0.1).until(lambda _: ready())


def text(browser, css):
    return browser.execute_script(
        "return document.querySelector(arguments[0])?.innerText || ''", css
    )


def confirm(browser):
    """Answer the question with yes, by the keyboard alone."""
    until(browser, lambda: browser.execute_script("return document.getElementById('ask').open"))
    yes = browser.find_element(By.CSS_SELECTOR, "dialog button[value=yes]")
    yes.send_keys(Keys.ENTER)


def press(browser, name):
    """Go to a button by the keyboard alone, and press it."""
    until(browser, lambda: browser.find_elements(By.ID, name))
    browser.execute_script("document.getElementById('content').focus()")
    for _ in range(30):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("id") == name:
            break
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    confirm(browser)


def open_dashboard(browser, processes, tmp_path, journal, seconds=0.4):
    """Start a dashboard whose members take so long for a job, and go to it; return its address."""
    config = tmp_path / "fleet.toml"
    config.write_text(CONFIG % {"seconds": seconds})
    _, address = processes(*SERVE, "--journal", journal, "--config", config)
    browser.get(address)
    until(browser, lambda: text(browser, "#live") == "live")
    return address.partition("#")[0]


def wide(browser):
    """How much wider the page is than the window."""
    return browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def shoot(browser, name):
    """Keep pictures for people to look at, where they say where."""
    folder = os.environ.get("DASHBOARD_PICTURES")
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for width in (1280, 400):
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert wide(browser) <= 0
            if folder:
                browser.save_screenshot(f"{folder}/{name}-{width}-{scheme}.png")
        colour = "return getComputedStyle(document.body).backgroundColor"
        assert (
            browser.execute_script(colour)
            == {
                "light": "rgb(255, 255, 255)",
                "dark": "rgb(18, 22, 28)",
            }[scheme]
        )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_run_is_watched_and_cancelled(browser, processes, tmp_path):
    """It moves without being reloaded; cancel reaches the other process; the page says so."""
    journal = tmp_path / "journal.db"
    process, job_id = processes("-c", RUN, journal, 0.5, "north,south", LONG)
    home = open_dashboard(browser, processes, tmp_path, journal)
    assert browser.current_url == home  # The token does not stay in the address.

    until(browser, lambda: job_id[:8] in text(browser, "#running"))
    first = text(browser, "#running progress + *") or text(browser, "#running")
    until(browser, lambda: text(browser, "#running") != first)
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#running rect.run"))
    until(
        browser,
        lambda: (
            "the laser is off" in text(browser, "#failures").replace("\n", " ")
            or "laser is off" in text(browser, "#failures")
        ),
    )
    assert "north" in text(browser, "#fleet")
    assert "of 50.00 USD" in text(browser, "#money")
    shoot(browser, "running")

    # What a provider said is text.
    assert browser.title.startswith("runs")
    assert not browser.find_elements(By.ID, "injected")

    # The keyboard's place is kept while the page changes under it.
    button = browser.find_element(By.ID, f"cancel-{job_id}")
    browser.execute_script("arguments[0].focus()", button)
    before = text(browser, "#running")
    until(browser, lambda: text(browser, "#running") != before)
    assert browser.switch_to.active_element.get_attribute("id") == f"cancel-{job_id}"

    browser.switch_to.active_element.send_keys(Keys.ENTER)
    confirm(browser)
    until(browser, lambda: "was asked to cancel" in text(browser, "#told"))
    until(browser, lambda: "cancelled" in text(browser, "#runs"))
    assert process.wait(PATIENCE) == 0
    assert process.stdout.readline().strip() == "RunError"
    assert "No run goes on" in text(browser, "#running")
    severe = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert severe == []


def test_a_killed_run_is_resumed_from_its_page(browser, processes, tmp_path):
    """Its page tells that nobody works on it; resume takes it up here, to the end."""
    journal = tmp_path / "journal.db"
    process, job_id = processes("-c", RUN, journal, 0.5, "north", LONG)
    home = open_dashboard(browser, processes, tmp_path, journal)
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#running rect.run"))
    process.send_signal(signal.SIGKILL)
    process.wait()

    browser.get(f"{home}runs/{job_id}")
    until(browser, lambda: "interrupted" in text(browser, "#facts"))
    assert "not known" in text(browser, "#attempts")
    assert "goes on" not in text(browser, "#attempts")
    shoot(browser, "run")
    browser.find_element(By.ID, f"resume-{job_id}").click()
    confirm(browser)
    until(browser, lambda: "goes on in the process of this dashboard" in text(browser, "#told"))
    until(browser, lambda: "running" in text(browser, "#facts .state"))
    # What is resumed can be cancelled, and what is cancelled resumed.
    press(browser, f"cancel-{job_id}")
    until(browser, lambda: "was asked to cancel" in text(browser, "#told"))
    until(browser, lambda: "cancelled" in text(browser, "#facts .state"))
    assert "taken back" in text(browser, "#timeline") or "cancelled" in text(browser, "#attempts")
    # By members that are quick, in a dashboard of its own.
    home = open_dashboard(browser, processes, tmp_path, journal, seconds=0.01)
    browser.get(f"{home}runs/{job_id}")
    press(browser, f"resume-{job_id}")
    until(browser, lambda: "done" in text(browser, "#facts .state"))
    assert "100%" in text(browser, "#facts")
    (record,) = Journal(journal).runs()
    assert record.state == "done"


def test_a_run_that_fails_tells_why(browser, processes, tmp_path):
    """Its cause stands on both pages, as text, and nothing of it runs."""
    journal = tmp_path / "journal.db"
    process, job_id = processes("-c", RUN, journal, 0.1, "south", 40)
    home = open_dashboard(browser, processes, tmp_path, journal)
    assert process.wait(PATIENCE) == 0
    until(browser, lambda: "failed" in text(browser, "#runs"))
    assert "laser is off" in text(browser, "#failures")
    shoot(browser, "failed")

    browser.get(f"{home}runs/{job_id}")
    until(browser, lambda: text(browser, "#live") == "live")
    assert "laser is off" in text(browser, "#attempts")
    assert browser.find_elements(By.CSS_SELECTOR, "rect.failed")
    assert not browser.find_elements(By.ID, "injected")
    assert "owned" not in browser.title


def test_without_the_token_the_page_asks_for_it(browser, processes, tmp_path):
    """A wrong one does nothing, and is asked for again."""
    journal = tmp_path / "journal.db"
    _, job_id = processes("-c", RUN, journal, 0.5, "north", LONG)
    config = tmp_path / "fleet.toml"
    config.write_text(CONFIG % {"seconds": 0.4})
    _, address = processes(*SERVE, "--journal", journal, "--config", config)
    home, _, token = address.partition("#token=")
    browser.get(home)
    for given, says in (("wrong", "takes the token"), (token, "was asked to cancel")):
        until(browser, lambda: browser.find_elements(By.ID, f"cancel-{job_id}"))
        browser.execute_script("document.querySelector('[data-action=cancel]').click()")
        field = browser.find_element(By.ID, "token")
        until(browser, field.is_displayed)
        field.send_keys(given)
        confirm(browser)
        until(browser, lambda says=says: says in text(browser, "#told"))
    until(browser, lambda: "cancelled" in text(browser, "#runs"))


def test_a_journal_that_disappears_is_told(browser, processes, tmp_path):
    """On the page that is open and on one that is opened then; both go on once it is back."""
    journal = tmp_path / "journal.db"
    run, job_id = processes("-c", RUN, journal, 0, "north", 2)
    run.wait()
    open_dashboard(browser, processes, tmp_path, journal)
    for reload in (False, True):
        journal.rename(tmp_path / "away")
        until(browser, lambda: "was deleted" in text(browser, "#live"))
        if reload:
            browser.refresh()
            until(browser, lambda: "was deleted" in text(browser, "main"))
        (tmp_path / "away").rename(journal)
        until(browser, lambda: text(browser, "#live") == "live")
        until(browser, lambda: job_id[:8] in text(browser, "#runs"))
