"""The providers: real packages, IonQ's over a server of its own, the others as they run offline."""

import json
import os
import re
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from qiskit.providers import BackendV2
from qiskit_aer import AerSimulator

from benchmarks.drill.work import USD_SHOT, USD_TASK

NAMES = ("ionq", "braket", "iqm", "aer")
_SERVER = Path(__file__).parents[2] / "tests" / "providers" / "ionq_server.py"
# Gates that the compiler of the server gets through.
_MOST_GATES = 1000
_DOWN = 503, {"code": 503, "message": "down for maintenance"}
# Where clients are told of the folder of their drill.
FOLDER = "QISKIT_GATEWAY_DRILL"


def note(folder: Path, **facts: Any) -> None:
    """Write a line into the books of a drill, whole or not at all."""
    # What binds parameters numbers its copies of a circuit.
    facts["circuits"] = [re.sub(r"-\d+$", "", name) for name in facts["circuits"]]
    line = json.dumps(facts) + "\n"
    books = os.open(folder / "books.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(books, line.encode())
    os.close(books)


def read_books(folder: Path) -> list[dict[str, Any]]:
    """Read all lines of the books of a drill."""
    path = folder / "books.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def note_result(job: Any, circuits: Any, shots: int, provider: str) -> Any:
    """Have a job that runs in this process noted once its result is there; it costs nothing."""
    asked, noted = job.result, []
    names = [one.name for one in (circuits if isinstance(circuits, list | tuple) else [circuits])]

    def result(*args: Any, **options: Any) -> Any:
        found = asked(*args, **options)
        if not noted:
            noted.append(True)
            note(Path(os.environ[FOLDER]), at=provider, circuits=names, shots=shots, usd=0.0)
        return found

    job.result = result
    return job


def _with_books(kind: type, provider: str) -> type:
    class Noted(kind):  # type: ignore[misc]
        def run(self, circuits: Any, **options: Any) -> Any:
            shots = int(options.get("shots") or self.options.shots)
            return note_result(super().run(circuits, **options), circuits, shots, provider)

    Noted.__name__ = Noted.__qualname__ = kind.__name__
    return Noted


def make_aer() -> BackendV2:
    """Make the simulator of a worker."""
    return _with_books(AerSimulator, "aer")(method="statevector", max_parallel_threads=1)


def make_braket() -> BackendV2:
    """Make Braket's local simulator."""
    from qiskit_braket_provider import BraketLocalBackend  # noqa: PLC0415  Takes seconds.

    return _with_books(BraketLocalBackend, "braket")("braket_sv")


def make_iqm() -> BackendV2:
    """Make IQM's Adonis, five qubits in a star, without errors: answers can then be judged."""
    from iqm.qiskit_iqm.fake_backends import iqm_fake_backend as fakes  # noqa: PLC0415
    from iqm.station_control.interface.models import StaticQuantumArchitecture  # noqa: PLC0415

    qubits = [f"QB{number}" for number in range(1, 6)]
    pairs = [("QB1", "QB3"), ("QB2", "QB3"), ("QB3", "QB4"), ("QB3", "QB5")]
    long = dict.fromkeys(qubits, 1e15)
    ideal = fakes.IQMErrorProfile(
        t1s=long,
        t2s=long,
        single_qubit_gate_depolarizing_error_parameters={"prx": dict.fromkeys(qubits, 0.0)},
        two_qubit_gate_depolarizing_error_parameters={"cz": dict.fromkeys(pairs, 0.0)},
        single_qubit_gate_durations={"prx": 40.0},
        two_qubit_gate_durations={"cz": 80.0},
        readout_errors={qubit: {"0": 0.0, "1": 0.0} for qubit in qubits},
    )
    layout = StaticQuantumArchitecture(
        dut_label="M138_W0_A22_Z99", qubits=qubits, computational_resonators=[], connectivity=pairs
    )
    return _with_books(fakes.IQMFakeBackend, "iqm")(layout, ideal, name="IQMFakeAdonis")


def make_ionq() -> BackendV2:
    """Make IonQ's package for the server of the drill."""
    from qiskit_ionq import IonQProvider  # noqa: PLC0415  Takes seconds.

    return IonQProvider("a-token").get_backend("qpu.forte-1")


def make_backends() -> dict[str, BackendV2]:
    """Make one backend of each provider."""
    return {
        "ionq": make_ionq(),
        "braket": make_braket(),
        "iqm": make_iqm(),
        "aer": make_aer(),
    }


def _make_server(folder: Path) -> Any:
    """Make IonQ's server: down while there is a file that says so, and it keeps books of what it bills."""
    base = runpy.run_path(str(_SERVER))["IonQServer"]
    down, billed = folder / "down", {}

    class Server(base):  # type: ignore[misc,valid-type]
        def get(self, path: Any, query: Any) -> Any:
            if path[0] == "jobs" and path[-1] == "cost" and not down.exists():
                cost = {"value": billed.get(path[1], 0.0), "unit": "usd"}
                return 200, {"dry_run": False, "estimated_cost": cost, "cost": cost}
            return _DOWN if down.exists() else super().get(path, query)

        def put(self, path: Any) -> Any:
            return _DOWN if down.exists() else super().put(path)

        def post(self, body: Any) -> Any:
            return _DOWN if down.exists() else super().post(body)

        def _taken(self, body: Any, status: str, parent: Any = None) -> Any:
            gates = _gates_of(body)
            if any(len(one) > _MOST_GATES for one in gates.values()):
                status = "failed"
            job = super()._taken(body, status, parent=parent)
            if parent is None and job["status"] == "completed":
                shots = int(body["shots"])
                usd = billed[job["id"]] = len(gates) * (USD_TASK + USD_SHOT * shots)
                note(folder, at="ionq", circuits=[*gates], shots=shots, usd=usd)
            return job

    return Server()


def _serve(folder: Path) -> None:
    """Serve IonQ's API until the process is killed."""
    draft = folder / "url.draft"
    draft.write_text(_make_server(folder).url)
    draft.rename(folder / "url")
    while True:
        time.sleep(3600)


def _gates_of(body: dict[str, Any]) -> dict[str, list[Any]]:
    """Find the gates of each circuit of a submission, by the circuit's name."""
    given = body["input"]
    if "circuits" in given:
        return {one["name"]: one["circuit"] for one in given["circuits"]}
    return {body["name"]: given.get("circuit", [])}


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
