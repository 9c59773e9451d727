"""The limits of jobs on a member, over all processes that share a journal."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from qiskit_gateway.backends.fleet import Fleet
from qiskit_gateway.backends.interface.protocol import FleetMember, TellsIfLocal, able
from qiskit_gateway.policies.policy import Policy
from qiskit_gateway.runtime.survey import allotment_of
from qiskit_gateway.scheduling.members.state import FleetState
from qiskit_gateway.work.record.run_log import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTerms:
    """The limits of the jobs of one run.

    Attributes:
        fleet: The members.
        policy: The rules.
        fleet_state: What the runs of this process know of the members.
        clock: Tells the time in seconds since a midnight in UTC.
    """

    fleet: Fleet
    policy: Policy
    fleet_state: FleetState
    clock: Callable[[], float]

    def of(self, member: FleetMember) -> Terms:
        """Read the limits of a job that is sent to a member now."""
        terms = self.read_lasting(member)
        if terms.allotment is None:
            return terms
        pot = self.fleet_state.pots[terms.allotment.name]
        names = (one.name for one in self.fleet if allotment_of(one) == terms.allotment)
        return replace(terms, sharers=frozenset(names), used_otherwise=pot.otherwise(self.clock()))

    def read_lasting(self, member: FleetMember) -> Terms:
        """Read the limits that stay the same throughout a run."""
        terms = Terms(
            allotment=allotment_of(member),
            budget=self.policy.budget,
            user=self.policy.share.user,
            is_local=is_local(member),
        )
        if terms.is_local:
            return terms  # What it can take is a matter of this process, and is counted here.
        limits = member.limits
        return replace(
            terms,
            max_in_flight=limits.max_in_flight,
            submissions_per_minute=limits.submissions_per_minute,
        )


def is_local(member: FleetMember) -> bool:
    """Check whether a member says that its jobs run in this process."""
    return able(member, TellsIfLocal) and member.is_local
