"""A canary: everything here is written for BackendV2, and Qiskit may bring a successor."""

import pkgutil
from importlib import import_module

import qiskit.providers


def test_qiskit_has_no_backend_after_v2():
    """When this fails, Qiskit has a new interface of backends: docs/backend-v3.md says what to do."""
    inner = (
        f"qiskit.providers.{found.name}"
        for found in pkgutil.iter_modules(qiskit.providers.__path__)
    )
    modules = [qiskit.providers, *map(import_module, inner)]
    newer = {
        f"{module.__name__}.{name}"
        for module in modules
        for name in dir(module)
        if name.startswith("BackendV") and name[8:].isdigit() and int(name[8:]) > 2
    }
    assert not newer, f"read docs/backend-v3.md: {sorted(newer)}"
