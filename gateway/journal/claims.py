"""Claims on limits that all runs of a journal share: jobs in flight, allowances, money.

An attempt claims all of that in the transaction that records it, before anything is sent. What it
claims is a row, which outlives its process: the job may still run, and be billed. What was spent is
a sum for each account, so that a claim costs the same however much was done before.
"""

import itertools
import math
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qiskit_gateway.journal.lease import LEASE, Lease
from qiskit_gateway.journal.storage.database import Database
from qiskit_gateway.policies.budget import Amount, Budget, Ledger, Reservation, reserve
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.members.allowances import say_used_up
from qiskit_gateway.scheduling.members.shared import (
    HeldByOthers,
    RateReached,
    SlotsTaken,
    UsedByOthers,
)
from qiskit_gateway.work.allotment import Allotment
from qiskit_gateway.work.record.run_log import DeniedError, LeftJob, Terms

_DAY_SECONDS = 86_400
_MINUTE = 60.0
# So little more than there is, relatively, is a rounding error.
_ROUNDING = 1e-9

Key = tuple[str, int, int]
"""An attempt: its run, its shard, its number."""

ATTEMPT = "job_id = ? AND shard = ? AND number = ?"
"""The condition that a row is of an attempt, by its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The request of one attempt.

    Attributes:
        key: The attempt.
        party: Whose it is: the runs of one fleet in one process are a party.
        member: Where.
        when: When, in seconds since 1970.
        usd: Its price.
        shots: Its shots, summed over circuits.
        units: What it takes of its member's allotment.
        user: On whose behalf it is.
    """

    key: Key
    party: str
    member: str
    when: float
    usd: float
    shots: int
    units: float
    user: str = ""

    @property
    def reservation(self) -> Reservation:
        """What it takes of budgets."""
        day = math.floor(self.when / _DAY_SECONDS)
        return _make_reservation(
            self.member, day, self.user, Amount(usd=self.usd, shots=self.shots)
        )


