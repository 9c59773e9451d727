"""The ground state of H2 by VQE over three unlike backends, one of which fails on the way."""

import sys
import warnings

import numpy as np
from qiskit.circuit.library import real_amplitudes
from qiskit.providers import BackendV2
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import CouplingMap
from scipy.optimize import minimize

from qiskit_gateway import RouterEstimator
from qiskit_gateway.backends import Fleet, Member
from qiskit_gateway.backends.scripted import Fails, ScriptedBackend
from qiskit_gateway.policies import round_robin

# What the backends below, which have no noise, say with Aer and without.
warnings.filterwarnings("ignore", message=".*has no QubitProperties|Aer not found")

# H2 at 0.735 angstrom, STO-3G, parity mapping with two qubits saved, as computed by PySCF and
# printed in the documentation of qiskit-nature and qiskit-algorithms; of the form of O'Malley et
# al., "Scalable Quantum Simulation of Molecular Energies", Phys. Rev. X 6, 031007 (2016).
HAMILTONIAN = SparsePauliOp.from_list(
    [
        ("II", -1.052373245772859),
        ("IZ", 0.39793742484318045),
        ("ZI", -0.39793742484318045),
        ("ZZ", -0.01128010425623538),
        ("XX", 0.18093119978423156),
    ]
)
NUCLEAR_REPULSION = 0.7199689944489797  # In hartree, as everything here.
EXACT = float(np.linalg.eigvalsh(HAMILTONIAN.to_matrix())[0])


def simulator() -> BackendV2:
    """Return Aer where it is installed, else the simulator that Qiskit brings."""
    try:
        from qiskit_aer import AerSimulator  # noqa: PLC0415
    except ImportError:
        return BasicSimulator()
    return AerSimulator(max_parallel_threads=1)


line = GenericBackendV2(5, coupling_map=CouplingMap.from_line(5), noise_info=False, seed=1)
star = GenericBackendV2(
    6,
    basis_gates=["rz", "sx", "x", "ecr"],
    coupling_map=CouplingMap([(0, qubit) for qubit in range(1, 6)]),
    noise_info=False,
    seed=2,
)
# Takes six jobs and is gone from then on.
retiring = ScriptedBackend(line, [()] * 6, then=Fails(transient=False))
fleet = Fleet(
    [
        Member(simulator(), name="simulator"),
        Member(retiring, name="line of 5"),
        Member(star, name="star of 6"),
    ]
)
estimator = RouterEstimator(
    fleet, policy=round_robin(), options={"seed_simulator": 7, "shot_allocation": "by_weight"}
)
ansatz = real_amplitudes(2, reps=1)
reports = []


def energy(angles: np.ndarray, precision: float = 0.004) -> float:
    """Return the electronic energy of the ansatz."""
    job = estimator.run([(ansatz, HAMILTONIAN, angles)], precision=precision)
    value = float(job.result()[0].data.evs)
    reports.append(job.report())
    return value


start = np.random.default_rng(3).uniform(-1, 1, ansatz.num_parameters)
found = minimize(energy, start, method="COBYLA", options={"rhobeg": 0.8, "maxiter": 80}, tol=0.01)
final = energy(found.x, precision=0.001)

print(f"energy {final + NUCLEAR_REPULSION:.4f} hartree after {len(reports)} evaluations")
print(f"exact  {EXACT + NUCLEAR_REPULSION:.4f} hartree")
rows = [row for report in reports for row in report.members.items()]
jobs = {m.name: sum(row["jobs"] for name, row in rows if name == m.name) for m in fleet}
failures = {m.name: sum(row["failures"] for name, row in rows if name == m.name) for m in fleet}
for name, count in jobs.items():
    print(f"{name:10} {count:4} jobs, {failures[name]} failed")
print(reports[-1].notes[0])

if abs(final - EXACT) > 0.01:
    sys.exit("the energy is off by more than 10 millihartree")
if not all(jobs.values()) or not failures["line of 5"]:
    sys.exit("every member should have had work, and one of them should have failed")
