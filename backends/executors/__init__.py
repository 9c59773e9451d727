"""Simulators on the workers of an executor: a pool of processes, a Dask cluster, and their like."""
