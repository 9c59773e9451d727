"""Real backends that run offline, as members.

Each is made once a session, at first use: some packages take seconds to import.
"""

from collections.abc import Callable

import pytest

from qiskit_gateway.backends.provider import Member


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


def _qdmi():
    provider = pytest.importorskip("mqt.core.plugins.qiskit").QDMIProvider()
    return provider.get_backend("MQT Core DDSIM QDMI Device")


def _tket():
    tket = pytest.importorskip("pytket.extensions.qiskit.tket_backend")
    backend = pytest.importorskip("pytket.extensions.qiskit").AerBackend()
    return tket.TketBackend(backend, backend.default_compilation_pass())


# Those that come with Qiskit's own dependencies are tested everywhere.
_PLAIN = {"basic": _basic, "generic": _generic}

_MAKERS = _PLAIN | {
    "aer": _made("qiskit_aer", "AerSimulator"),
    "ibm": _made("qiskit_ibm_runtime.fake_provider", "FakeManilaV2"),
    "ddsim": _ddsim("qasm_simulator"),
    "ddsim hybrid": _ddsim("hybrid_qasm_simulator"),
    "ddsim path": _ddsim("path_qasm_simulator"),
    "qdmi": _qdmi,
    "braket": _made("qiskit_braket_provider", "BraketLocalBackend", "braket_sv"),
    "braket dm": _made("qiskit_braket_provider", "BraketLocalBackend", "braket_dm"),
    "qsharp": _made("qdk.qiskit", "QSharpBackend"),
    "neutral atom": _made("qdk.qiskit", "NeutralAtomBackend"),
    "iqm adonis": _made("iqm.qiskit_iqm", "IQMFakeAdonis"),
    "iqm deneb": _made("iqm.qiskit_iqm", "IQMFakeDeneb"),
    "iqm apollo": _made("iqm.qiskit_iqm", "IQMFakeApollo"),
    "tket": _tket,
}

NAMES = [
    name if name in _PLAIN else pytest.param(name, marks=pytest.mark.providers) for name in _MAKERS
]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio alone: what a provider does is the same on any loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def provider_members() -> Callable[[str], Member]:
    """Return a factory of members by name; the same backend object every time.

    It skips the test where the package is missing.
    """
    backends = {}

    def make(name: str, **options) -> Member:
        if name not in backends:
            backends[name] = _MAKERS[name]()
        return Member(backends[name], name=name, **options)

    return make


@pytest.fixture(params=NAMES)
def provider_member(request, provider_members) -> Member:
    """Return a member of each kind, one after the other."""
    return provider_members(request.param)
