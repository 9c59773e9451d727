"""The tables of docs/policies-dividing.md, docs/presets/ and docs/policies.md, computed anew."""

import re
from pathlib import Path

import pytest
from solving import shares_of

from qiskit_gateway import load_config, policies
from qiskit_gateway.policies.objectives import Trade
from qiskit_gateway.scheduling.allocation.divide import bid_of
from qiskit_gateway.scheduling.members.estimator import Estimator
from qiskit_gateway.scheduling.members.offers import Offers
from qiskit_gateway.scheduling.members.profile import MemberProfile
from qiskit_gateway.scheduling.members.state import MemberState
from qiskit_gateway.work.tasks import Load

DOCS = Path(__file__).parents[4] / "docs"
NAMES = ["dear", "paid", "free"]
CIRCUITS, SHOTS = 100, 100


def rows_of(page):
    """Return the rows of a page's tables that begin with a call, as lists of cells."""
    rows = re.findall(r"^\| `(\w+\(.*?\))`.*? \|(.*)\|$", (DOCS / page).read_text(), re.MULTILINE)
    found = [[call, *(cell.strip() for cell in rest.split("|"))] for call, rest in rows]
    return [row for row in found if row[0][0].islower()]


def policy_of(call):
    names = {name: getattr(policies, name) for name in policies.__all__}
    return eval(call, names)  # noqa: S307  Our own page.


def dear(jobs, circuits, circuit_shots, seconds):
    return 0.5 * circuits


def paid(jobs, circuits, circuit_shots, seconds):
    return jobs * max(2 + 0.1 * circuits / jobs, 5)


def free(jobs, circuits, circuit_shots, seconds):
    return 0.0


def page_offers(policy):
    """Return what is known of the members of the page."""
    profiles = [
        MemberProfile(name="dear", order=0, price=dear),
        MemberProfile(name="paid", order=1, price=paid, max_circuits=40, weight=2.0, fidelity=0.9),
        MemberProfile(name="free", order=2, price=free, fidelity=0.95),
    ]
    states = {}
    for name, seconds, queue, pending in (
        ("dear", 1, 0, 2),
        ("paid", 2, 0, 0),
        ("free", 36, 60, 1),
    ):
        state = MemberState(queue_seconds=queue, wait_read=True, pending_jobs=pending)
        state.speed.jobs, state.speed.circuit_seconds = 1, float(seconds)
        states[name] = state
    return Offers(
        estimator=Estimator(profiles={one.name: one for one in profiles}, states=states),
        assigned={},
        waiting=Load(CIRCUITS, CIRCUITS * SHOTS),
        uses=policy.uses,
        now=0.0,
    )


def divided(call):
    """Return a row of the page: shares, price, end."""
    policy = policy_of(call)
    known = page_offers(policy)
    horizon = policy.deadline_seconds or float("inf")
    allowed = [name for name in NAMES if policy.where(known(name, Load(1, SHOTS)))]
    shares = shares_of(known, allowed, policy.minimize, horizon=horizon).circuits
    bids = [bid_of(known, name, Trade(1.0, (), 0.0)) for name in NAMES]
    counts = [round(shares.get(name, 0)) for name in NAMES]
    usd = sum(sum(map(bid.price, bid.cut(n))) for bid, n in zip(bids, counts, strict=True))
    end = max(bid.seconds(n) for bid, n in zip(bids, counts, strict=True))
    return [*map(str, counts), f"{usd:.2f}", f"{end:.0f}"]


PRESETS = [
    "balanced",
    "cheapest",
    "failover",
    "fastest",
    "least_busy",
    "most_faithful",
    "round_robin",
    "weighted",
]
PAGES = ["policies-dividing.md", *(f"presets/{preset}.md" for preset in PRESETS)]
DIVIDED = [row for page in PAGES for row in rows_of(page)]


@pytest.mark.parametrize("row", DIVIDED, ids=lambda row: row[0])
def test_the_tables_of_divisions(row):
    """Every row says what the policy does with the work of the page."""
    assert row[1:] == divided(row[0])


def test_every_preset_has_a_row():
    """No preset is left out of the common tables, and each has a table of its own."""
    assert set(PRESETS) <= {row[0].partition("(")[0] for row in rows_of("policies-dividing.md")}
    assert set(PRESETS) <= {row[0].partition("(")[0] for row in rows_of("policies.md")}
    for preset in PRESETS:
        assert {row[0].partition("(")[0] for row in rows_of(f"presets/{preset}.md")} == {preset}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_file_on_the_page_of_a_preset_loads(preset, tmp_path):
    """What a page says in TOML loads, and minimizes what a row of its table does."""
    (written,) = re.findall(
        r"```toml\n(.*?)```", (DOCS / f"presets/{preset}.md").read_text(), re.DOTALL
    )
    members = "".join(f'[[members]]\nname = "{name}"\nsimulated = {{}}\n' for name in NAMES)
    file = tmp_path / "fleet.toml"
    file.write_text(members + written)

    policy = load_config(file).policy

    assert policy.minimize in [
        policy_of(call).minimize for call, *_ in rows_of(f"presets/{preset}.md")
    ]


def offers():
    """Return the offers of docs/policies.md, as its first block makes them."""
    block = re.search(r"```python\n(.*?)```", (DOCS / "policies.md").read_text(), re.DOTALL)[1]
    namespace = {}
    exec(block, namespace)  # noqa: S102
    return namespace["offers"]


@pytest.mark.parametrize("row", rows_of("policies.md"), ids=lambda row: row[0])
def test_the_table_of_presets(row):
    """Every number is the first that the preset compares, and the last cell what it takes."""
    call, _, *numbers, taken = row
    policy = policy_of(call)
    allowed = [offer for offer in offers() if policy.where(offer)]

    found = [
        f"{policy.minimize.key(offer)[0]:.2f}" if policy.where(offer) else "refused"
        for offer in offers()
    ]

    said = [cell if cell == "refused" else f"{float(cell):.2f}" for cell in numbers]
    assert said == found
    assert min(allowed, key=policy.minimize.key).member == taken
