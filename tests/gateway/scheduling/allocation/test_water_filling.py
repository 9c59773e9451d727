"""Dividing work among members."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_gateway.policies.objectives import (
    Finish,
    Objective,
    Order,
    Price,
    Then,
    Work,
    WorkShare,
)
from qiskit_gateway.policies.offer import Offer
from qiskit_gateway.scheduling.allocation.water_filling import allocate
from qiskit_gateway.work.tasks import Load


def quoting(seconds, *, waits=None, prices=None, weights=None, orders=None):
    """Return offers of members with a time per circuit, a wait, a price per circuit."""

    def quote(member, load, before):
        index = int(member)
        return Offer(
            member=member,
            circuits=max(1, round(load.circuits)),
            shots=1,
            wait_seconds=(waits[index] if waits else 0.0) + seconds[index] * before.circuits,
            run_seconds=seconds[index] * load.circuits,
            price_usd=prices[index] * load.circuits if prices else 0.0,
            weight=weights[index] if weights else 1.0,
            work_assigned=before.circuit_shots,
            order=index,
        )

    return quote


times = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=8)


@given(times, st.integers(1, 10_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_shares_add_up_to_the_work(seconds, circuits, divisible):
    """Whatever the members are, all of the work is given out and no more."""
    members = [str(index) for index in range(len(seconds))]

    shares = allocate(
        Load(circuits, circuits), members, quoting(seconds), Finish(), divisible=divisible
    )

    assert sum(shares.values()) == pytest.approx(circuits)
    assert min(shares.values()) > 0


@given(times, st.integers(1, 10_000), st.data())
@settings(max_examples=60, deadline=None)
def test_a_finish_time_is_levelled(seconds, circuits, data):
    """All members that take part finish together; the others would finish later at once."""
    waits = [data.draw(st.floats(0, 100)) for _ in seconds]
    members = [str(index) for index in range(len(seconds))]
    quote = quoting(seconds, waits=waits)

    shares = allocate(Load(circuits, circuits), members, quote, Finish(), divisible=True)

    ends = [waits[int(m)] + seconds[int(m)] * share for m, share in shares.items()]
    idle = [waits[int(m)] + seconds[int(m)] for m in members if m not in shares]
    assert max(ends) <= min(ends) + 2 * max(seconds) + 1e-6
    assert all(max(ends) <= wait + 2 * max(seconds) + 1e-6 for wait in idle)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=8), st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_a_price_is_never_shared(prices, circuits):
    """Under a price alone the cheapest takes everything."""
    members = [str(index) for index in range(len(prices))]
    quote = quoting([1.0] * len(prices), prices=prices)

    shares = allocate(Load(circuits, circuits), members, quote, Then(Price(), Order()))

    assert shares == {str(prices.index(min(prices))): circuits}


def test_members_that_tie_share_by_the_next_objective():
    """Among equally cheap members the work is divided by what comes next."""
    quote = quoting([1.0, 1.0, 3.0], prices=[1.0, 1.0, 9.0])

    shares = allocate(Load(100, 100), ["0", "1", "2"], quote, Then(Price(), Finish()))

    assert shares == pytest.approx({"0": 50, "1": 50})


class Unasked(Objective):
    """An objective that nobody should ask."""

    def __call__(self, offer):
        """Raise."""
        raise AssertionError(offer)


@given(times, st.integers(100, 10_000))
@settings(max_examples=60, deadline=None)
def test_nobody_asks_for_what_decides_nothing(seconds, circuits):
    """Where the first objective divides much work, those behind it are not worked out."""
    members = [str(index) for index in range(len(seconds))]
    work, quote = Load(circuits, circuits), quoting(seconds)

    shares = allocate(work, members, quote, Then(Finish(), Unasked()))

    assert shares == allocate(work, members, quote, Finish())


def test_weights_are_shares():
    """Under WorkShare a member of three times the weight takes three times the work."""
    quote = quoting([1.0, 1.0], weights=[1.0, 3.0])

    shares = allocate(Load(400, 400), ["0", "1"], quote, Then(WorkShare(), Order()))

    assert shares == pytest.approx({"0": 100, "1": 300}, abs=2)


@pytest.mark.parametrize("circuits", [4, 400])
def test_a_member_of_weight_zero_takes_only_what_no_other_may(circuits):
    """Its share of the work is infinite whatever it has; the others share as if it were not there."""
    quote, objective = quoting([1.0] * 3), Then(WorkShare({"0": 0.0, "1": 1.0, "2": 3.0}), Order())

    shares = allocate(Load(circuits, circuits), ["0", "1", "2"], quote, objective)
    alone = allocate(Load(circuits, circuits), ["0"], quote, objective)

    assert shares == pytest.approx({"1": circuits / 4, "2": circuits * 3 / 4}, abs=circuits / 200)
    assert alone == {"0": circuits}


def test_work_is_levelled_whatever_the_weights():
    """Under Work every member takes the same."""
    quote = quoting([1.0, 5.0], weights=[1.0, 3.0])

    shares = allocate(Load(400, 400), ["0", "1"], quote, Then(Work(), Order()))

    assert shares == pytest.approx({"0": 200, "1": 200}, abs=1)


def test_little_work_after_long_waits_is_divided():
    """Rounding of the waits does not look like work that nobody took."""
    quote = quoting([0.00103, 0.00103], waits=[5000.010082, 5000.009266])

    shares = allocate(Load(9, 9), ["0", "1"], quote, Finish())

    assert sum(shares.values()) == pytest.approx(9)
