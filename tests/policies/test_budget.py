from math import isclose

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from qiskit_gateway.policies import Budget, Verdict
from qiskit_gateway.policies.budget import (
    Amount,
    Ledger,
    Reservation,
    owe,
    release,
    reserve,
    settle,
)

BUDGET = Budget(
    usd=10.0,
    shots=5000,
    attempts=20,
    per_member_usd={"ada": 4.0},
    per_day_usd=6.0,
    per_user_usd={"chem": 7.0, "chem/ana": 5.0},
    per_user_day_usd={"chem": 4.5},
)
LIMITS = {
    "usd": 10.0,
    "shots": 5000,
    "attempts": 20,
    "usd of ada": 4.0,
    "usd for 'chem'": 7.0,
    "usd for 'chem/ana'": 5.0,
}
amounts = st.builds(Amount, usd=st.floats(0, 3), shots=st.integers(0, 2000))


def reservation(key="a", member="ada", day=0, run="", user="", **amount):
    return Reservation(key=key, member=member, day=day, run=run, user=user, amount=Amount(**amount))


class Ledgers(RuleBasedStateMachine):
    """Reserve, settle and release in any order, also twice."""

    opened = Bundle("opened")
    closed = Bundle("closed")

    def __init__(self):
        super().__init__()
        self.ledger = Ledger()
        self.made = 0
        self.spent = Amount(attempts=0)

    @rule(
        target=opened,
        member=st.sampled_from(["ada", "bea"]),
        day=st.integers(0, 2),
        user=st.sampled_from(["", "chem/ana", "chem/ben", "chem", "chemist"]),
        amount=amounts,
    )
    def ask(self, member, day, user, amount):
        """A reservation is taken whole or refused with a reason, and a refusal changes nothing."""
        self.made += 1
        asked = Reservation(key=str(self.made), member=member, day=day, user=user, amount=amount)
        answer = reserve(self.ledger, BUDGET, asked)
        if isinstance(answer, Verdict):
            assert not answer
            assert "left" in answer.reason
        else:
            assert answer.reserved == {**self.ledger.reserved, asked.key: asked}
            self.ledger = answer
        return asked

    @rule(target=closed, held=consumes(opened), share=st.floats(0, 1))
    def pay(self, held, share):
        """What is settled moves from reserved to spent, at what it did cost."""
        amount = Amount(usd=held.amount.usd * share, shots=int(held.amount.shots * share))
        if held.key in self.ledger.reserved:
            self.spent = Amount(
                usd=self.spent.usd + amount.usd,
                shots=self.spent.shots + amount.shots,
                attempts=self.spent.attempts + 1,
            )
        self.ledger = settle(self.ledger, held, amount)
        return held

    @rule(target=closed, held=consumes(opened))
    def give_back(self, held):
        """What is released is neither reserved nor spent."""
        spent = self.ledger.spent
        self.ledger = release(self.ledger, held)
        assert held.key not in self.ledger.reserved
        assert self.ledger.spent == spent
        return held

    @rule(held=closed, amount=amounts)
    def repeat(self, held, amount):
        """Settling and releasing are idempotent, in either order."""
        assert release(self.ledger, held) == self.ledger
        assert settle(self.ledger, held, amount) == self.ledger

    @invariant()
    def sums_are_those_of_what_is_open(self):
        """What is kept as reserved by account is what the open reservations add up to."""
        for account in {*LIMITS, *self.ledger.held}:
            single = [
                owe(Ledger(), one).held.get(account, 0) for one in self.ledger.reserved.values()
            ]
            assert isclose(self.ledger.held.get(account, 0), sum(single), abs_tol=1e-12)

    @invariant()
    def never_overspent(self):
        """Spent and reserved together stay within every limit."""
        held = self.ledger.reserved.values()
        used = dict(self.ledger.spent)
        for one in held:
            for account, value in (
                ("usd", one.amount.usd),
                ("shots", one.amount.shots),
                ("attempts", one.amount.attempts),
                (f"usd of {one.member}", one.amount.usd),
                (f"usd on day {one.day}", one.amount.usd),
                *(
                    (f"{account} for {name!r}", one.amount.usd)
                    for name in {"chem": ["chem"], "chem/ana": ["chem", "chem/ana"]}.get(
                        one.user.removesuffix("/ben"), []
                    )
                    for account in ("usd", f"usd on day {one.day}")
                ),
            ):
                used[account] = used.get(account, 0) + value
        days = {f"usd on day {day}": 6.0 for day in range(3)}
        days |= {f"usd on day {day} for 'chem'": 4.5 for day in range(3)}
        for account, limit in (LIMITS | days).items():
            assert used.get(account, 0) <= limit * (1 + 1e-6)

    @invariant()
    def nothing_is_lost(self):
        """The ledger's sums are the sums of what was settled."""
        spent = self.ledger.spent
        assert isclose(spent.get("usd", 0), self.spent.usd, abs_tol=1e-9)
        assert spent.get("shots", 0) == self.spent.shots
        assert spent.get("attempts", 0) == self.spent.attempts


