"""Paying for shards out of a budget: reserve before submission, settle after."""

from dataclasses import replace

from qiskit_gateway.policies.budget import (
    Amount,
    Budget,
    Ledger,
    Reservation,
    release,
    reserve,
    settle,
)
from qiskit_gateway.policies.verdict import ALLOWED, Verdict


class Purse:
    """The money, shots and attempts that a run may use.

    Args:
        budget: The most that may be spent; ``None`` for no limit, and then nothing is counted.
        ledgers: The fleet's ledgers, one per budget: all runs under one budget share one.
    """

    def __init__(self, budget: Budget | None, ledgers: dict[int, Ledger]) -> None:
        self._budget = budget
        self._ledgers = ledgers
        self._open: dict[object, Reservation] = {}

    def reserve(self, key: object, member: str, amount: Amount) -> Verdict:
        """Set an amount aside for a shard, or say why not."""
        if self._budget is None:
            return ALLOWED
        reservation = Reservation(key=str(key), member=member, amount=amount)
        answer = reserve(self._ledger, self._budget, reservation)
        if isinstance(answer, Verdict):
            return answer
        self._ledger = answer
        self._open[key] = reservation
        return ALLOWED

    def owe(self, key: object, member: str, amount: Amount) -> None:
        """Set an amount aside that is owed already, whether there is room for it or not."""
        if self._budget is not None:
            reservation = Reservation(key=str(key), member=member, amount=amount)
            ledger = self._ledger
            self._ledger = replace(ledger, reserved={**ledger.reserved, str(key): reservation})
            self._open[key] = reservation

    def settle(self, key: object) -> None:
        """Turn a shard's reservation into money spent."""
        if (reservation := self._open.pop(key, None)) is not None:
            self._ledger = settle(self._ledger, reservation, reservation.amount)

    def release(self, key: object) -> None:
        """Give back a shard's reservation: nothing was spent."""
        if (reservation := self._open.pop(key, None)) is not None:
            self._ledger = release(self._ledger, reservation)

    @property
    def _ledger(self) -> Ledger:
        return self._ledgers.setdefault(id(self._budget), Ledger())

    @_ledger.setter
    def _ledger(self, ledger: Ledger) -> None:
        self._ledgers[id(self._budget)] = ledger
