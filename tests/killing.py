"""Kill a process in the middle of a run at random moments, take the run up, and tell what came.

    python killing.py FOLDER TIMES [SEED] [sampler | estimator]

The providers' jobs live on disk, as they would elsewhere. Each run goes on in a process of its own,
which is killed at a moment drawn at random, and is taken up in another one. Told as JSON, for each
time: when it was killed, how many jobs there were then and in the end, how many submissions were
reported as unknown, whether the result is exact, and whether nothing else was submitted twice.
"""

import json
import math
import os
import random
import signal
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import numpy as np
from made_up import MadeUp
from qiskit import QuantumCircuit
from qiskit.circuit import Measure, Parameter, ParameterVector
from qiskit.circuit.library import RXGate
from qiskit.providers import JobStatus, JobV1, Options
from qiskit.result import Result
from qiskit.transpiler import Target

from qiskit_gateway import Journal, RouterEstimator, RouterSampler
from qiskit_gateway.backends import Fleet, Limits, Member, Pricing
from qiskit_gateway.policies import round_robin

BITS, ROWS, SHOTS = 5, 32, 10
# All in one basis, so that each row is one circuit, as for the sampler.
LABELS = ("ZIIII", "IZIZI", "ZZZZZ", "IIIIZ")
JOB_SECONDS = 0.04
CALL_SECONDS = 0.004


class DiskBackend(MadeUp):
    """A backend of circuits that only turn qubits over, whose jobs are files."""

    def __init__(self, folder, *, tags):
        target = Target(num_qubits=BITS)
        qubits = {(qubit,): None for qubit in range(BITS)}
        target.add_instruction(RXGate(Parameter("angle")), qubits)
        target.add_instruction(Measure(), qubits)
        super().__init__(folder.name, target)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        if tags:
            self._options = Options(**self.defaults, job_tags=None)

    def run(self, run_input, *, shots, job_tags=None):
        time.sleep(CALL_SECONDS)
        values = [value_of(circuit) for circuit in run_input]
        told = {
            "shots": shots,
            "values": values,
            "tags": job_tags,
            "ready": time.time() + JOB_SECONDS,
        }
        job_id = uuid.uuid4().hex
        draft = self.folder / f"{job_id}.draft"
        draft.write_text(json.dumps(told))
        draft.rename(self.folder / f"{job_id}.json")
        time.sleep(CALL_SECONDS)
        return DiskJob(self, job_id, told)

    def retrieve_job(self, job_id):
        return DiskJob(self, job_id, json.loads((self.folder / f"{job_id}.json").read_text()))

    def jobs(self, job_tags=None):
        found = [self.retrieve_job(file.stem) for file in self.folder.glob("*.json")]
        return [job for job in found if job_tags is None or set(job_tags) <= set(job.told["tags"])]


class DiskJob(JobV1):
    """A job that is a file."""

    def __init__(self, backend, job_id, told):
        super().__init__(backend, job_id)
        self.told = told

    def submit(self):
        """Do nothing: it is there."""

    def status(self):
        return JobStatus.DONE if time.time() >= self.told["ready"] else JobStatus.RUNNING

    def cancel(self):
        return False

    def result(self):
        time.sleep(max(0.0, self.told["ready"] - time.time()))
        shots = self.told["shots"]
        experiments = [
            {"shots": shots, "success": True, "data": {"counts": {hex(value): shots}}}
            for value in self.told["values"]
        ]
        return Result.from_dict(
            {"success": True, "job_id": self.job_id(), "results": experiments, "backend_name": ""}
        )


def value_of(circuit):
    """Return what a circuit reads: the bits of the qubits that it turns over."""
    return sum(
        round(float(instruction.operation.params[0]) / math.pi)
        << circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.name == "rx"
    )


def router(folder, kind, observers=()):
    members = [
        Member(
            DiskBackend(folder / name, tags=name == "tagged"),
            limits=Limits(max_circuits=3, max_in_flight=2),
            pricing=Pricing(per_job=0.01),
        )
        for name in ("tagged", "plain", "other")
    ]
    primitive = {"sampler": RouterSampler, "estimator": RouterEstimator}[kind]
    return primitive(
        Fleet(members, observers=observers), policy=round_robin(), journal=folder / "journal.db"
    )


