"""What other processes have in flight is looked at once for all runs of a fleet."""

import math

import anyio
import numpy as np
import pytest
from chaos.dying import Dying
from journals import SPEC, small_work

from qiskit_gateway import Journal
from qiskit_gateway.backends import Fleet, Limits, SimulatedMember
from qiskit_gateway.backends.readout.outcomes import Outcome
from qiskit_gateway.policies import Policy
from qiskit_gateway.runtime.run import Run
from qiskit_gateway.work.record.attempt import Attempt
from qiskit_gateway.work.record.run_log import Terms
from qiskit_gateway.work.tasks import Piece

pytestmark = pytest.mark.anyio
LOOKS = []


class Counting(Dying):
    """The log of a run that notes when it is asked what others have."""

    async def count_elsewhere(self):
        LOOKS.append(anyio.current_time())
        return await super().count_elsewhere()


async def test_one_run_looks_for_all(tmp_path):
    """Ten that wait cost no more looks than one; all of them go on when the slot is free."""
    LOOKS.clear()
    journal = Journal(tmp_path / "journal")
    journal._database.uptime = lambda: ("here", anyio.current_time())
    other = journal.begin("other", SPEC, 5, party="other")
    held = Attempt(
        shard=0, member="a", number=1, pieces=(Piece(0, 0, 1, 0, 5),), circuits=1, shots=5
    )
    other.record_intent(held, None, Terms(max_in_flight=1))
    fleet = Fleet([SimulatedMember("a", job_seconds=1.0, limits=Limits(max_in_flight=1))])
    runs = [
        Run(
            f"{number}",
            fleet,
            Policy(),
            small_work(1),
            run_log=Counting(journal.begin(f"{number}", SPEC, 100, party="ours"), math.inf),
        )
        for number in range(10)
    ]
    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.execute)
        await anyio.sleep(100.0)
        assert not any(run.ended for run in runs)
        assert 200 < len(LOOKS) < 800
        other.record_outcomes(
            held, [Outcome(shots=5, num_bits=1, memory=np.ones((5, 1), np.uint8))], 1.0
        )
    assert all(run.ended and not run.ended.given_up for run in runs)