TestLedgers = Ledgers.TestCase


def test_a_refusal_says_what_was_spent_and_what_is_left():
    """People can read from the reason why there is no room."""
    ledger = reserve(Ledger(), Budget(usd=10), reservation("a", usd=4))
    ledger = settle(ledger, reservation("a", usd=4), Amount(usd=3.5))
    ledger = reserve(ledger, Budget(usd=10), reservation("b", usd=5))
    verdict = reserve(ledger, Budget(usd=10), reservation("c", usd=2))
    assert verdict.reason == ("the budget of 10 usd has 1.5 left (3.5 spent, 5 reserved), 2 asked")


@pytest.mark.parametrize(
    ("budget", "account"),
    [
        (Budget(usd=1), "1 usd has"),
        (Budget(shots=9), "9 shots has"),
        (Budget(attempts=0), "0 attempts has"),
        (Budget(per_member_usd={"ada": 1}), "1 usd of ada has"),
        (Budget(per_day_usd=1), "1 usd on day 7 has"),
        (Budget(per_run_usd=1), "1 usd in run r has"),
        (Budget(per_run_shots=9), "9 shots in run r has"),
        (Budget(per_user_usd={"chem/ana": 1}), "1 usd for 'chem/ana' has"),
        (Budget(per_user_usd={"chem": 1}), "1 usd for 'chem' has"),
        (Budget(per_user_day_usd={"chem": 1}), "1 usd on day 7 for 'chem' has"),
    ],
)
def test_each_limit_holds(budget, account):
    """Every limit refuses by itself what does not fit."""
    verdict = reserve(
        Ledger(), budget, reservation(day=7, run="r", user="chem/ana", usd=2, shots=10)
    )
    assert account in verdict.reason


def test_limits_bind_only_their_own():
    """A member's limit does not bind another, nor a day's the next, nor a user's a namesake."""
    budget = Budget(per_member_usd={"ada": 1}, per_day_usd=2, per_user_usd={"chem": 0})
    ledger = reserve(Ledger(), budget, reservation("a", usd=1))
    ledger = reserve(ledger, budget, reservation("b", member="bea", usd=1))
    ledger = reserve(ledger, budget, reservation("c", member="bea", day=1, user="chemist", usd=2))
    assert set(ledger.reserved) == {"a", "b", "c"}


def test_refused_work_waits_only_if_room_may_come_back():
    """It waits if only reservations stand in the way, or only what was spent on that day."""
    held = reserve(Ledger(), Budget(usd=1), reservation("a", usd=1))
    assert reserve(held, Budget(usd=1), reservation("b", usd=1)).waits
    spent = settle(held, reservation("a", usd=1), Amount(usd=1))
    assert not reserve(spent, Budget(usd=1), reservation("b", usd=1)).waits
    daily = settle(held, reservation("a", usd=1), Amount(usd=1))
    assert reserve(daily, Budget(per_day_usd=1), reservation("b", usd=1)).waits
    assert not reserve(daily, Budget(per_day_usd=1), reservation("b", usd=1.1)).waits
    asked = reservation("b", user="ana", usd=1)
    held = settle(owe(Ledger(), asked), asked, Amount(usd=1))
    assert reserve(held, Budget(per_user_day_usd={"ana": 1}), asked).waits
    assert not reserve(held, Budget(per_user_usd={"ana": 1}), asked).waits


def test_rounding_refuses_nothing():
    """Three times 0.1 fit into 0.3."""
    budget, ledger = Budget(usd=0.3), Ledger()
    for key in "abc":
        ledger = reserve(ledger, budget, reservation(key, usd=0.1))
    assert len(ledger.reserved) == 3
    assert not reserve(ledger, budget, reservation("d", usd=0.1))


def test_a_dearer_bill_than_reserved_is_booked():
    """The ledger tells what was spent, even above the budget, and then refuses what costs."""
    ledger = reserve(Ledger(), Budget(usd=1), reservation("a", usd=1))
    ledger = settle(ledger, reservation("a", usd=1), Amount(usd=5))
    assert ledger.spent["usd"] == 5
    assert "has 0 left" in reserve(ledger, Budget(usd=1), reservation("b", usd=1)).reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd": -1},
        {"shots": -1},
        {"attempts": -1},
        {"per_member_usd": {"ada": -1}},
        {"per_user_usd": {"ana": -1}},
        {"per_user_day_usd": {"ana": -1}},
        {"per_day_usd": -1},
        {"per_run_usd": -1},
        {"per_run_shots": -1},
        {"on_exhausted": "borrow"},
    ],
)
def test_bad_arguments_are_refused(wrong):
    """A limit that could not mean anything is an error that names it."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}.* must be"):
        Budget(**wrong)
