"""Primitives that do real work and, from some job on, fail or spoil what came of it."""

from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2, PrimitiveResult


class _Faulty:
    """Sends what it is given to a real primitive, and keeps what each job was asked.

    Args:
        inner: The primitive.
        dies_after: How many jobs it takes before it raises at each.
        spoil: What becomes of each result.

    Attributes:
        jobs: PUBs and shots, or precision, of each job.
    """

    def __init__(self, inner, *, dies_after=None, spoil=None):
        self.inner = inner
        self.dies_after = dies_after
        self.spoil = spoil
        self.jobs = []

    def backend(self):
        return self.inner._backend

    def _run(self, pubs, **asked):
        pubs = list(pubs)
        self.jobs.append((pubs, *asked.values()))
        if self.dies_after is not None and len(self.jobs) > self.dies_after:
            raise ConnectionError("the line is dead")
        job = self.inner.run(pubs, **asked)
        if self.spoil is not None:
            result, spoil = job.result, self.spoil
            job.result = lambda: spoil(result())
        return job


class FaultySampler(_Faulty, BaseSamplerV2):
    def run(self, pubs, *, shots=None):
        return self._run(pubs, shots=shots)


class FaultyEstimator(_Faulty, BaseEstimatorV2):
    def run(self, pubs, *, precision=None):
        return self._run(pubs, precision=precision)


def loses_one(result):
    """Leave out the last PUB, as a server does that counts wrongly."""
    return PrimitiveResult(list(result)[:-1])
