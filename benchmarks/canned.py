"""A backend that costs nothing: what a run over it takes is the primitive's own."""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit.library import CXGate, Measure, RYGate, RZGate, SXGate, XGate
from qiskit.providers import BackendV2, JobStatus, JobV1, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult, ExperimentResultData
from qiskit.transpiler import Target

# So many answers are kept for each size; the n-th circuit of a job gets the n-th of them in turn.
_ANSWERS = 16


class CannedJob(JobV1):
    """A job that was done before it began, unless it is said when it ends."""

    def __init__(self, backend: BackendV2, result: Result, ends: float = 0.0) -> None:
        super().__init__(backend, "canned")
        self._result = result
        self._ends = ends

    def submit(self) -> None:
        """Do nothing."""

    def result(self) -> Result:
        time.sleep(max(0.0, self._ends - time.monotonic()))
        return self._result

    def status(self) -> JobStatus:
        return JobStatus.DONE if time.monotonic() >= self._ends else JobStatus.RUNNING


class CannedBackend(BackendV2):
    """A backend that answers with counts, and memory if asked, drawn beforehand.

    Args:
        num_qubits: Its width.
        ones: With what probability a measured bit is 1.
        circuit_seconds: How long ``result()`` blocks for each circuit of a job; jobs run one after
            the other.
    """

    def __init__(self, num_qubits: int, *, ones: float = 0.5, circuit_seconds: float = 0.0) -> None:
        super().__init__(name="canned")
        self._target = _target(num_qubits)
        self._ones = ones
        self._circuit_seconds = circuit_seconds
        self._free_at = 0.0
        self.circuits = 0

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024, seed_simulator=None, memory=False)

    def run(self, run_input: Sequence[QuantumCircuit], **options: Any) -> CannedJob:
        shots, memory = options["shots"], bool(options.get("memory"))
        results = [
            experiment(circuit.num_clbits, shots, place % _ANSWERS, self._ones, memory=memory)
            for place, circuit in enumerate(run_input)
        ]
        self.circuits += len(results)
        begins = max(self._free_at, time.monotonic())
        self._free_at = begins + len(results) * self._circuit_seconds
        result = Result(results=results, success=True, job_id="canned")
        return CannedJob(self, result, self._free_at)


@cache
def experiment(bits: int, shots: int, place: int, ones: float, *, memory: bool) -> ExperimentResult:
    """Return what a result says of one circuit."""
    counts, in_order = answer(bits, shots, place, ones)
    data = {"counts": counts, "memory": in_order} if memory else {"counts": counts}
    header = {"memory_slots": bits}
    return ExperimentResult(
        shots=shots, success=True, data=ExperimentResultData(**data), header=header
    )


def answers(
    bits: int, shots: int, circuits: int, ones: float = 0.5
) -> list[tuple[dict[str, int], list[str]]]:
    """Return the counts and the memory of each circuit of a job."""
    return [answer(bits, shots, place % _ANSWERS, ones) for place in range(circuits)]


@cache
def answer(bits: int, shots: int, place: int, ones: float) -> tuple[dict[str, int], list[str]]:
    """Return counts, and the memory that they are the counts of, in hexadecimal."""
    rng = np.random.default_rng((bits, shots, place))
    packed = np.packbits(rng.random((shots, bits)) < ones, axis=1)
    memory = [hex(int.from_bytes(row.tobytes(), "big") >> -bits % 8) for row in packed]
    values, counts = np.unique(memory, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True)), memory


@cache
def _target(num_qubits: int) -> Target:
    target = Target(num_qubits=num_qubits)
    angle = Parameter("angle")
    for gate in (RYGate(angle), RZGate(angle), SXGate(), XGate(), Measure()):
        target.add_instruction(gate, {(qubit,): None for qubit in range(num_qubits)})
    pairs = [(a, b) for a in range(num_qubits) for b in range(num_qubits) if a != b]
    target.add_instruction(CXGate(), dict.fromkeys(pairs))
    return target
