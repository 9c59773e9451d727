"""A drill: a thousand circuits over four kinds of providers while things go wrong.

``python -m benchmarks drill`` runs the same work by qiskit-gateway and by what one would use else: each
has a provider that is down for 40 % of the work, is killed once and started again, meets a circuit
that one provider chokes on, and has a budget. What came is held against exact distributions, what was
paid against the books of the provider.
"""
