"""The event loop whose time jumps."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from qiskit_gateway.runtime.preview.virtual_clock import JumpingLoop


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5]), st.booleans()), max_size=40))
def test_timers_of_one_time_fire_in_the_order_in_which_they_were_set(timers):
    """Neither other timers nor those that are cancelled change that order."""
    fired = []

    async def run():
        loop = asyncio.get_running_loop()
        set_ = [loop.call_at(when, fired.append, (when, i)) for i, (when, _) in enumerate(timers)]
        for timer, (_, cancelled) in zip(set_, timers, strict=True):
            if cancelled:
                timer.cancel()
        await asyncio.sleep(3)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())

    assert fired == sorted((when, i) for i, (when, cancelled) in enumerate(timers) if not cancelled)
