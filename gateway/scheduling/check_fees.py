"""What the checks of members cost: set aside with the first shard for one, and paid job by job."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from qiskit_gateway.policies.budget import Amount
from qiskit_gateway.policies.verdict import ALLOWED, Verdict
from qiskit_gateway.scheduling.members.allowances import Price
from qiskit_gateway.scheduling.run_state import RunState
from qiskit_gateway.work.tasks import Compiled, Load

# Circuits of a check have three qubits at most, each turned by one gate, which is at most five of
# any provider's own.
_CIRCUIT = Compiled(gates_1q=10, measures=3, prepares=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """What is set aside for one job of a check.

    Attributes:
        key: Its name in the books.
        price: What it costs.
    """

    key: object
    price: Price


class Checks:
    """The checks of members, as one run pays for them.

    A member that is to be checked gets one shard, and no other until the check is over. The jobs
    that a check usually takes are paid for with the price of that shard, or else it is not sent; any
    more are set aside one by one.

    Args:
        state: How the run stands.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._numbers = count()
        self._reserved: dict[str, list[Fee]] = {}

    def reserve(self, member: str, asked: float, shots: int, now: float) -> Verdict:
        """Set aside what the check of a member usually costs, if it is due, and the shard can be paid.

        Args:
            member: The member.
            asked: What the shard costs for which it is checked, as in :meth:`Purse.buy`.
            shots: Its shots, summed over circuits.
            now: Seconds of the loop's clock.
        """
        if not self._state.is_unchecked(member):
            return ALLOWED
        self._release(self._reserved.pop(member, ()))
        loads = self._state.planner.estimator.profiles[member].check
        # All at once first, so that what is asked for first is not in the way of the rest.
        asked += sum(self._asked(member, load) for load in loads)
        shots += sum(round(load.circuit_shots) for load in loads)
        verdict = self._fits(member, asked, Amount(shots=shots, attempts=1 + len(loads)), now)
        if verdict:
            fees = [self._fee(member, load, now) for load in loads]
            self._reserved[member] = [fee for fee in fees if isinstance(fee, Fee)]
        return verdict

    def begin(self, member: str, load: Load, now: float) -> Fee | Verdict:
        """Return what is set aside for one job of a check; or why it must not be sent."""
        reserved = self._reserved.get(member)
        if reserved:
            self._release([reserved.pop(0)])
        fee = self._fee(member, load, now)
        if isinstance(fee, Fee):
            self._state.states[member].submissions.append(now)
        return fee

    def end(self, fee: Fee, *, paid: bool) -> None:
        """Take in how a job of a check ended: whether it is to be paid for."""
        if paid:
            self._state.sent = True
            self._state.purse.settle(fee.key)
        else:
            self._state.purse.release(fee.key)

    def close(self, member: str, now: float, *, done: bool) -> None:
        """Take in that a check is over, or was broken off."""
        self._release(self._reserved.pop(member, ()))
        standing = self._state.states[member]
        standing.checked |= done
        standing.busy_since = now  # The shard that waited for it begins now.

    def close_all(self) -> None:
        """Give back what was set aside and is not needed."""
        for fees in self._reserved.values():
            self._release(fees)
        self._reserved.clear()

    def _fits(self, member: str, asked: float, amount: Amount, now: float) -> Verdict:
        purse = self._state.purse
        verdict = purse.allowances.verdict(member, asked, now)
        if verdict:
            usd = purse.allowances.price(member, asked, now).usd
            verdict = purse.reserve(self, member, replace(amount, usd=usd), now)
            purse.release(self)
        return verdict

    def _asked(self, member: str, load: Load) -> float:
        return self._state.planner.estimator.price(member, load, _CIRCUIT)

    def _fee(self, member: str, load: Load, now: float) -> Fee | Verdict:
        key = (id(self._state), "check", next(self._numbers))
        asked, shots = self._asked(member, load), round(load.circuit_shots)
        price = self._state.purse.buy(key, member, asked, shots, now)
        return price if isinstance(price, Verdict) else Fee(key=key, price=price)

    def _release(self, fees: Sequence[Fee]) -> None:
        for fee in fees:
            self._state.purse.release(fee.key)
