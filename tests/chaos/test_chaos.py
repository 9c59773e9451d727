"""Random faults of every kind, thousands of times, against the laws.

    python -m pytest tests/chaos --chaos-seeds 10000
    python -m pytest tests/chaos --chaos-seed 4711

The second runs one seed alone, such as one that failed; what failed says so. A seed is a fleet, a
policy, PUBs, faults, and deaths of the process, on a clock that jumps, so it is the same each time.
"""

from chaos.laws import assert_laws
from chaos.scenario import drawn
from chaos.world import lived


def test_whatever_happens_the_laws_hold(chaos_seed, tmp_path):
    """Exact shots in their rows, nothing paid twice or beyond the budget, nothing left behind."""
    try:
        lived(drawn(chaos_seed), tmp_path, assert_laws)
    except BaseException as error:
        error.add_note(f"alone: python -m pytest tests/chaos --chaos-seed {chaos_seed}")
        raise


def test_runs_whose_plans_are_solved_in_turn_come_to_an_end(tmp_path):
    """The answer of one run, which leaves its turn to another, is no reason for that to plan anew."""
    lived(drawn(94290), tmp_path, assert_laws)
