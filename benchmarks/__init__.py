"""What the router costs and gains, measured side by side with what it is held against.

    python -m benchmarks [NAME...] [--quick] [--markdown FILE]

Each module named in :mod:`benchmarks.__main__` has one function, ``rows(*, quick)``, which measures
and yields a :class:`benchmarks.measure.Row` for every case. Where stock Qiskit is the other side, it
first checks that both give the same answer. ``quick`` asks for small sizes, which show that all
works and meet no target.
"""
