"""Real backends and native samplers that run offline, as members.

Each is made once a session, at first use: some packages take seconds to import.
"""

import runpy
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2

from qiskit_gateway.backends import EstimatorMember, Member, PrimitiveMember


def _basic():
    from qiskit.providers.basic_provider import BasicSimulator

    return BasicSimulator()


def _generic():
    from qiskit.providers.fake_provider import GenericBackendV2

    return GenericBackendV2(5, seed=1)


def _made(module, name, *arguments):
    def make():
        return getattr(pytest.importorskip(module), name)(*arguments)

    return make


def _ddsim(name):
    return lambda: pytest.importorskip("mqt.ddsim").DDSIMProvider().get_backend(name)


def _qdmi(major):
    def make():
        plugin = pytest.importorskip("mqt.core.plugins.qiskit")
        found = int(version("mqt-core").partition(".")[0])
        if found != major:
            pytest.skip(f"mqt-core is of version {found}")
        return plugin.QDMIProvider().get_backend("MQT Core DDSIM QDMI Device")

    return make


def _alice_bob():
    provider = pytest.importorskip("qiskit_alice_bob_provider").AliceBobLocalProvider()
    # The others are too noisy to tell what is right.
    return provider.get_backend("EMU:40Q:LOGICAL_NOISELESS")


def _mimiq():
    simulator = pytest.importorskip("exaqt").ExaqtQCS()
    return pytest.importorskip("mimiq_qiskit").MimiqBackend(simulator, num_qubits=20)


def _qdd():
    return pytest.importorskip("qdd").QddProvider().get_backend()


def _tket():
    tket = pytest.importorskip("pytket.extensions.qiskit.tket_backend")
    backend = pytest.importorskip("pytket.extensions.qiskit").AerBackend()
    return tket.TketBackend(backend, backend.default_compilation_pass())


@cache
def _ionq_server():
    """Return the one server of the session; it ends with the process."""
    path = Path(__file__).with_name("ionq_server.py")
    return runpy.run_path(str(path))["IonQServer"]()


def _ionq(name):
    def make():
        ionq = pytest.importorskip("qiskit_ionq")
        with pytest.MonkeyPatch.context() as patch:
            # The package asks for numbers of qubits at the address of the environment alone.
            patch.setenv("IONQ_API_URL", _ionq_server().url)
            return ionq.IonQProvider("a-token").get_backend(name)

    return make


def _ibm_primitive(name, module, backend):
    """Return what makes a primitive of IBM's in its local mode."""

    def make():
        kind = getattr(pytest.importorskip(f"qiskit_ibm_runtime.{name}"), module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Some say that they are deprecated.
            return kind(mode=_MAKERS[backend]())

    return make


def _braket_primitive(name):
    def make():
        braket = pytest.importorskip("qiskit_braket_provider")
        return getattr(braket, name)(braket.BraketLocalBackend("braket_sv"))

    return make


# Those that come with Qiskit's own dependencies are tested everywhere.
_PLAIN = {
    "basic": _basic,
    "generic": _generic,
    "statevector sampler": _made("qiskit.primitives", "StatevectorSampler"),
}

_MAKERS = _PLAIN | {
    "aer": _made("qiskit_aer", "AerSimulator"),
    "ibm": _made("qiskit_ibm_runtime.fake_provider", "FakeManilaV2"),
    "ddsim": _ddsim("qasm_simulator"),
    "ddsim hybrid": _ddsim("hybrid_qasm_simulator"),
    "ddsim path": _ddsim("path_qasm_simulator"),
    "qdmi": _qdmi(3),
    "qdmi 4": _qdmi(4),
    "braket": _made("qiskit_braket_provider", "BraketLocalBackend", "braket_sv"),
    "braket dm": _made("qiskit_braket_provider", "BraketLocalBackend", "braket_dm"),
    "qsharp": _made("qdk.qiskit", "QSharpBackend"),
    "neutral atom": _made("qdk.qiskit", "NeutralAtomBackend"),
    "iqm adonis": _made("iqm.qiskit_iqm", "IQMFakeAdonis"),
    "iqm deneb": _made("iqm.qiskit_iqm", "IQMFakeDeneb"),
    "iqm apollo": _made("iqm.qiskit_iqm", "IQMFakeApollo"),
    "alice bob": _alice_bob,
    "menos": _made("menos.qiskit", "MENOSBackend"),
    "mimiq": _mimiq,
    "qdd": _qdd,
    "tket": _tket,
    "ionq": _ionq("simulator"),
    "ionq qpu": _ionq("qpu.forte-1"),
    "aer sampler": _made("qiskit_aer.primitives", "SamplerV2"),
    "braket sampler": _braket_primitive("BraketSampler"),
    "ibm sampler": _ibm_primitive("executor_sampler", "Sampler", "ibm"),
    "ibm sampler ideal": _ibm_primitive("executor_sampler", "Sampler", "aer"),
    "ibm sampler v2": _ibm_primitive("sampler", "SamplerV2", "ibm"),
}

NAMES = [
    name if name in _PLAIN else pytest.param(name, marks=pytest.mark.providers) for name in _MAKERS
]

_ESTIMATORS = {
    "statevector estimator": _made("qiskit.primitives", "StatevectorEstimator"),
    "aer estimator": _made("qiskit_aer.primitives", "EstimatorV2"),
    "braket estimator": _braket_primitive("BraketEstimator"),
    "menos estimator": _made("menos.qiskit", "MENOSEstimator"),
    "ibm estimator": _ibm_primitive("executor_estimator", "Estimator", "ibm"),
    "ibm estimator ideal": _ibm_primitive("executor_estimator", "Estimator", "aer"),
    "ibm estimator v2": _ibm_primitive("estimator", "EstimatorV2", "aer"),
}


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio alone: what a provider does is the same on any loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def provider_members() -> Callable[[str], Member | PrimitiveMember | EstimatorMember]:
    """Return a factory of members by name; the same backend or sampler every time.

    It skips the test where the package is missing.
    """
    backends = {}

    def make(name: str, **options) -> Member | PrimitiveMember | EstimatorMember:
        if name not in backends:
            backends[name] = (_MAKERS | _ESTIMATORS)[name]()
        kinds = {BaseSamplerV2: PrimitiveMember, BaseEstimatorV2: EstimatorMember}
        kind = next((kinds[one] for one in kinds if isinstance(backends[name], one)), Member)
        return kind(backends[name], name=name, **options)

    return make


@pytest.fixture
def ionq_server():
    """Return the server behind the members of IonQ."""
    pytest.importorskip("qiskit_ionq")
    return _ionq_server()


@pytest.fixture(params=NAMES)
def provider_member(request, provider_members) -> Member | PrimitiveMember:
    """Return a member of each kind, one after the other."""
    return provider_members(request.param)
