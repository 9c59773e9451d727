"""Several processes on one journal: whatever happens to them, the limits hold and nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RIVALRY = Path(__file__).parents[2] / "rivalry.py"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.timeout(7200)
def test_rivals_keep_the_limits_and_lose_nothing(request, tmp_path, kind):
    """Four processes, killed at random, their clocks set at random, and rivals that take up the rest.

    Nothing is over a limit in flight or a budget, sent twice, lost, or left reserved, and the books
    say what was paid. ``--histories`` says how many are drawn.
    """
    histories = request.config.getoption("--histories")
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        places = [server.new_database() for _ in range(histories)]
    else:
        places = [str(tmp_path / f"journal{number}") for number in range(histories)]
    seed = request.config.getoption("--histories-seed")
    command = [sys.executable, str(RIVALRY), str(tmp_path / "providers"), seed, *places]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert len(told) == histories
    assert [one for one in told if one["broken"]] == []
    assert all(one["jobs"] for one in told)
