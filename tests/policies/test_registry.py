import pytest

from qiskit_gateway.policies.registry import Registry


def test_a_registry_maps_names_to_what_registered_itself():
    """Entries come back under their names, unchanged, sorted by name."""
    registry = Registry("filter")

    @registry.register("second_letter")
    class B: ...

    @registry.register("first_letter")
    def a(): ...

    assert dict(registry) == {"second_letter": B, "first_letter": a}
    assert list(registry) == ["first_letter", "second_letter"]


def test_a_name_that_is_taken_is_refused():
    """The error names both, and the first keeps the name."""
    registry = Registry("filter")

    @registry.register("cheap")
    class Cheap: ...

    class Frugal: ...

    with pytest.raises(ValueError, match=r"filter name 'cheap' is taken by .*Cheap; give .*Frugal"):
        registry.register("cheap")(Frugal)
    assert dict(registry) == {"cheap": Cheap}
