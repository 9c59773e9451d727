from collections import defaultdict
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import assert_tiled, make_world, profile

from qiskit_gateway.policies import Policy, cheapest, fastest, round_robin
from qiskit_gateway.policies.spread import SPLIT_RULES, Spread
from qiskit_gateway.scheduling.events import ShardFinished
from qiskit_gateway.work.tasks import Task


def test_each_rule_has_a_text():
    """What a user may write is what is registered, and the other way round."""
    assert sorted(get_args(Spread)) == list(SPLIT_RULES)
    assert type(Policy(spread="pubs").split_rule) is SPLIT_RULES["pubs"]


@st.composite
def runs(draw):
    """A world of members that never fail, and PUBs of up to three tasks each."""
    members = [
        profile(
            f"m{order}",
            order,
            max_circuits=draw(st.sampled_from([None, 1, 3])),
            max_shots=draw(st.sampled_from([None, 10, 40])),
            max_in_flight=draw(st.sampled_from([None, 1])),
            price=lambda jobs, circuits, shots, seconds: 0.3 * jobs + 0.01 * shots,
        )
        for order in range(draw(st.integers(2, 4)))
    ]
    pubs = [pub for pub in range(4) for _ in range(draw(st.integers(1, 3)))]
    tasks = [
        Task(
            index=index,
            rows=draw(st.integers(1, 6)),
            shots=draw(st.sampled_from([7, 50])),
            group=pub,
        )
        for index, pub in enumerate(pubs)
    ]
    preset = draw(st.sampled_from([fastest, round_robin, cheapest]))
    policy = preset(spread=draw(st.sampled_from(get_args(Spread))))
    return make_world(tasks, members, policy, settled=draw(st.booleans())), draw(st.randoms())


@given(runs())
@settings(max_examples=100, deadline=None)
def test_what_stays_together_runs_on_one_member(drawn):
    """Each rule keeps what it says, where no member fails or refuses, and loses nothing."""
    world, random = drawn
    rule = world.policy.split_rule

    world.run(
        lambda submit: ShardFinished(shard=submit.shard.index), lambda _: random.uniform(0.1, 3.0)
    )

    assert_tiled(world.tasks, world.done)
    members = defaultdict(set)
    for submit in world.submits:
        for piece in submit.shard.pieces:
            home = rule.home_of(task=piece.task, pub=world.tasks[piece.task].group)
            if home is not None:
                members["home", home].add(submit.member)
            if not rule.divides_rows:
                for row in range(piece.row_start, piece.row_stop):
                    members["row", piece.task, row].add(submit.member)
    assert all(len(names) == 1 for names in members.values())


@pytest.mark.parametrize(("spread", "most"), [("pubs", 1), ("rows", 4), ("shots", 4)])
def test_what_may_be_cut_is_cut(spread, most):
    """One PUB of four rows keeps one member busy, or as many as its rule allows."""
    members = [profile(name, order) for order, name in enumerate("abcd")]
    world = make_world([Task(index=0, rows=4, shots=100)], members, fastest(spread=spread))

    world.run(lambda submit: ShardFinished(shard=submit.shard.index), lambda _: 1.0)

    assert len({submit.member for submit in world.submits}) == most


def test_shots_of_one_row_are_divided_only_where_they_may_be():
    """A single row goes to one member, or in parts to several."""
    members = [profile(name, order) for order, name in enumerate("abcd")]
    used = {}
    for spread in get_args(Spread):
        world = make_world([Task(index=0, rows=1, shots=400)], members, fastest(spread=spread))
        world.run(lambda submit: ShardFinished(shard=submit.shard.index), lambda _: 1.0)
        used[spread] = len({submit.member for submit in world.submits})

    assert used["rows"] == used["pubs"] == 1
    assert used["shots"] == 4
