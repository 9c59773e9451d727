"""Budgets of a fleet: money, shots and attempts are reserved before they are spent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from qiskit_gateway.arguments import (
    check_choice,
    check_count,
    check_mapping,
    check_number,
    make_plain,
)
from qiskit_gateway.display.cards import render_card
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
        per_user_usd: By name of the user or project on whose behalf a run is, in USD. A project has
            what all users have whose names begin with its own and ``/``: what ``"chem/ana"`` spends
            counts for ``"chem"`` too. Users not named have no limit of their own.
        per_user_day_usd: Likewise, on any one day.
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
    per_user_usd: Mapping[str, float] | None = field(default=None, hash=False)
    per_user_day_usd: Mapping[str, float] | None = field(default=None, hash=False)
    on_exhausted: OnExhausted = "stop"

    def __post_init__(self) -> None:
        for name in ("usd", "per_day_usd", "per_run_usd"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        for name in ("shots", "attempts", "per_run_shots"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        for name in ("per_member_usd", "per_user_usd", "per_user_day_usd"):
            limits = getattr(self, name)
            if limits is not None:
                check_mapping(name, limits)
                for whose, usd in limits.items():
                    check_number(f"{name} of {whose!r}", usd)
                object.__setattr__(self, name, dict(limits))
        check_choice("on_exhausted", self.on_exhausted, get_args(OnExhausted))
        make_plain(self)

    def __str__(self) -> str:
        """The limits, as a line."""
        limits = [f"{name} {amount}" for name, amount in self._limits()]
        return f"{', '.join(limits) or 'no limits'}; then {self.on_exhausted}"

    def _repr_html_(self) -> str:
        limits = self._limits() or [("no limits", "nothing is counted")]
        return render_card("Budget", [*limits, ("what does not fit", self.on_exhausted)])

    def _limits(self) -> list[tuple[str, str]]:
        return [
            (one.name.replace("_", " "), _amount(getattr(self, one.name)))
            for one in fields(self)
            if one.name != "on_exhausted" and getattr(self, one.name) is not None
        ]

    @property
    def of_all_runs(self) -> "Budget | None":
        """The limits on what several runs spend together; ``None`` if there are none."""
        limits = replace(self, per_run_usd=None, per_run_shots=None)
        return limits if limits._limits() else None  # noqa: SLF001

    @property
    def counts_free_jobs(self) -> bool:
        """Jobs that cost nothing use it up, too."""
        return self.shots is not None or self.attempts is not None

    @property
    def names(self) -> frozenset[str]:
        """Names of members that have a limit of their own."""
        return frozenset(self.per_member_usd or {})

    @property
    def names_users(self) -> bool:
        """It limits what is spent on somebody's behalf."""
        return bool(self.per_user_usd or self.per_user_day_usd)


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
        run: The run to which it counts; ``""`` where no run has a limit of its own.
        user: On whose behalf that is; ``""`` for nobody's.
    """

    key: str
    member: str
    amount: Amount
    day: int = 0
    run: str = ""
    user: str = ""

    def postings(self, amount: Amount) -> dict[str, float]:
        """Tell by how much an amount raises each account that the reservation counts to."""
        by_account: dict[str, float] = {
            "usd": amount.usd,
            "shots": amount.shots,
            "attempts": amount.attempts,
            f"usd of {self.member}": amount.usd,
            f"usd on day {self.day}": amount.usd,
        }
        if self.run:
            by_account |= {
                f"usd in run {self.run}": amount.usd,
                f"shots in run {self.run}": amount.shots,
            }
        for name in users_of(self.user):
            by_account |= {
                f"usd for {name!r}": amount.usd,
                f"usd on day {self.day} for {name!r}": amount.usd,
            }
        return by_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Spent and reserved amounts. A new ledger is ``Ledger()``.

    Attributes:
        reserved: The open reservations, by key.
        held: Their sums, by account as below, kept so that nobody need add them up again.
        spent: Sums by account, see :meth:`Reservation.postings`.
    """

    reserved: Mapping[str, Reservation] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)


def users_of(user: str) -> tuple[str, ...]:
    """List the accounts that something done for a user counts for: the projects, and the user."""
    ends = [at for at, letter in enumerate(user) if letter == "/"]
    return tuple(user[:end] for end in [*ends, len(user)] if end)


def reserve(ledger: Ledger, budget: Budget, reservation: Reservation) -> Ledger | Verdict:
    """Set an amount aside, if it fits.

    What is spent and reserved never exceeds the budget by a reservation: where it would, the
    answer is a refusal that says what was spent and what is left. It waits where room may come
    back: where only what is reserved stands in the way, or only what was spent on one day.
    """
    postings = reservation.postings(reservation.amount)
    for account, limit in _limits(budget, reservation):
        verdict = _refusal(ledger, account, limit, postings[account])
        if verdict is not None:
            return verdict
    return owe(ledger, reservation)


def owe(ledger: Ledger, reservation: Reservation) -> Ledger:
    """Set an amount aside that is owed already, whether it fits or not."""
    assert reservation.key not in ledger.reserved, reservation.key  # noqa: S101
    held = dict(ledger.held)
    for account, value in reservation.postings(reservation.amount).items():
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
    for account, value in reservation.postings(actual).items():
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
    for account, value in reservation.postings(reservation.amount).items() if reserved else ():
        held[account] -= value
    return Ledger(reserved=reserved, held=held, spent=ledger.spent)


def left_usd(ledger: Ledger, budget: Budget, *, day: int, run: str, user: str = "") -> float | None:
    """Return the money that may still be spent on any member, in USD, by the tightest limit.

    What is reserved is not left. ``None`` where no such limit is set.
    """
    asked = Reservation(key="", member="", amount=Amount(), day=day, run=run, user=user)
    left = [
        limit - ledger.spent.get(account, 0) - max(0, ledger.held.get(account, 0))
        for account, limit in _limits(replace(budget, per_member_usd=None), asked)
        if account.startswith("usd")
    ]
    return max(0.0, min(left)) if left else None


def _amount(limit: Any) -> str:
    if isinstance(limit, Mapping):
        return ", ".join(f"{name} {_amount(amount)}" for name, amount in limit.items())
    return f"{limit:,.10g}"


def _limits(budget: Budget, reservation: Reservation) -> list[tuple[str, float]]:
    day, per_member = reservation.day, budget.per_member_usd or {}
    limits = {
        "usd": budget.usd,
        "shots": budget.shots,
        "attempts": budget.attempts,
        f"usd of {reservation.member}": per_member.get(reservation.member),
        f"usd on day {day}": budget.per_day_usd,
    }
    if reservation.run:
        limits[f"usd in run {reservation.run}"] = budget.per_run_usd
        limits[f"shots in run {reservation.run}"] = budget.per_run_shots
    in_all, on_a_day = budget.per_user_usd or {}, budget.per_user_day_usd or {}
    for name in users_of(reservation.user):
        limits[f"usd for {name!r}"] = in_all.get(name)
        limits[f"usd on day {day} for {name!r}"] = on_a_day.get(name)
    return [(account, limit) for account, limit in limits.items() if limit is not None]


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
