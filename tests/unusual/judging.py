"""Whether what a circuit gave is what an exact simulation says."""

import exact
import numpy as np
from qiskit.primitives.containers import BitArray
from scipy.stats import chi2
from unusual import circuits as random_circuits

SHOTS = 120
# A correct fleet fails for one circuit in a hundred million.
UNBELIEVABLE = 1e-8


def check_row(circuit, found, index):
    """Compare what all registers of a row hold, shot by shot, with the exact distribution."""
    expected = {}
    for bits, weight in exact.distribution(circuit).items():
        held = random_circuits.registers_of(circuit, bits)
        expected[held] = expected.get(held, 0.0) + weight
    held = zip(*(values_of(found.data[r.name], index) for r in circuit.cregs), strict=True)
    seen = {}
    for shot in held:
        seen[shot] = seen.get(shot, 0) + 1
    assert sum(seen.values()) == SHOTS
    impossible = [shot for shot in seen if expected.get(shot, 0.0) < exact.NEVER * 10]
    assert not impossible, f"{impossible} cannot be\n{expected}\n{circuit}"
    assert is_believable(seen, expected), f"{seen} is not\n{expected}\n{circuit}"


def values_of(bits: BitArray, index):
    """Return what a register holds in each shot of a row."""
    if bits.num_bits == 0:
        return [0] * bits.num_shots
    return [int(text, 2) for text in bits.get_bitstrings(index)]


def is_believable(seen, expected):
    """Tell whether numbers of shots may come from a distribution, by the likelihood ratio."""
    ratio = 2 * sum(n * np.log(n / (SHOTS * expected[shot])) for shot, n in seen.items())
    return chi2.sf(ratio, max(1, 2 * len(expected))) > UNBELIEVABLE
