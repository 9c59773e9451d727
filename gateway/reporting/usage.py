"""The resources that a run has used: jobs, shots, machine time, money."""

from dataclasses import dataclass

from qiskit_gateway.display.units import number, span, usd
from qiskit_gateway.reporting.report import Report
from qiskit_gateway.work.record.attempt import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUsage:
    """The resources used by all jobs of a run that providers took, failed and cancelled ones included.

    Attributes:
        jobs: Jobs that providers took.
        circuits: Circuits in them.
        shots: Shots, summed over circuits.
        seconds: How long machines worked on the jobs of which a provider told when they began;
            ``None`` where none told it.
        jobs_timed: How many jobs these are.
        price_usd: What all of it is expected to cost, in USD.
        charged_usd: The part of it that providers said they charged.
    """

    jobs: int
    circuits: int
    shots: int
    seconds: float | None
    jobs_timed: int
    price_usd: float
    charged_usd: float

    def __str__(self) -> str:
        """One line."""
        timed = "" if self.jobs_timed == self.jobs else f" (of {number(self.jobs_timed)} jobs)"
        worked = "not told" if self.seconds is None else f"{span(self.seconds)}{timed}"
        charged = f", {usd(self.charged_usd)} charged" if self.charged_usd else ""
        return (
            f"{number(self.jobs)} jobs, {number(self.circuits)} circuits, "
            f"{number(self.shots)} shots, machine time {worked}, {usd(self.price_usd)}{charged}"
        )


def sum_up_usage(report: Report) -> RunUsage:
    """Sum up what a run has used.

    Args:
        report: Its report; jobs in flight count until now.
    """
    taken = [one for one in report.attempts if one.accepted_seconds is not None]
    times = [_machine_seconds(one, report.seconds) for one in taken]
    told = [seconds for seconds in times if seconds is not None]
    return RunUsage(
        jobs=len(taken),
        circuits=sum(one.circuits for one in taken),
        shots=sum(one.circuit_shots for one in taken),
        seconds=sum(told) if told else None,
        jobs_timed=len(told),
        price_usd=report.price_usd,
        charged_usd=sum(one.price_usd for one in taken if one.charged),
    )


def _machine_seconds(attempt: Attempt, now: float) -> float | None:
    if attempt.started_seconds is None:
        return None
    end = now if attempt.finished_seconds is None else attempt.finished_seconds
    return max(0.0, end - attempt.started_seconds)
