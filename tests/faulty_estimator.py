"""An estimator that does real work and, from some job on, fails or spoils what came of it."""

from qiskit.primitives import BaseEstimatorV2


class FaultyEstimator(BaseEstimatorV2):
    """Sends what it is given to a real estimator, and keeps PUBs and precision of each job.

    Args:
        inner: The estimator.
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

    def run(self, pubs, *, precision=None):
        pubs = list(pubs)
        self.jobs.append((pubs, precision))
        if self.dies_after is not None and len(self.jobs) > self.dies_after:
            raise ConnectionError("the line is dead")
        job = self.inner.run(pubs, precision=precision)
        if self.spoil is not None:
            result, spoil = job.result, self.spoil
            job.result = lambda: spoil(result())
        return job
