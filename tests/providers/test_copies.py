"""Members over real backends are copied and pickled, or it is said why they cannot be."""

import copy
import pickle

import pytest
from small_circuits import ones

from qiskit_gateway import RouterSampler

pytestmark = pytest.mark.filterwarnings("ignore")


def by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))  # noqa: S301  Of our own.


def by_cloudpickle(thing):
    module = pytest.importorskip("cloudpickle")
    return pickle.loads(module.dumps(thing))  # noqa: S301  Of our own.


def run(router):
    """Return the outcome that was seen most often."""
    counts = router.run([ones()], shots=50).result(timeout=60)[0].data.meas.get_counts()
    return max(counts, key=counts.get)


@pytest.mark.parametrize("way", [by_pickle, by_cloudpickle, copy.deepcopy])
def test_routers_are_copied_if_their_backends_are(provider_member, way):
    """Before a run and after it; the copy runs, and says the same of its backend."""
    router = RouterSampler(provider_member)
    try:
        target = way(provider_member.backend).target
        target is None or target.operation_names  # noqa: B018
        said = "a copy of IQMTarget lacks" if "iqm" in provider_member.name else ""
    except Exception as error:  # noqa: BLE001  Whatever a provider's objects raise.
        said = str(error)
    if said:
        with pytest.raises(TypeError, match="because its backend, a ") as caught:
            way(router)
        assert said in str(caught.value)
        return
    untouched = way(router)
    works = not provider_member.adaptation.refusal
    if works:
        assert run(router) == "1"
    for made in (untouched, way(router)):
        (member,) = made.fleet
        for name in ("name", "limits", "adaptation", "overlaps", "known_options"):
            assert getattr(member, name) == getattr(provider_member, name)
        assert member.backend is not provider_member.backend
        if works:
            assert run(made) == "1"