class Claims:
    """The claims in a journal. All methods are called within a transaction that may write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, claim: Claim, terms: Terms) -> None:
        """Claim all that an attempt takes; what is denied has claimed nothing, and need not be undone.

        Raises:
            DeniedError: If there is no room for it.
        """
        if terms.max_in_flight is not None:
            self._check_slots(claim, terms.max_in_flight)
        if terms.budget is not None and (limits := terms.budget.of_all_runs) is not None:
            self._check_budget(claim, limits)
        pot, step = None, 0
        if terms.allotment is not None:
            pot, step = self._check_allotment(claim, terms, terms.allotment)
        if terms.submissions_per_minute is not None:
            self._take_turn(claim.member, terms.submissions_per_minute)
        if pot is not None:
            self._use(pot, step, claim.units)
        self._database.execute(
            "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(*claim.key, claim.member, claim.party, claim.reservation.day, claim.usd),
                *(pot, step, claim.units, claim.shots, claim.user),
            ),
        )

    def settle(self, key: Key, spent: Amount, units: float) -> None:
        """Turn what an attempt has claimed into what it did take; before that is written down.

        Settling once more posts the difference.
        """
        held = self._read_held(ATTEMPT, key)
        if held:
            self._end(held[0], spent, units)
            return
        for member, when, user, usd, shots, attempts in self._database.query(
            "SELECT member, created + submitted, for_user, price_usd, counted_shots, "  # noqa: S608
            f"counted_attempts FROM attempts JOIN runs USING (job_id) WHERE {ATTEMPT}",
            key,
        ):
            more = Amount(
                usd=spent.usd - usd, shots=spent.shots - shots, attempts=spent.attempts - attempts
            )
            self._post(_make_reservation(member, math.floor(when / _DAY_SECONDS), user, more))

    def end_run(self, job_id: str, *, besides: Sequence[tuple[int, int]] = ()) -> None:
        """Count as spent what attempts of a run still hold, since nobody will know better.

        Args:
            job_id: The run.
            besides: The attempts in progress, by shard and number.
        """
        for one in self._read_held("job_id = ?", (job_id,)):
            if one.key[1:] not in besides:
                self._end(one, one.posted.amount, one.units)

    def move(self, job_id: str, party: str) -> None:
        """Move the claims of a run to the process that has taken it over."""
        self._database.execute(
            "UPDATE reservations SET party = ? WHERE job_id = ?", (party, job_id)
        )

    def elsewhere(self, party: str) -> dict[str, int]:
        """Count the jobs that others have in flight, by member."""
        return dict(
            self._database.query(
                "SELECT member, count(*) FROM reservations WHERE party <> ? GROUP BY member",
                (party,),
            )
        )

    def list_left_jobs(self, party: str, members: Iterable[str]) -> list[LeftJob]:
        """List the jobs that others have in flight at some members, and which processes work on their runs."""
        columns = ", ".join(f"runs.{name}" for name in LEASE.split(", "))
        rows = self._database.query(
            "SELECT job_id, shard, number, reservations.member, party, provider_job_id, "  # noqa: S608
            f"{columns} FROM reservations JOIN runs USING (job_id) "
            "JOIN attempts USING (job_id, shard, number) WHERE party <> ?",
            (party,),
        )
        names = frozenset(members)
        return [
            LeftJob(
                key=(job_id, shard, number),
                member=member,
                party=theirs,
                provider_job_id=provider_job_id,
                lives=(held := Lease.of(lease)).lives,
                heard=held.heard,
            )
            for job_id, shard, number, member, theirs, provider_job_id, *lease in rows
            if member in names
        ]

    def free(self, job: LeftJob) -> None:
        """Give back the slot of a job that is over, and count it as paid until somebody fetches it.

        Not if somebody has taken its run meanwhile.
        """
        for one in self._read_held(f"{ATTEMPT} AND party = ?", (*job.key, job.party)):
            self._end(one, one.posted.amount, one.units)

    # -- room ------------------------------------------------------------------------------------

    def _check_slots(self, claim: Claim, most: int) -> None:
        counts: dict[bool, int] = {}
        for party, count in self._database.query(
            "SELECT party, count(*) FROM reservations WHERE member = ? GROUP BY party",
            (claim.member,),
        ):
            ours = party == claim.party
            counts[ours] = counts.get(ours, 0) + count
        if sum(counts.values()) >= most:
            elsewhere = counts.get(False, 0)
            raise DeniedError(
                SlotsTaken(
                    allowed=False,
                    waits=True,
                    elsewhere=elsewhere,
                    reason=(
                        f"{claim.member} may have {most} jobs at once, of which other processes "
                        f"have {elsewhere}"
                    ),
                )
            )

    def _take_turn(self, member: str, most: int) -> None:
        place, now = self._database.uptime()
        # What is later than now was written before the machine was started anew. What is over is
        # told by the sum that a denied run waits for: rounded otherwise, it would wait 0 s.
        self._database.execute(
            "DELETE FROM submissions WHERE member = ? AND (place <> ? OR at + ? <= ? OR at > ?)",
            (member, place, _MINUTE, now, now),
        )
        ((sent, first),) = self._database.query(
            "SELECT count(*), min(at) FROM submissions WHERE member = ?", (member,)
        )
        if sent >= most:
            raise DeniedError(
                RateReached(
                    allowed=False,
                    waits=True,
                    wait_seconds=float(first) + _MINUTE - now,
                    reason=f"{member} takes {most} jobs a minute, and all processes sent {sent}",
                )
            )
        self._database.execute("INSERT INTO submissions VALUES (?, ?, ?)", (member, place, now))

    def _check_budget(self, claim: Claim, limits: Budget) -> None:
        asked = claim.reservation
        ledger = self._ledger(asked.postings(asked.amount))
        refusal = reserve(ledger, limits, asked)
        if not isinstance(refusal, Verdict):
            return
        if not isinstance(reserve(replace(ledger, held={}), limits, asked), Verdict):
            refusal = HeldByOthers(allowed=False, reason=refusal.reason, waits=True)
        raise DeniedError(refusal)

    def _ledger(self, accounts: Collection[str]) -> Ledger:
        """Sum up what is set aside, and read what was spent, of some accounts."""
        spent = self._database.query(
            f"SELECT account, amount FROM balances "  # noqa: S608  Marks of values.
            f"WHERE account IN ({', '.join('?' * len(accounts))})",
            [*accounts],
        )
        return Ledger(held=self._sum_held(), spent=dict(spent))

    def ledger(self) -> Ledger:
        """Read all accounts: what was spent, and what is set aside."""
        return Ledger(held=self._sum_held(), spent=read_balances(self._database))

    def _sum_held(self) -> dict[str, float]:
        held: dict[str, float] = {}
        for member, day, user, usd, shots, attempts in self._database.query(
            "SELECT member, day, for_user, sum(usd), sum(shots), count(*) FROM reservations "
            "GROUP BY member, day, for_user"
        ):
            amount = Amount(usd=usd, shots=int(shots), attempts=attempts)
            for account, value in (
                _make_reservation(member, day, user, amount).postings(amount).items()
            ):
                held[account] = held.get(account, 0.0) + value
        return held

    def _check_allotment(self, claim: Claim, terms: Terms, allotment: Allotment) -> tuple[str, int]:
        # The same name with another period is another matter: it numbers its steps otherwise.
        pot = f"{allotment.name} {allotment.steps} {allotment.step_of(1e9)}"
        self._open_pot(pot, allotment, terms.sharers | {claim.member})
        step = allotment.step_of(claim.when)
        ((used,),) = self._database.query(
            "SELECT coalesce(sum(units), 0.0) FROM allowance_use WHERE pot = ? AND step >= ?",
            (pot, step - allotment.steps),
        )
        left = max(0.0, allotment.amount - terms.used_otherwise - used)
        # A difference that its asker, too, can see: it would ask for the same again.
        if claim.units > left + _ROUNDING * max(claim.units, used):
            reason = say_used_up(allotment, claim.units, left)
            raise DeniedError(UsedByOthers(allowed=False, reason=reason, units_left=left))
        return pot, step

    def _open_pot(self, pot: str, allotment: Allotment, members: frozenset[str]) -> None:
        """Count once what attempts have used that claimed nothing: those of earlier versions."""
        if self._database.query("SELECT 1 FROM pots WHERE pot = ?", (pot,)):
            return
        self._database.execute("INSERT INTO pots VALUES (?)", (pot,))
        for member, when, units in self._database.query(
            "SELECT member, created + submitted, free_units FROM attempts JOIN runs USING (job_id) "
            "WHERE free_units > 0"
        ):
            if member in members:
                self._use(pot, allotment.step_of(when), units)

    # -- books -----------------------------------------------------------------------------------

    def _read_held(self, which: str, values: Sequence[Any]) -> list["_Held"]:
        rows = self._database.query(
            "SELECT job_id, shard, number, member, day, for_user, usd, shots, "  # noqa: S608
            f"pot, step, units FROM reservations WHERE {which}",
            values,
        )
        return [
            _Held(
                (job_id, shard, number),
                _make_reservation(member, day, user, Amount(usd=usd, shots=shots)),
                *pot,
            )
            for job_id, shard, number, member, day, user, usd, shots, *pot in rows
        ]

    def _end(self, held: "_Held", spent: Amount, units: float) -> None:
        self._database.execute(f"DELETE FROM reservations WHERE {ATTEMPT}", held.key)  # noqa: S608
        self._post(replace(held.posted, amount=spent))
        if held.pot is not None:
            self._use(held.pot, held.step, units - held.units)

    def _post(self, spent: Reservation) -> None:
        postings = [*filter(operator.itemgetter(1), spent.postings(spent.amount).items())]
        if postings:
            self._database.execute(
                f"INSERT INTO balances VALUES {', '.join(['(?, ?)'] * len(postings))} "  # noqa: S608
                "ON CONFLICT (account) DO UPDATE SET amount = balances.amount + excluded.amount",
                [*itertools.chain(*postings)],
            )

    def _use(self, pot: str, step: int, units: float) -> None:
        if units:
            self._database.execute(
                "INSERT INTO allowance_use VALUES (?, ?, ?) "
                "ON CONFLICT (pot, step) DO UPDATE SET units = allowance_use.units + excluded.units",
                (pot, step, units),
            )


@dataclass(frozen=True, slots=True)
class _Held:
    """The resources that an attempt holds.

    Attributes:
        key: The attempt.
        posted: What of it counts to which accounts.
        pot: The allotment from which it takes, if it does.
        step: At which step of that.
        units: How much.
    """

    key: Key
    posted: Reservation
    pot: str | None
    step: int
    units: float


def read_balances(database: Database) -> dict[str, float]:
    """Read what was spent, by account."""
    return dict(database.query("SELECT account, amount FROM balances"))


def _make_reservation(member: str, day: int, user: str, amount: Amount) -> Reservation:
    """Make a reservation of an amount, which names its accounts as the ledger of a budget does."""
    return Reservation(key="", member=member, day=day, user=user, amount=amount)
