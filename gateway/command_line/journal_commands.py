"""``runs``, ``show`` and ``spend``: what a journal tells."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from qiskit_gateway.command_line.endings import EndingError, ExitCode
from qiskit_gateway.command_line.screen import (
    columns_here,
    moment,
    say,
    show_json,
    show_table,
    span,
    usd,
)
from qiskit_gateway.journal.accounts import Spending
from qiskit_gateway.journal.journal import Journal
from qiskit_gateway.journal.records import RunRecord
from qiskit_gateway.reporting.report import Report
from qiskit_gateway.reporting.timeline import arrange_timeline, write_timeline

_SQLITE = "sqlite:///"
_FEWEST_LETTERS = 8


class By(StrEnum):
    """The dimension by which spending is added up."""

    MEMBER = "member"
    DAY = "day"
    RUN = "run"
    USER = "user"


_KEYS: dict[By, Callable[[Spending], str]] = {
    By.MEMBER: lambda one: one.member,
    By.DAY: lambda one: datetime.fromtimestamp(one.when, UTC).strftime("%Y-%m-%d"),
    By.RUN: lambda one: one.job_id,
    By.USER: lambda one: one.user,
}


def open_journal(where: str) -> Journal:
    """Open a journal that is there already.

    Args:
        where: Its path or address, or a configuration that names it.

    Raises:
        EndingError: If there is none.
        JournalError: If it is no journal, or cannot be read.
    """
    if where.endswith(".toml"):
        from qiskit_gateway.config_file.loader import journal_in  # noqa: PLC0415  It takes a while.

        named = journal_in(where)
        if named is None:
            raise EndingError(
                f"{where} names no journal: add journal = 'runs.sqlite' above its tables"
            )
        where = named
    if "://" not in where or where.startswith(_SQLITE):
        path = Path(where.removeprefix(_SQLITE)).expanduser()
        if not path.is_file() or not path.stat().st_size:
            # To open it would make one.
            raise EndingError(f"there is no journal at {path}")
    return Journal(where)


def find_run(journal: Journal, name: str) -> RunRecord:
    """Find a run by its id, or by how its id begins.

    Raises:
        EndingError: If there is none, or several begin so.
    """
    found = [run for run in journal.runs() if run.job_id.startswith(name)] if name else []
    exact = [run for run in found if run.job_id == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise EndingError(f"{len(found)} runs begin with {name!r}; write more of the id")
    raise EndingError(f"there is no run {name!r}; `qiskit-gateway runs` lists those there are")


def list_runs(where: str, *, json: bool) -> ExitCode:
    """List the runs of a journal, the oldest first."""
    runs = open_journal(where).runs()
    if json:
        show_json(runs)
        return ExitCode.DONE
    if not runs:
        say("no runs")
        return ExitCode.DONE
    letters = _count_letters(runs)
    heads = ["run", "kind", "state", "began", "shots", "USD"]
    show_table(heads, [_run_row(run, letters) for run in runs], numbers=2)
    return ExitCode.DONE


def show_run(where: str, name: str | None, *, json: bool) -> ExitCode:
    """Show one run of a journal: its state, its members, its timeline, and every attempt."""
    journal = open_journal(where)
    run = find_run(journal, name) if name is not None else _find_latest_run(journal)
    report = journal.report(run.job_id)
    if json:
        show_json({"run": run, "report": report.to_dict()})
        return ExitCode.DONE
    say(f"run {run.job_id}, {run.kind}, {run.status}, began {moment(run.created)}\n")
    say(f"{report}\n")
    if drawn := write_timeline(arrange_timeline(report.attempts, report.seconds), columns_here()):
        say(f"{drawn}\n")
    show_table(*_attempt_table(report), numbers=6)
    return ExitCode.DONE


def _find_latest_run(journal: Journal) -> RunRecord:
    runs = journal.runs()
    if not runs:
        raise EndingError("the journal holds no run yet")
    return runs[-1]


def show_spending(where: str, by: By, *, json: bool) -> ExitCode:
    """Add up what runs are expected to have cost."""
    sums: dict[str, list[float]] = {}
    for one in open_journal(where).spending():
        row = sums.setdefault(_KEYS[by](one), [0, 0, 0.0])
        for place, amount in enumerate((1, one.shots, one.usd)):
            row[place] += amount
    total = [sum(column) for column in zip(*sums.values(), strict=True)] or [0, 0, 0.0]
    if json:
        rows = [_sum_facts(row) | {by.value: key} for key, row in sums.items()]
        show_json({"by": by.value, "rows": rows, "total": _sum_facts(total)})
        return ExitCode.DONE
    rows_said = [[key or "-", *_sum_cells(row)] for key, row in sums.items()]
    show_table(
        [by.value, "jobs", "shots", "USD"], [*rows_said, ["total", *_sum_cells(total)]], numbers=3
    )
    say("\nexpected prices, as tariffs tell them; what providers bill may differ")
    return ExitCode.DONE


def _count_letters(runs: Iterable[RunRecord]) -> int:
    """Count the letters of their ids that tell runs apart."""
    ids = {run.job_id for run in runs}
    longest = max(map(len, ids))
    enough = (count for count in range(_FEWEST_LETTERS, longest) if _differ(ids, count))
    return next(enough, longest)


def _differ(ids: Collection[str], letters: int) -> bool:
    return len({one[:letters] for one in ids}) == len(ids)


def _run_row(run: RunRecord, letters: int) -> list[str]:
    shots = f"{run.shots_done:,} of {run.shots:,}"
    begun = [run.job_id[:letters], run.kind, run.status, moment(run.created)]
    return [*begun, shots, usd(run.spent_usd)]


def _attempt_table(report: Report) -> tuple[list[str], list[list[str]]]:
    heads = ["shard", "member", "outcome", "job", "try", "circuits", "shots", "sent", "took", "USD"]
    rows = [
        [
            *(str(one.shard), one.member, one.outcome, one.job_id or "-", str(one.number)),
            *(str(one.circuits), str(one.shots), span(one.submitted_seconds)),
            "-"
            if one.finished_seconds is None
            else span(one.finished_seconds - one.submitted_seconds),
            usd(one.price_usd),
        ]
        for one in report.attempts
    ]
    return heads, rows


def _sum_cells(row: list[float]) -> list[str]:
    jobs, shots, money = row
    return [f"{jobs:,}", f"{shots:,}", usd(money)]


def _sum_facts(row: list[float]) -> dict[str, object]:
    jobs, shots, money = row
    return {"jobs": jobs, "shots": shots, "usd": money}
