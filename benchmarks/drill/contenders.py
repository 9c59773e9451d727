"""What runs the work: a program each, as a user would write it. Their lines are counted.

Each gets the circuits, the backends and a folder of its own. It answers, and keeps, counts by the name
of a circuit. Started again, it goes on as far as it can with what it has kept.
"""

import itertools
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from qiskit import transpile
from qiskit.primitives import BackendSamplerV2

from benchmarks.drill.work import Work
from qiskit_gateway import Journal, RouterSampler
from qiskit_gateway.backends import ExecutorMember, Fleet, Member
from qiskit_gateway.backends.tariffs import tariff
from qiskit_gateway.policies import Budget, fastest

Answers = dict[str, dict[str, int]]
# So many calls at once: most of the time of each is spent on waiting.
_THREADS = 16


def run_gateway(work: Work, backends: dict[str, Any], folder: Path) -> Answers:
    """By qiskit-gateway."""
    pool = lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))  # noqa: E731
    fleet = Fleet(
        [
            Member(backends["ionq"], name="ionq", pricing=tariff("braket:ionq_forte")),
            Member(backends["braket"], name="braket"),
            Member(backends["iqm"], name="iqm"),
            ExecutorMember(pool, "benchmarks.drill.providers:make_aer", name="aer"),
        ]
    )
    journal = Journal(folder / "journal.db")
    policy = fastest(budget=Budget(usd=work.budget_usd, on_exhausted="move"))
    sampler = RouterSampler(fleet, policy=policy, journal=journal)
    earlier = journal.runs()
    if earlier:
        job = sampler.resume(earlier[0].job_id)
    else:
        job = sampler.run(work.circuits, shots=work.shots)
    counts = [pub.join_data().get_counts() for pub in job.result()]
    return {one.name: found for one, found in zip(work.circuits, counts, strict=True)}


def run_by_hand(work: Work, backends: dict[str, Any], folder: Path) -> Answers:
    """By a BackendSamplerV2 for each provider, each with its share of the work."""
    names = itertools.cycle(backends)
    shares: dict[str, list[Any]] = {name: [] for name in backends}
    for circuit in work.circuits:
        name = next(one for one in names if circuit.num_qubits <= backends[one].num_qubits)
        shares[name].append(circuit)

    def run_share(name: str) -> Answers:
        kept = folder / f"{name}.json"
        if not kept.exists():
            circuits = transpile(shares[name], backends[name], optimization_level=1)
            job = BackendSamplerV2(backend=backends[name]).run(circuits, shots=work.shots)
            counts = [pub.join_data().get_counts() for pub in job.result()]
            found = {one.name: got for one, got in zip(circuits, counts, strict=True)}
            kept.write_text(json.dumps(found))
        return json.loads(kept.read_text())

    with ThreadPoolExecutor(len(backends)) as threads:
        return _gather(threads.submit(run_share, name) for name in backends)


def run_thread_pool(work: Work, backends: dict[str, Any], folder: Path) -> Answers:
    """By a pool of threads that tries the next provider after whatever goes wrong."""
    turns = itertools.cycle(backends.values())

    def run_one(circuit: Any) -> Answers:
        kept = folder / f"{circuit.name}.json"
        for attempt in range(20):
            if kept.exists():
                break
            backend = next(turns)
            try:
                ready = transpile(circuit, backend, optimization_level=1)
                counts = backend.run(ready, shots=work.shots).result().get_counts()
                kept.write_text(json.dumps(dict(counts)))
            except Exception:  # noqa: BLE001  Blind retries are what is compared with.
                time.sleep(0.1 * attempt)
        return {circuit.name: json.loads(kept.read_text())}

    with ThreadPoolExecutor(_THREADS) as threads:
        return _gather(threads.submit(run_one, circuit) for circuit in work.circuits)


def run_load_balancer(work: Work, backends: dict[str, Any], folder: Path) -> Answers:
    """By qiskit-quantum-loadbalancer; its own scores ask for what IBM's backends alone have."""
    from qiskit_loadbalancer import BackendRouter, BackendSelector, ScoringStrategy  # noqa: PLC0415

    flying = dict.fromkeys(backends, 0)

    class LeastFlying(ScoringStrategy):
        def score(self, backend: Any, circuit: Any) -> float | None:
            name = next(one for one, other in backends.items() if other is backend)
            return 1 / (1 + flying[name]) if self._fits(backend, circuit) else None

    router = BackendRouter(BackendSelector(strategy=LeastFlying()), max_attempts=len(backends))

    def submit(backend: Any, circuit: Any) -> dict[str, int]:
        name = next(one for one, other in backends.items() if other is backend)
        flying[name] += 1
        try:
            return dict(backend.run(circuit, shots=work.shots).result().get_counts())
        finally:
            flying[name] -= 1

    def run_one(circuit: Any) -> Answers:
        kept = folder / f"{circuit.name}.json"
        if not kept.exists():
            counts = router.submit(circuit, submit, backends=[*backends.values()])
            kept.write_text(json.dumps(counts))
        return {circuit.name: json.loads(kept.read_text())}

    with ThreadPoolExecutor(_THREADS) as threads:
        return _gather(threads.submit(run_one, circuit) for circuit in work.circuits)


def _gather(futures: Iterable["Future[Answers]"]) -> Answers:
    """Gather what came; what failed is missing."""
    answers: Answers = {}
    for future in [*futures]:
        with suppress(Exception):
            answers |= future.result()
    return answers


CONTENDERS: dict[str, Callable[[Work, dict[str, Any], Path], Answers]] = {
    "qiskit-gateway": run_gateway,
    "BackendSamplerV2 by hand": run_by_hand,
    "thread pool, blind retries": run_thread_pool,
    "qiskit-quantum-loadbalancer": run_load_balancer,
}
