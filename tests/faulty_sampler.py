"""A sampler that does real work and, from some job on, fails or spoils what came of it."""

from qiskit.primitives import BaseSamplerV2, PrimitiveResult


class FaultySampler(BaseSamplerV2):
    """Sends what it is given to a real sampler, and counts jobs and PUBs.

    Args:
        inner: The sampler.
        dies_after: How many jobs it takes before it raises at each.
        spoil: What becomes of each result.
    """

    def __init__(self, inner, *, dies_after=None, spoil=None):
        self.inner = inner
        self.dies_after = dies_after
        self.spoil = spoil
        self.jobs = []

    def backend(self):
        return self.inner._backend

    def run(self, pubs, *, shots=None):
        pubs = list(pubs)
        self.jobs.append((pubs, shots))
        if self.dies_after is not None and len(self.jobs) > self.dies_after:
            raise ConnectionError("the line is dead")
        job = self.inner.run(pubs, shots=shots)
        if self.spoil is not None:
            result, spoil = job.result, self.spoil
            job.result = lambda: spoil(result())
        return job


def loses_one(result):
    """Leave out the last PUB, as a server does that counts wrongly."""
    return PrimitiveResult(list(result)[:-1])
