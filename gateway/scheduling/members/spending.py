"""Paying for shards: set aside before submission, out of a budget and of allowances; settled after."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from qiskit_gateway.policies.budget import (
    Amount,
    Budget,
    Ledger,
    Reservation,
    left_usd,
    owe,
    release,
    reserve,
    settle,
)
from qiskit_gateway.policies.verdict import ALLOWED, Verdict
from qiskit_gateway.scheduling.members.allowances import Allowances
from qiskit_gateway.work.price import Due, Price

_DAY_SECONDS = 86_400


@dataclass(slots=True)
class Account:
    """Money spent and reserved under one budget, by all runs over a fleet.

    Attributes:
        budget: The budget, held so that no other can take its identity.
        ledger: The books.
        numbers: Names for reservations and runs, each used once.
    """

    budget: Budget
    ledger: Ledger = field(default_factory=Ledger)
    numbers: "count[int]" = field(default_factory=lambda: count(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A shard that was bought.

    Attributes:
        member: Where.
        price: Its price so far.
        shots: Those of its shots that ran, summed over circuits.
    """

    member: str
    price: Price
    shots: int


class Spending:
    """The money, shots and attempts that a run may use.

    Args:
        budget: The most that may be spent; ``None`` for no limit, and then nothing is counted.
        accounts: The fleet's accounts, by identity of the budget: all runs under one share one.
        allowances: What the members do for nothing; by default, that is not limited.
        spent_usd: Where what each member is paid is added up, under a budget or not.
        user: On whose behalf the run is.

    Attributes:
        allowances: What the members do for nothing.
    """

    def __init__(
        self,
        budget: Budget | None,
        accounts: dict[int, Account],
        allowances: Allowances | None = None,
        spent_usd: dict[str, float] | None = None,
        user: str = "",
    ) -> None:
        self.allowances = allowances or Allowances()
        self._spent_usd = {} if spent_usd is None else spent_usd
        self._due: dict[object, tuple[str, float]] = {}
        self._account: Account | None = None
        self._closed: Ledger | None = None
        self._user = user
        if budget is not None:
            self._account = accounts.setdefault(id(budget), Account(budget))
            self._run = f"{next(self._account.numbers)}"
        self._open: dict[object, Reservation] = {}

    @property
    def epoch(self) -> float:
        """The start of the first budget day, in seconds of the loop's clock."""
        return self.allowances.epoch

    @epoch.setter
    def epoch(self, seconds: float) -> None:
        self.allowances.epoch = seconds

    @property
    def spent(self) -> Mapping[str, float]:
        """The amounts spent under the budget, by account."""
        return {} if self._account is None else self._account.ledger.spent

    def left_usd(self, now: float) -> float | None:
        """Return the money that may still be spent, in USD; ``None`` without a limit."""
        account = self._account
        if account is None:
            return None
        ledger = self._closed or account.ledger  # Of a run that is over the fleet's knows nothing.
        return left_usd(ledger, account.budget, day=self._day(now), run=self._run, user=self._user)

    def buy(
        self, key: object, member: str, asked: float, shots: int, now: float
    ) -> Price | Verdict:
        """Set aside what a shard costs, or say why not.

        Args:
            key: Name of the shard.
            member: Where.
            asked: What it takes, in units of the member's allotment; in USD where it has none.
            shots: Its shots, summed over circuits.
            now: Seconds of the loop's clock.
        """
        verdict = self.allowances.verdict(member, asked, now)
        if not verdict:
            return verdict
        price = self.allowances.price(member, asked, now)
        if self._account is not None:
            verdict = self.reserve(key, member, Amount(usd=price.usd, shots=shots), now)
            if not verdict:
                return verdict
        self.allowances.take(key, member, asked, now)
        self._due[key] = member, price.usd
        return price

    def reserve(self, key: object, member: str, amount: Amount, now: float) -> Verdict:
        """Set an amount aside for a shard, or say why not."""
        account = self._account
        if account is None:
            return ALLOWED
        reservation = self._reservation(account, member, amount, now)
        answer = reserve(account.ledger, account.budget, reservation)
        if isinstance(answer, Verdict):
            return answer
        account.ledger = answer
        self._open[key] = reservation
        return ALLOWED

    def owe(self, key: object, member: str, amount: Amount, now: float) -> None:
        """Set an amount aside that is owed already, whether there is room for it or not."""
        account = self._account
        self._due[key] = member, amount.usd
        if account is not None:
            made = self._reservation(account, member, amount, now)
            account.ledger = owe(account.ledger, made)
            self._open[key] = made

    def affords_again(self, key: object, now: float) -> bool:
        """Check whether a shard's reservation, and one more try of it, can be paid."""
        price = self.allowances.again(key, now)
        if price is not None and price.usd == math.inf:
            return False
        account, held = self._account, self._open.get(key)
        if account is None or held is None:
            return True
        amount = _price_anew(held.amount, price)
        again = self._reservation(account, held.member, amount, now)
        return not isinstance(reserve(account.ledger, account.budget, again), Verdict)

    def renew(self, key: object, now: float) -> Price | None:
        """Turn a shard's reservation into money spent, and set aside what one more try costs.

        Returns:
            Its price, if it need not be that of the try before.
        """
        price, held = self.allowances.again(key, now), self._open.get(key)
        self.allowances.renew(key, now)
        member, usd = self._due[key]
        self._spend(key)
        self._due[key] = member, usd if price is None else price.usd
        if held is not None:
            self.owe(key, held.member, _price_anew(held.amount, price), now)
        return price

    def amend(self, key: object, bought: Bought, due: Due, now: float) -> Price:
        """Set aside for a shard what it turned out to take, and return that price.

        Args:
            key: Name of the shard.
            bought: What was bought.
            due: What it took.
            now: Seconds of the loop's clock.
        """
        price = self.allowances.amend(key, bought.member, bought.price, due, now)
        self._due[key] = bought.member, price.usd
        account, held = self._account, self._open.get(key)
        if account is not None and held is not None:
            amount = replace(held.amount, usd=price.usd, shots=bought.shots)
            amended = replace(held, amount=amount)
            account.ledger = owe(release(account.ledger, held), amended)
            self._open[key] = amended
        return price

    def settle(self, key: object) -> None:
        """Turn a shard's reservation into money spent."""
        self.allowances.settle(key)
        self._spend(key)

    def _spend(self, key: object) -> None:
        if key in self._due:
            member, usd = self._due.pop(key)
            self._spent_usd[member] = self._spent_usd.get(member, 0.0) + usd
        held = self._open.pop(key, None)
        if held is not None and self._account is not None:
            self._account.ledger = settle(self._account.ledger, held, held.amount)

    def release(self, key: object) -> None:
        """Give back a shard's reservation: nothing was spent."""
        self.allowances.release(key)
        self._due.pop(key, None)
        held = self._open.pop(key, None)
        if held is not None and self._account is not None:
            self._account.ledger = release(self._account.ledger, held)

    def close(self) -> None:
        """Count unsettled reservations as spent, because their jobs may have run; end the run's books."""
        self.allowances.close()
        for key in list(self._due):
            self._spend(key)
        if self._account is not None:
            ours = f" in run {self._run}"
            ledger = self._closed = self._account.ledger
            held, spent = (
                {name: sum_ for name, sum_ in sums.items() if not name.endswith(ours)}
                for sums in (ledger.held, ledger.spent)
            )
            self._account.ledger = replace(ledger, held=held, spent=spent)

    def _reservation(
        self, account: Account, member: str, amount: Amount, now: float
    ) -> Reservation:
        return Reservation(
            key=f"{next(account.numbers)}",
            member=member,
            amount=amount,
            day=self._day(now),
            run=self._run,
            user=self._user,
        )

    def _day(self, now: float) -> int:
        return math.floor((now - self.epoch) / _DAY_SECONDS)


def _price_anew(amount: Amount, price: Price | None) -> Amount:
    return amount if price is None else replace(amount, usd=price.usd)
