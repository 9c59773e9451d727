"""The example configuration of a lab, over its stand-ins and a real cluster of Dask's."""

from pathlib import Path

import pytest
from dask_cluster import start_cluster
from qiskit import QuantumCircuit

from qiskit_gateway import load_config
from qiskit_gateway.backends import ExecutorMember, Member, PrimitiveMember

# Third parties warn about their own dependencies; which of them do changes with every release.
pytestmark = [pytest.mark.providers, pytest.mark.filterwarnings("ignore")]

FILE = Path(__file__).parents[2] / "examples" / "config" / "lab.toml"
SIMULATORS, HARDWARE = {"local", "cluster"}, {"fez", "marrakesh", "garnet"}


def ghz(qubits):
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    circuit.cx(0, range(1, qubits))
    circuit.measure_all()
    return circuit


@pytest.fixture(params=["process", "dask"])
def config(request, tmp_path):
    """Load the file, as it is, and with the Dask cluster that its comment names."""
    pytest.importorskip("qiskit_ibm_runtime")
    pytest.importorskip("qiskit_braket_provider")
    pytest.importorskip("distributed", reason="needs the extra dask")
    if request.param == "process":
        yield load_config(FILE)
        return
    with start_cluster(tmp_path) as (address, _):
        text = FILE.read_text().replace('kind = "process"\nworkers = 2\n', "")
        text = text.replace(
            '# kind = "dask"\n# address = "tcp://head:8786"',
            f'kind = "dask"\naddress = "{address}"',
        )
        file = tmp_path / "lab.toml"
        file.write_text(text)
        yield load_config(file)


def test_the_lab(config):
    """It loads, quotes and runs: what is small on simulators for nothing, the rest on hardware."""
    kinds = {member.name: type(member) for member in config.fleet}
    assert kinds == {
        "local": Member,
        "cluster": ExecutorMember,
        "fez": PrimitiveMember,
        "marrakesh": PrimitiveMember,
        "garnet": PrimitiveMember,
    }
    assert config.fleet["fez"].mode == config.fleet["marrakesh"].mode == "batch"
    pubs = [(ghz(width), None, 200 + width) for width in (2, 3, 4, 5, 7, 7, 2)]
    sampler = config.sampler()
    quote = sampler.quote(pubs)
    assert 0 < quote.price_usd <= 50
    job = sampler.run(pubs)
    for (circuit, _, shots), found in zip(pubs, job.result(timeout=240), strict=True):
        counts = found.data.meas.get_counts()
        assert sum(counts.values()) == shots
        width = circuit.num_qubits
        good = counts.get("0" * width, 0) + counts.get("1" * width, 0)
        # The fakes of IBM's machines have their noise.
        assert good / shots > 0.5
        assert min(counts.get("0" * width, 0), counts.get("1" * width, 0)) > shots / 5
    places = {}
    for attempt in job.report().attempts:
        for piece in attempt.pieces:
            places.setdefault(piece.task, set()).add(attempt.member)
        assert (attempt.price_usd > 0) is (attempt.member in HARDWARE)
    assert all(places[task] <= SIMULATORS for task in (0, 1, 6))
    assert places[2] == places[3] == {"cluster"}
    assert all(places[task] <= HARDWARE for task in (4, 5))
    for member in config.fleet:
        if isinstance(member, PrimitiveMember):
            member.close()
