"""What it costs to share limits over processes, and how well processes share a member.

A claim is timed with few and with many attempts in the journal: it must not grow. Then 8 processes
with 25 runs each share one member with 4 slots: its slots are to be in use nearly all the time, and
never more than there are. Both in a file, and where PostgreSQL is installed in a server of the tests.
"""

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Measure
from qiskit.circuit.library import XGate
from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.result import Result
from qiskit.transpiler import Target

from benchmarks.measure import Row, timed
from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import Limits, Member
from qiskit_gateway.journal.run_spec import PubSpec, RunSpec
from qiskit_gateway.policies import Budget
from qiskit_gateway.work.record.attempt import Attempt, AttemptOutcome
from qiskit_gateway.work.record.run_log import Terms
from qiskit_gateway.work.tasks import Piece

PROCESSES, RUNS, SLOTS, JOB_SECONDS = 8, 25, 4, 1.5
_FEW, _MANY = 100, 10_000
# While the first and the last jobs run, processes begin or have nothing left to do.
_MARGIN = 0.1
_SERVERS = Path(__file__).parents[1] / "tests" / "postgres.py"


class Device(BackendV2):
    """A device whose jobs take a while, and note when they ran."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="device")
        self.folder = folder
        self._target = Target(num_qubits=1)
        for gate in (XGate(), Measure()):
            self._target.add_instruction(gate, {(0,): None})

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024)

    def run(self, run_input: list[QuantumCircuit], *, shots: int) -> "Done":
        return Done(self, f"{time.time_ns()}-{id(run_input)}", shots)


class Done(JobV1):
    """A job that is done after a while."""

    def __init__(self, backend: Device, job_id: str, shots: int) -> None:
        super().__init__(backend, job_id)
        self.shots, self.began = shots, time.time()

    def submit(self) -> None:
        """Do nothing: it runs."""

    def status(self) -> JobStatus:
        over = time.time() >= self.began + JOB_SECONDS
        return JobStatus.DONE if over else JobStatus.RUNNING

    def result(self) -> Result:
        time.sleep(max(0.0, self.began + JOB_SECONDS - time.time()))
        ended = self.began + JOB_SECONDS
        (self.backend().folder / self.job_id()).write_text(f"{self.began} {ended}")
        data = {"counts": {"0x1": self.shots}}
        one = {"shots": self.shots, "success": True, "data": data}
        facts = {"backend_name": "device", "job_id": self.job_id(), "success": True}
        return Result.from_dict({**facts, "results": [one]})


def share(folder: Path, journal: str) -> None:
    """Do the runs of one process."""
    device = Member(Device(folder), limits=Limits(max_in_flight=SLOTS))
    router = RouterSampler(device, journal=journal)
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    for job in [router.run([circuit], shots=100) for _ in range(RUNS)]:
        job.result()


def rows(*, quick: bool) -> Iterator[Row]:
    """Time claims, and let processes share a member."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _growth(Path(folder) / "journal.db", quick=quick)
        if not quick:
            yield from _sharing("SQLite", str(Path(folder) / "shared.db"))
    if quick:
        return
    with _server() as server:
        if server is not None:
            seconds = statistics.median(_claim_seconds(server.new_database(), _FEW))
            yield _share_of_a_job("PostgreSQL", seconds)
            yield from _sharing("PostgreSQL", server.new_database())


@contextmanager
def _server() -> Iterator[Any]:
    """Start a server; ``None`` where PostgreSQL is not installed."""
    spec = importlib.util.spec_from_file_location("postgres", _SERVERS)
    assert spec is not None
    assert spec.loader is not None
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    programs = servers.find_programs()
    server = programs and servers.Server(programs)
    try:
        yield server
    finally:
        if server:
            server.remove()


def _growth(place: Path, *, quick: bool) -> Iterator[Row]:
    many = 10 * _FEW if quick else _MANY
    seconds = _claim_seconds(place, many)
    few, last = (statistics.median(part) for part in (seconds[:_FEW], seconds[-_FEW:]))
    yield Row(
        case=f"claim and settle, {many:,} attempts in the journal",
        against=f"with {_FEW}: {timed(few)}",
        router=timed(last),
        figure=last / few,
        unit="x as long",
        at_most=None if quick else 1.5,
    )
    yield _share_of_a_job("SQLite", last)


def _share_of_a_job(kind: str, seconds: float) -> Row:
    return Row(
        case=f"claim and settle in {kind}, as a share of a job of a second",
        router=timed(seconds),
        figure=seconds * 100,
        unit="%",
        at_most=5.0,
    )


def _claim_seconds(place: Path | str, many: int) -> list[float]:
    journal = Journal(place)
    pub = PubSpec(circuit=QuantumCircuit(1), rows=np.zeros((1, 0)), shape=(), amount=1)
    run_log = journal.begin("run", RunSpec(kind="sampler", pubs=(pub,), options={}), 1)
    terms = Terms(max_in_flight=SLOTS, budget=Budget(usd=1e9, per_day_usd=1e9))
    seconds: list[float] = []
    for shard in range(many):
        attempt = Attempt(
            shard=shard,
            member="device",
            number=1,
            pieces=(Piece(0, 0, 1, 0, 1),),
            circuits=1,
            shots=1,
            price_usd=1.0,
        )
        began = time.perf_counter()
        run_log.record_intent(attempt, None, terms)
        attempt.outcome = AttemptOutcome.FAILED
        run_log.record_end(attempt)
        seconds.append(time.perf_counter() - began)
    journal.close()
    return seconds


def _sharing(kind: str, journal: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, "-m", "benchmarks.ledger", str(folder), journal]
        running = [subprocess.Popen(command) for _ in range(PROCESSES)]  # noqa: S603
        assert [one.wait() for one in running] == [0] * PROCESSES
        jobs = [tuple(map(float, file.read_text().split())) for file in folder.iterdir()]
    assert len(jobs) == PROCESSES * RUNS
    began = sorted(one for one, _ in jobs)
    first, last = began[int(_MARGIN * len(jobs))], began[int((1 - _MARGIN) * len(jobs))]
    busy = sum(max(0.0, min(end, last) - max(begin, first)) for begin, end in jobs)
    changes = sorted((at, by) for begin, end in jobs for at, by in ((begin, 1), (end, -1)))
    at_once = np.cumsum([by for _, by in changes]).max()
    yield Row(
        case=f"{PROCESSES} processes, {RUNS} runs each, {SLOTS} slots, {kind}: slots in use",
        against=f"{SLOTS} slots",
        router=f"{at_once} at once at most",
        figure=busy / (SLOTS * (last - first)) * 100,
        unit="%",
        at_least=95.0,
    )
    yield Row(
        case="the same: most jobs at once",
        against=f"{SLOTS} slots",
        router=str(at_once),
        figure=float(at_once),
        unit="jobs",
        at_most=float(SLOTS),
    )


if __name__ == "__main__":
    share(Path(sys.argv[1]), sys.argv[2])
