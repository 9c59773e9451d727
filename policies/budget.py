"""Budgets of a fleet: money, shots and attempts are reserved before they are spent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from qiskit_gateway.display.cards import card
from qiskit_gateway.policies.arguments import check_choice, check_count, check_number
from qiskit_gateway.policies.verdict import Verdict, refuse

OnExhausted = Literal["move", "wait", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that may be spent; ``None`` is no limit.

    Attributes:
        usd: In all, in USD. 0 allows only what is free.
        shots: Shots in all, summed over circuits.
        attempts: Attempts in all, failed ones too.
        per_member_usd: By name of the member, in USD. Members not named have no limit of their own.
        per_day_usd: On any one day, in USD; days begin at midnight UTC.
        per_run_usd: In any one run, in USD.
        per_run_shots: In any one run, shots summed over circuits.
        on_exhausted: What to do with work that does not fit: ``"move"`` looks for a member where
            it does; ``"wait"`` keeps it until there is room, when other jobs turn out not to cost
            or the next day begins, and stops where none can come; ``"stop"`` ends the run.
    """

    usd: float | None = None
    shots: int | None = None
    attempts: int | None = None
    per_member_usd: Mapping[str, float] | None = field(default=None, hash=False)
    per_day_usd: float | None = None
    per_run_usd: float | None = None
    per_run_shots: int | None = None
    on_exhausted: OnExhausted = "stop"

    def __post_init__(self) -> None:
        for name in ("usd", "per_day_usd", "per_run_usd"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        for name in ("shots", "attempts", "per_run_shots"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if self.per_member_usd is not None:
            for member, usd in self.per_member_usd.items():
                check_number(f"per_member_usd of {member!r}", usd)
            object.__setattr__(self, "per_member_usd", dict(self.per_member_usd))
        check_choice("on_exhausted", self.on_exhausted, get_args(OnExhausted))

    def __str__(self) -> str:
        """The limits, as a line."""
        limits = [f"{name} {amount}" for name, amount in self._limits()]
        return f"{', '.join(limits) or 'no limits'}; then {self.on_exhausted}"

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        limits = self._limits() or [("no limits", "nothing is counted")]
        return card("Budget", [*limits, ("what does not fit", self.on_exhausted)])

    def _limits(self) -> list[tuple[str, str]]:
        return [
            (one.name.replace("_", " "), _amount(getattr(self, one.name)))
            for one in fields(self)
            if one.name != "on_exhausted" and getattr(self, one.name) is not None
        ]

    @property
    def limits_usd_of_runs(self) -> bool:
        """It limits the money that several runs spend together, and not each by itself alone."""
        limits = (self.usd, self.per_member_usd, self.per_day_usd)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """The cost of an attempt.

    Attributes:
        usd: Its price, in USD.
        shots: Its shots, summed over circuits.
        attempts: 1, or 0 if nothing was sent.
    """

    usd: float = 0.0
    shots: int = 0
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An amount set aside for one attempt.

    Attributes:
        key: Its name, which no other reservation of the ledger has or had.
        member: Name of the member that is to be paid.
        amount: The most that the attempt is expected to cost.
        day: The day to which it counts, in any numbering of days that the caller keeps to.
        run: The run to which it counts.
    """

    key: str
    member: str
    amount: Amount
    day: int = 0
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Spent and reserved amounts. A new ledger is ``Ledger()``.

    Attributes:
        reserved: The open reservations, by key.
        held: Their sums, by account as below, kept so that nobody need add them up again.
        spent: Sums by account: ``"usd"``, ``"shots"``, ``"attempts"``, ``"usd of <member>"``,
            ``"usd on day <day>"``, ``"usd in run <run>"``, ``"shots in run <run>"``.
    """

    reserved: Mapping[str, Reservation] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)


def reserve(ledger: Ledger, budget: Budget, reservation: Reservation) -> Ledger | Verdict:
    """Set an amount aside, if it fits.

    What is spent and reserved never exceeds the budget by a reservation: where it would, the
    answer is a refusal that says what was spent and what is left. It waits where room may come
    back: where only what is reserved stands in the way, or only what was spent on one day.
    """
    postings = _postings(reservation, reservation.amount)
    for account, limit in _limits(budget, reservation):
        verdict = _refusal(ledger, account, limit, postings[account])
        if verdict is not None:
            return verdict
    return owe(ledger, reservation)


def owe(ledger: Ledger, reservation: Reservation) -> Ledger:
    """Set an amount aside that is owed already, whether it fits or not."""
    assert reservation.key not in ledger.reserved, reservation.key  # noqa: S101
    held = dict(ledger.held)
    for account, value in _postings(reservation, reservation.amount).items():
        held[account] = held.get(account, 0) + value
    reserved = {**ledger.reserved, reservation.key: reservation}
    return Ledger(reserved=reserved, held=held, spent=ledger.spent)


def settle(ledger: Ledger, reservation: Reservation, actual: Amount) -> Ledger:
    """Turn a reservation into what the attempt did cost, which may be more or less.

    A reservation that is settled or released already is left as it is.
    """
    if reservation.key not in ledger.reserved:
        return ledger
    spent = dict(ledger.spent)
    for account, value in _postings(reservation, actual).items():
        spent[account] = spent.get(account, 0) + value
    left = release(ledger, reservation)
    return Ledger(reserved=left.reserved, held=left.held, spent=spent)


def release(ledger: Ledger, reservation: Reservation) -> Ledger:
    """Give back a reservation of which nothing was spent.

    A reservation that is settled or released already is left as it is.
    """
    if reservation.key not in ledger.reserved:
        return ledger
    reserved = dict(ledger.reserved)
    del reserved[reservation.key]
    # Exactly none when it is empty, whatever rounding has added up to.
    held = dict(ledger.held) if reserved else {}
    for account, value in _postings(reservation, reservation.amount).items() if reserved else ():
        held[account] -= value
    return Ledger(reserved=reserved, held=held, spent=ledger.spent)


def left_usd(ledger: Ledger, budget: Budget, *, day: int, run: str) -> float | None:
    """Return the money that may still be spent on any member, in USD, by the tightest limit.

    What is reserved is not left. ``None`` where no such limit is set.
    """
    limits = {
        "usd": budget.usd,
        f"usd on day {day}": budget.per_day_usd,
        f"usd in run {run}": budget.per_run_usd,
    }
    left = [
        limit - ledger.spent.get(account, 0) - max(0, ledger.held.get(account, 0))
        for account, limit in limits.items()
        if limit is not None
    ]
    return max(0.0, min(left)) if left else None


def _amount(limit: Any) -> str:
    if isinstance(limit, Mapping):
        return ", ".join(f"{name} {_amount(amount)}" for name, amount in limit.items())
    return f"{limit:,.10g}"


def _limits(budget: Budget, reservation: Reservation) -> list[tuple[str, float]]:
    per_member = budget.per_member_usd or {}
    limits = {
        "usd": budget.usd,
        "shots": budget.shots,
        "attempts": budget.attempts,
        f"usd of {reservation.member}": per_member.get(reservation.member),
        f"usd in run {reservation.run}": budget.per_run_usd,
        f"shots in run {reservation.run}": budget.per_run_shots,
        f"usd on day {reservation.day}": budget.per_day_usd,
    }
    return [(account, limit) for account, limit in limits.items() if limit is not None]


def _postings(reservation: Reservation, amount: Amount) -> dict[str, float]:
    return {
        "usd": amount.usd,
        "shots": amount.shots,
        "attempts": amount.attempts,
        f"usd of {reservation.member}": amount.usd,
        f"usd on day {reservation.day}": amount.usd,
        f"usd in run {reservation.run}": amount.usd,
        f"shots in run {reservation.run}": amount.shots,
    }


def _refusal(ledger: Ledger, account: str, limit: float, asked: float) -> Verdict | None:
    spent = ledger.spent.get(account, 0)
    reserved = max(0, ledger.held.get(account, 0))
    # Three times 0.1 fit into 0.3.
    most = limit * (1 + 1e-9)
    if spent + reserved + asked <= most:
        return None
    left = max(0.0, limit - spent - reserved)
    reason = (
        f"the budget of {limit:.10g} {account} has {left:.10g} left "
        f"({spent:.10g} spent, {reserved:.10g} reserved), {asked:.10g} asked"
    )
    # Another day begins with nothing spent.
    gone = 0 if account.startswith("usd on day ") else spent
    return refuse(reason, waits=gone + asked <= most)
