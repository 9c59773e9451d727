"""Members that are checked before their first job: as jobs like any others, paid for and recorded."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio

from qiskit_gateway.backends.failures.errors import BackendError, Refused
from qiskit_gateway.backends.interface.batch import Batch
from qiskit_gateway.backends.interface.protocol import FleetMember
from qiskit_gateway.policies.verdict import Verdict
from qiskit_gateway.scheduling.check_fees import Checks
from qiskit_gateway.work.attempt import CHECK, Attempt
from qiskit_gateway.work.tasks import Load, Shard

_Going = Generator[Batch, Any, None]


class _UnaffordableError(Exception):
    """A job of a check does not fit the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """The checks of one run.

    Attributes:
        job_id: The run.
        checks: Who pays for them.
        ask: Run a batch as an attempt, and return the raw answer.
        record: Every attempt of the run.
        began: When the run began, in seconds of the loop's clock.
        done: Told that a member has been checked, and may have more work.
    """

    job_id: str
    checks: Checks
    ask: Callable[[Attempt, Batch, FleetMember], Awaitable[Any]]
    record: Sequence[Attempt]
    began: float
    done: Callable[[], None]
    _locks: dict[str, anyio.Lock] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)

    async def examine(self, shard: Shard, member: FleetMember) -> None:
        """Have a member checked if it is to be and was not yet.

        Raises:
            Refused: If that does not fit the budget, or a job of it was taken, perhaps, and failed:
                it is not paid for a second time in one run.
            BackendError: If it could not be asked; nothing was sent.
        """
        checks: Callable[[], _Going | None] | None = getattr(member, "checks", None)
        if checks is None or checks() is None:
            return
        async with self._locks.setdefault(member.name, anyio.Lock()):
            going = checks()  # Another shard may have had it checked meanwhile.
            if going is None:
                return
            reason = self._failed.get(member.name, "")
            try:
                if not reason:
                    await self._go_through(going, member)
            except _UnaffordableError as error:
                reason = f"its check does not fit the budget: {error}"
            except BackendError as error:
                if error.submitted is False:
                    raise
                reason = self._failed[member.name] = f"its check failed: {error}"
            finally:
                going.close()
                now = anyio.current_time()
                self.checks.close(member.name, now, done=checks() is None)
            if reason:
                raise Refused(dict.fromkeys(range(len(shard.pieces)), reason))
        self.done()

    async def _go_through(self, going: _Going, member: FleetMember) -> None:
        step: Callable[[], Batch] = partial(next, going)
        while True:
            try:
                batch = step()
            except StopIteration:
                return
            try:
                step = partial(going.send, await self._put(batch, member))
            except BackendError as error:
                step = partial(going.throw, error)

    async def _put(self, batch: Batch, member: FleetMember) -> Any:
        """Run one job of a check."""
        now = anyio.current_time()
        load = Load(batch.circuits, batch.circuits * batch.shots)
        fee = self.checks.begin(member.name, load, now)
        if isinstance(fee, Verdict):
            raise _UnaffordableError(fee.reason)
        number = 1 + sum(attempt.shard == CHECK for attempt in self.record)
        attempt = Attempt(
            shard=CHECK,
            member=member.name,
            number=number,
            pieces=(),
            circuits=batch.circuits,
            shots=batch.shots,
            submitted_seconds=now - self.began,
            price_usd=fee.price.usd,
            free_units=fee.price.free_units,
        )
        try:
            keyed = replace(batch, key=f"{self.job_id}-check-{number}")
            return await self.ask(attempt, keyed, member)
        finally:
            taken = attempt.accepted_seconds is not None or attempt.outcome == "unknown"
            perhaps = attempt.outcome == "cancelled" and bool(attempt.failure)
            self.checks.end(fee, paid=taken or perhaps)
