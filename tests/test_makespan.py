"""The bound of the makespan benchmark is what the best of all schedules takes."""

import importlib
import math
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]


@cache
def makespan():
    """Return the benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module("benchmarks.makespan")


def cuts(circuits: int, most: int):
    """Yield all ways to put circuits into jobs of at most so many."""
    if not circuits:
        yield ()
    for size in range(1, min(circuits, most) + 1):
        yield from ((size, *rest) for rest in cuts(circuits - size, most))


def end_seconds(model, jobs, dies_at: float) -> float:
    """Return when a member has done its jobs; never, if it goes down before."""
    if not jobs:
        return 0.0
    end = model.queue_seconds
    for size in jobs:
        end += model.job_seconds + size * model.circuit_seconds
    return end if end <= dies_at + 1e-9 else math.inf


def least_seconds(fleet, circuits: int, dies_at: float) -> float:
    """Return the makespan of the best schedule of all."""
    ends = [
        [
            min(
                end_seconds(model, jobs, math.inf if place else dies_at)
                for jobs in cuts(many, model.max_circuits)
            )
            for many in range(circuits + 1)
        ]
        for place, model in enumerate(fleet)
    ]
    divisions = product(range(circuits + 1), repeat=len(fleet))
    return min(
        max(times[many] for times, many in zip(ends, division, strict=True))
        for division in divisions
        if sum(division) == circuits
    )


@st.composite
def fleets(draw):
    """Draw a few members."""
    return [
        makespan().Model(
            circuit_seconds=draw(st.sampled_from([0.2, 0.5, 1.0, 2.0])),
            job_seconds=draw(st.sampled_from([0.0, 0.5])),
            queue_seconds=draw(st.sampled_from([0.0, 3.0])),
            max_circuits=draw(st.sampled_from([1, 2, 5])),
        )
        for _ in range(draw(st.integers(2, 3)))
    ]


@given(fleets(), st.integers(1, 6), st.none() | st.floats(0.0, 8.0))
@settings(max_examples=150, deadline=None)
def test_the_bound_is_the_makespan_of_the_best_schedule(fleet, circuits, dies_at):
    """Of all divisions and all cuts into jobs none ends before the bound, and one ends at it."""
    bound = makespan().bound_seconds(fleet, circuits, dies_at=dies_at)

    best = least_seconds(fleet, circuits, math.inf if dies_at is None else dies_at)

    assert bound == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("failing", [False, True])
def test_no_run_beats_the_bound(failing):
    """Whatever a run does, it ends no sooner than the bound."""
    found = [makespan().ratio(seed, 60, failing=failing) for seed in range(8)]

    assert min(found) >= 1 - 1e-9
