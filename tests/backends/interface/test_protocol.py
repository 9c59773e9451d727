"""What members can do beside the four verbs is told by protocols that nobody has to declare."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2

from qiskit_gateway.backends import FleetMember, Member, SimulatedMember
from qiskit_gateway.backends.interface.protocol import (
    CanEstimate,
    CanFind,
    CanPrepare,
    KnowsUnsent,
    ProbesQueue,
    ReadsTarget,
    RemembersEstimates,
    TellsIfFree,
    TellsIfItFinds,
    TellsMachine,
    TellsOptions,
    TellsProvider,
    TellsQueue,
    TellsStage,
    TellsStarted,
)


@pytest.mark.parametrize(
    ("member", "abilities"),
    [
        (
            Member(BasicSimulator()),
            {
                CanEstimate,
                CanFind,
                CanPrepare,
                KnowsUnsent,
                ProbesQueue,
                ReadsTarget,
                RemembersEstimates,
                TellsIfFree,
                TellsIfItFinds,
                TellsOptions,
                TellsMachine,
                TellsProvider,
                TellsStage,
                TellsStarted,
            },
        ),
        (
            Member(BasicSimulator(), queue=lambda: 1.0),
            {
                CanEstimate,
                CanFind,
                CanPrepare,
                KnowsUnsent,
                ProbesQueue,
                ReadsTarget,
                RemembersEstimates,
                TellsIfFree,
                TellsIfItFinds,
                TellsOptions,
                TellsMachine,
                TellsProvider,
                TellsQueue,
                TellsStage,
                TellsStarted,
            },
        ),
        (SimulatedMember("simulated"), {CanEstimate, TellsQueue, TellsStarted}),
    ],
    ids=["member", "with a queue", "simulated"],
)
def test_members_are_what_they_can_do(member, abilities):
    """Each ability that a member has shows, and no other."""
    known = (
        CanEstimate,
        CanFind,
        CanPrepare,
        KnowsUnsent,
        ProbesQueue,
        ReadsTarget,
        RemembersEstimates,
        TellsIfFree,
        TellsIfItFinds,
        TellsMachine,
        TellsOptions,
        TellsProvider,
        TellsQueue,
        TellsStage,
        TellsStarted,
    )
    assert isinstance(member, FleetMember)
    assert {one for one in known if isinstance(member, one)} == abilities


@pytest.mark.parametrize(
    ("module", "provider"),
    [
        ("iqm.devices", "iqm, local"),
        ("qiskit_ibm_runtime.fakes", "ibm, local"),
        ("nobody.knows", ""),
    ],
)
def test_a_member_is_of_the_provider_of_its_backend(module, provider):
    """It is known by the package of its class; what runs in this process is apart."""
    kind = type("Device", (BasicSimulator,), {"__module__": module})

    assert Member(kind()).provider == provider


@pytest.mark.providers
def test_plain_simulators_share_the_interpreter_and_stand_ins_for_devices_do_not():
    """What has noise, the couplings of a device or an executor, or is no AerSimulator, works by itself."""
    aer = pytest.importorskip("qiskit_aer")
    device = GenericBackendV2(5, seed=1)
    noise = aer.noise.NoiseModel(["h"])
    shared = {
        Member(aer.AerSimulator(method=method)).machine for method in ("automatic", "stabilizer")
    }
    assert len(shared - {""}) == 1
    with ThreadPoolExecutor(1) as pool:
        apart = [
            Member(aer.AerSimulator(noise_model=noise)),
            Member(aer.AerSimulator(), run_options={"noise_model": noise}),
            Member(aer.AerSimulator(executor=pool)),
            Member(aer.AerSimulator.from_backend(device)),
            Member(aer.AerSimulator(coupling_map=[[0, 1], [1, 0]])),
            Member(type("Own", (aer.AerSimulator,), {})()),
            Member(device),
            Member(BasicSimulator()),
        ]
        assert {member.machine for member in apart} == {""}