def run(folder, kind):
    circuit = QuantumCircuit(BITS)
    for qubit, angle in enumerate(ParameterVector("a", BITS)):
        circuit.rx(angle, qubit)
    angles = bits_of_rows() * np.pi
    if kind == "sampler":
        circuit.measure_all()
        router(folder, kind).run([(circuit, angles)], shots=SHOTS).result()
    else:
        pub = (circuit, [[label] for label in LABELS], angles)
        router(folder, kind).run([pub], precision=1 / math.sqrt(SHOTS)).result()


def bits_of_rows():
    """Return the bits of the number of each row, lowest first."""
    return np.arange(ROWS)[:, None] >> np.arange(BITS) & 1


def is_right(result, kind):
    """Tell whether a result is exactly that of a run without accidents."""
    if kind == "sampler":
        values = result[0].data.meas.array[..., 0]
        return values.shape == (ROWS, SHOTS) and bool((values == np.arange(ROWS)[:, None]).all())
    signs = 1 - 2 * bits_of_rows()[:, ::-1]
    expected = [signs[:, [letter == "Z" for letter in label]].prod(axis=1) for label in LABELS]
    metadata = result[0].metadata
    same = np.allclose(result[0].data.evs, expected) and not result[0].data.stds.any()
    return same and metadata["shots"] == SHOTS and "received_shots" not in metadata


def resume(folder, kind):
    primitive = router(folder, kind)
    told = {"right": True, "paid_once": True, "unknown": 0}
    for record in Journal(folder / "journal.db").runs():
        job = primitive.resume(record.job_id)
        told["right"] = bool(is_right(job.result(), kind))
        told |= paid_once(folder, job.report().attempts)
    if not Journal(folder / "journal.db").runs():
        told["paid_once"] = not jobs_in(folder)
    (folder / "told.json").write_text(json.dumps(told))


def paid_once(folder, attempts):
    """Tell whether each row was sent once, but for what is reported as unknown."""
    jobs = jobs_in(folder)
    counted = {attempt.job_id for attempt in attempts if attempt.outcome == "done"}
    unknown = [
        [row for piece in attempt.pieces for row in range(piece.row_start, piece.row_stop)]
        for attempt in attempts
        if attempt.outcome == "unknown"
    ]
    extra = [values for job_id, values in jobs.items() if job_id not in counted]
    explained = all(extra.count(values) <= unknown.count(values) for values in extra)
    sent = Counter(value for job_id in counted for value in jobs[job_id])
    return {
        "paid_once": explained and sent == Counter(range(ROWS)),
        "unknown": len(unknown),
        "unknown_where_it_can_be_asked": sum(
            attempt.outcome == "unknown" and attempt.member == "tagged" for attempt in attempts
        ),
    }


def jobs_in(folder):
    files = folder.glob("*/*.json")
    return {file.stem: json.loads(file.read_text())["values"] for file in files}


def forked(function, *arguments):
    """Call a function in a process of its own, and return that process's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        function(*arguments)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for_run(folder):
    """Wait until the run is written down: all that is of interest comes after that."""
    while not list(folder.glob("journal.db-wal")):
        time.sleep(0.001)


def main(folder, times, seed, kind):
    rng = random.Random(seed)
    whole = folder / "whole"
    whole.mkdir(parents=True)
    child = forked(run, whole, kind)
    wait_for_run(whole)
    began = time.monotonic()
    os.waitpid(child, 0)
    seconds = time.monotonic() - began
    told = []
    for number in range(times):
        place = folder / str(number)
        place.mkdir()
        child = forked(run, place, kind)
        wait_for_run(place)
        moment = rng.uniform(0, seconds)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        jobs = len(jobs_in(place))
        _, status = os.waitpid(forked(resume, place, kind), 0)
        if status:
            sys.exit(f"taking up the run in {place} failed")
        verdict = json.loads((place / "told.json").read_text())
        told.append({"moment": moment, "jobs_then": jobs, "jobs": len(jobs_in(place)), **verdict})
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), int(given[2]), int(given.get(3, 0)), given.get(4, "sampler"))
