"""``quote``, ``simulate``, ``run`` and ``resume``: circuits over the fleet of a configuration."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qiskit.primitives import BitArray, PrimitiveResult

from qiskit_gateway.command_line.circuit_files import read_circuits
from qiskit_gateway.command_line.endings import EndingError, ExitCode, exit_for
from qiskit_gateway.command_line.journal_commands import find_run, open_journal
from qiskit_gateway.command_line.result_files import (
    check_out,
    pubs_of,
    write_result,
    write_result_facts,
)
from qiskit_gateway.command_line.screen import note, say, show_json
from qiskit_gateway.config_file.loader import Config, load_config
from qiskit_gateway.errors import PlanError, RunError
from qiskit_gateway.forecast.simulation import simulate
from qiskit_gateway.primitives.job import RouterJob

_SHOWN_OUTCOMES = 8
_SHOWN_POINTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The destination of a result: a file, or the screen.

    Attributes:
        out: A file, or ``None``.
        force: The file may be replaced.
        json: Print JSON in place of tables.
        quiet: Show no progress and make no remarks; errors are told.
    """

    out: Path | None = None
    force: bool = False
    json: bool = False
    quiet: bool = False

    def note(self, text: str) -> None:
        """Make a remark, unless nobody wants any."""
        if not self.quiet:
            note(text)


def quote_circuits(file: Path, circuits: Sequence[Path], *, shots: int, json: bool) -> ExitCode:
    """Show which member would run what, the price and the expected end. Nothing is sent."""
    pubs = [one.circuit for one in read_circuits(circuits)]
    sampler = load_config(file).sampler()
    with _telling_what_is_refused():
        quote = sampler.quote(pubs, shots=shots)
    if json:
        show_json(quote.to_dict())
    else:
        say(str(quote))
    return ExitCode.CANNOT if quote.not_done else ExitCode.DONE


def simulate_circuits(
    file: Path, circuits: Sequence[Path], *, shots: int, seed: int | None, json: bool
) -> ExitCode:
    """Try a run out on a virtual clock, failures and outages included. Nothing is sent."""
    pubs = [one.circuit for one in read_circuits(circuits)]
    config = load_config(file)
    found = simulate(config.fleet, pubs, policy=config.policy, shots=shots, seed=seed)
    if json:
        lost = [
            {"pub": one.pub, "piece": one.piece, "reasons": one.reasons} for one in found.given_up
        ]
        show_json({**asdict(found), "given_up": lost})
    else:
        say(str(found))
    return ExitCode.CANNOT if found.given_up else ExitCode.DONE


def run_circuits(
    file: Path, circuits: Sequence[Path], *, shots: int, seed: int | None, output: Output
) -> ExitCode:
    """Run circuits, and show or write what came back."""
    check_out(output.out, force=output.force)
    named = read_circuits(circuits)
    config = load_config(file)
    sampler = config.sampler(seed_simulator=seed)
    with _telling_what_is_refused():
        job = sampler.run([one.circuit for one in named], shots=shots)
    output.note(f"run {job.job_id()}: {len(named)} circuits, {shots} shots each")
    return _see_through(job, [one.label for one in named], config, file, output)


def resume_run(file: Path, name: str, *, output: Output) -> ExitCode:
    """Go on with a run whose process ended, and show or write what came back."""
    check_out(output.out, force=output.force)
    config = load_config(file)
    if config.journal is None:
        raise EndingError(f"{file} names no journal, so there is nothing to resume")
    run = find_run(open_journal(config.journal), name)
    primitive = config.estimator() if run.kind == "estimator" else config.sampler()
    job = primitive.resume(run.job_id)
    output.note(f"run {job.job_id()} goes on: {run.shots_done} of {run.shots} shots are done")
    return _see_through(job, None, config, file, output)


@contextmanager
def _telling_what_is_refused() -> Iterator[None]:
    """End the command where a primitive refuses its input, which it does before it sends anything."""
    try:
        yield
    except (TypeError, ValueError, MemoryError) as error:
        raise EndingError(f"nothing was sent: {error}") from error


def _see_through(
    job: RouterJob, labels: Sequence[str] | None, config: Config, file: Path, output: Output
) -> ExitCode:
    """Wait for a run, deliver its result, and report how it ended."""
    code = ExitCode.DONE
    try:
        if not output.quiet:
            job.watch()  # A bar where somebody looks at a terminal, and nothing in a pipe.
        result = job.result()
    except PlanError:
        raise
    except RunError as error:
        code, result = exit_for(error), error.partial_result
    except KeyboardInterrupt:
        if config.journal is not None:
            note(f"its jobs go on: qiskit-gateway resume {file} {job.job_id()}")
            raise
        code, result = _cancel(job)
    _deliver(job, result, labels, output, complete=code is ExitCode.DONE)
    return code


def _cancel(job: RouterJob) -> tuple[ExitCode, PrimitiveResult[Any]]:
    note("cancelling; once more leaves at once")
    job.cancel()
    try:
        # It was done before anybody could cancel it.
        return ExitCode.DONE, job.result()
    except RunError as error:
        exit_for(error)
        return ExitCode.INTERRUPTED, error.partial_result


def _deliver(
    job: RouterJob,
    result: PrimitiveResult[Any],
    labels: Sequence[str] | None,
    output: Output,
    *,
    complete: bool,
) -> None:
    report = job.report()
    names = [f"pub {place}" for place in range(len(result))] if labels is None else labels
    facts = write_result_facts(result, names, report, complete=complete)
    # Into the file first: what was paid for is not lost with a screen that cannot be written to.
    if output.out is not None:
        write_result(output.out, result, facts)
        output.note(f"written to {output.out}")
    if output.json:
        show_json(facts)
    else:
        say(f"{report}\n")
        for label, pub in zip(names, pubs_of(result), strict=True):
            for line in _lines(label, pub.data):
                say(line)


def _lines(label: str, data: Any) -> Iterator[str]:
    """Yield the most frequent outcomes of a PUB, as far as they fit on a screen."""
    for name, value in data.items():
        yield f"{label}: {name}" + (f", shape {data.shape}" if data.shape else "")
        points = list(np.ndindex(data.shape))
        for index in points[:_SHOWN_POINTS]:
            place = f"{list(index)}: " if index else ""
            yield f"  {place}{_outcomes(value, index)}"
        if len(points) > _SHOWN_POINTS:
            yield f"  and {len(points) - _SHOWN_POINTS} points more, which --out and --json hold"


def _outcomes(value: Any, index: tuple[int, ...]) -> str:
    if not isinstance(value, BitArray):
        return f"{np.asarray(value)[index]}"
    counts = Counter(value.get_counts(index))
    told = [f"{bits} x {count}" for bits, count in counts.most_common(_SHOWN_OUTCOMES)]
    more = len(counts) - len(told)
    return "  ".join([*told, *([f"and {more} outcomes more"] if more else [])])
