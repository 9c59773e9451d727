"""What members can do beside the four verbs is told by protocols that nobody has to declare."""

import pytest
from qiskit.providers.basic_provider import BasicSimulator

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
