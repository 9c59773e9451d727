"""Another package brings what it knows of its provider, and one that is broken harms nobody."""

import subprocess
import sys

import pytest
from qiskit.providers.basic_provider import BasicSimulator

from qiskit_gateway.backends import Adaptation, Member, Usage
from qiskit_gateway.backends.failures.translate import translate
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile
from qiskit_gateway.backends.registry import forget, profiles
from qiskit_gateway.backends.tariffs import tariff, tariff_names

PROFILE = """
from qiskit_gateway.backends.failures.table import OFFLINE
from qiskit_gateway.backends.interface.adaptation import Adaptation
from qiskit_gateway.backends.interface.provider_profile import ProviderProfile, Queue, by_class
from qiskit_gateway.backends.interface.queue_reading import QueueReading
from qiskit_gateway.backends.pricing.published import fixed, list_tariffs
from qiskit_gateway.backends.pricing.rates import Pricing

PROFILE = ProviderProfile(
    name="acme",
    packages=("acme_qiskit",),
    jobs_overlap=True,
    adaptation=by_class({"acme_qiskit.AcmeBackend": Adaptation(bit_order="reversed")}),
    queue=Queue(
        names=("acme_queue",), read=lambda backend: QueueReading(pending_jobs=backend.acme_queue)
    ),
    failures={"acme_qiskit": (OFFLINE, "AcmeError")},
    tariffs=list_tariffs("USD", "acme", "2026", {"acme:anvil": fixed(Pricing(per_job=7))}),
)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package with a profile."""

    def add(package, text, value=None):
        module = f"{package.replace('-', '_')}_profile"
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[qiskit_gateway.providers]\n{package} = {value or f'{module}:PROFILE'}\n"
        )
        monkeypatch.delitem(sys.modules, module, raising=False)
        forget()

    monkeypatch.syspath_prepend(tmp_path)
    yield add
    monkeypatch.undo()
    forget()


class AcmeBackend(BasicSimulator):
    """A backend of another package, as far as the names tell."""

    acme_queue = 3


AcmeBackend.__module__ = "acme_qiskit"
AcmeError = type("AcmeError", (Exception,), {"__module__": "acme_qiskit.errors"})


def test_a_package_brings_a_profile(install):
    """Its backends, queue, errors and tariffs are known as those of ours are."""
    install("acme", PROFILE)

    member = Member(AcmeBackend())
    assert member.adaptation == Adaptation(bit_order="reversed")
    assert member.overlaps
    assert member.queue_probe().pending_jobs == 3
    failure = translate(AcmeError("closed"), phase="submit")
    assert (failure.transient, failure.fault, failure.submitted) == (True, "backend", False)
    assert tariff("acme:anvil")(Usage(circuits=1, shots=1)) == 7
    assert "acme:anvil" in tariff_names()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise RuntimeError('half installed')", "RuntimeError: half installed"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("", "AttributeError"),
        ("PROFILE = {'name': 'acme'}", "is no ProviderProfile"),
        (PROFILE.replace('name="acme"', 'name="ionq"'), "there is a profile 'ionq' already"),
        (PROFILE.replace('("acme_qiskit",)', '"acme_qiskit"'), "packages must be a tuple of texts"),
        (PROFILE.replace('(OFFLINE, "AcmeError")', '("offline", "AcmeError")'), "must be a Kind"),
        (
            PROFILE.replace("tariffs=list_tariffs", "tariffs=dict(anvil=7) or dict"),
            "must be a Listing",
        ),
        (PROFILE.replace("acme:anvil", "ibm:flex"), "there is a tariff 'ibm:flex' already"),
    ],
)
def test_a_broken_profile_is_told_and_left_out(install, text, why):
    """The warning names the package; everything else is found as before."""
    ours = [profile.name for profile in profiles()]
    install("broken-acme", text)
    with pytest.warns(RuntimeWarning, match=f"'broken-acme' of broken-acme is left out: .*{why}"):
        found = profiles()
    assert [profile.name for profile in found] == ours
    assert Member(AcmeBackend()).adaptation == Adaptation()


def test_a_profile_has_no_say_in_the_backends_of_others(install):
    """Names of attributes go for its own backends, and for those whose provider nobody knows."""
    grasping = PROFILE.replace('names=("acme_queue",)', 'names=("run",)')
    install("acme", grasping.replace("backend.acme_queue", "9"))
    aer = type("Other", (BasicSimulator,), {"__module__": "qiskit_aer.other"})
    assert Member(aer()).queue_probe is None
    assert Member(BasicSimulator()).queue_probe().pending_jobs == 9


def test_each_profile_of_ours_has_a_name_of_its_own():
    """Modules are named after their providers, and no tariff is listed twice."""
    assert all(isinstance(profile, ProviderProfile) for profile in profiles())
    names = [profile.name for profile in profiles()]
    assert len(names) == len(set(names))
    tariffs = [name for profile in profiles() for name in profile.tariffs]
    assert sorted(tariffs) == list(tariff_names())


def test_profiles_are_looked_for_when_the_first_member_is_made():
    """Importing the package imports no profile and looks into no other package."""
    program = "\n".join(
        [
            "import sys, qiskit_gateway, qiskit_gateway.backends, qiskit_gateway.policies",
            "from qiskit_gateway.backends import registry",
            "mine = 'qiskit_gateway.backends.providers.'",
            "print(any(name.startswith(mine) for name in sys.modules), registry._found)",
        ]
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "False []"
