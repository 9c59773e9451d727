"""The command line, ``python -m qiskit_gateway``, which is also installed as ``qiskit-gateway``.

The commands, their options and their help. What they do is imported when they are called.

So that ``--help`` and completion answer at once: importing Qiskit takes a second or two.
"""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Never

import typer

from qiskit_gateway.command_line.endings import ExitCode, exit_for

NAME = "qiskit-gateway"

_EPILOG = (
    "Exit codes: 0 done; 1 a fault of qiskit-gateway, or nowhere to print to; 2 wrong usage; 3 bad "
    "input: a configuration, circuits, a journal; 4 it cannot be done, or not all of it: nothing was "
    "sent; 5 a run ended incomplete: what came back was delivered; 130 interrupted."
)

app = typer.Typer(
    name=NAME,
    help="Run Qiskit circuits over many backends as if they were one.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[Path, typer.Argument(metavar="FILE", help="A configuration, in TOML.")]
Circuits = Annotated[
    list[Path],
    typer.Argument(metavar="CIRCUITS...", help="Files of QPY, OpenQASM 2 or OpenQASM 3."),
]
JournalPath = Annotated[
    str,
    typer.Argument(metavar="JOURNAL", help="A journal, or a configuration (.toml) that names one."),
]
RunId = Annotated[
    str, typer.Argument(metavar="ID", help="Of a run; its beginning is enough if no other has it.")
]
Shots = Annotated[int, typer.Option("--shots", min=1, help="Shots of each circuit.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the result there: .json or .npz.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, and no remarks.")]
Force = Annotated[bool, typer.Option("--force", help="Let --out replace a file.")]


def main() -> Never:
    """Run the command that the arguments of the process say, and exit."""
    if sys.stdout is None:  # It was closed before we began: nobody reads.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        # No name or line of a drawing is worth a result, where a pipe or a terminal cannot show it.
        sys.stdout.reconfigure(errors="replace")
    try:
        try:
            code = app(prog_name=NAME, standalone_mode=True)
        finally:
            # Here, where it can be told that it was not possible, and not as the interpreter ends.
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        code = exit_for(error)
    except Exception as error:  # noqa: BLE001  Told as a sentence and an exit code.
        code = exit_for(error)
    sys.exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        from qiskit_gateway.version import __version__

        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def demo() -> None:
    """Run five small programs over three of Qiskit's simulators."""
    from qiskit_gateway.command_line.demonstration import demonstrate

    demonstrate()


@app.command()
def check(
    file: Config,
    backends: Annotated[
        bool,
        typer.Option(
            "--backends", help="Send each member a few small jobs, to see that its bits are right."
        ),
    ] = False,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", help="With --backends: only this one; repeatable."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --backends: the jobs may cost money.")
    ] = False,
    json: Json = False,
) -> None:
    """Check a configuration, and whether its members answer.

    No job is sent, but with --backends.
    """
    from qiskit_gateway.command_line.fleet_commands import check_file

    _end(check_file(file, backends=backends, only=member or (), sure=yes, json=json))


@app.command()
def members(
    file: Config,
    queue: Annotated[
        bool, typer.Option("--queue", help="Ask the members how long their queues are.")
    ] = False,
    json: Json = False,
) -> None:
    """List the members of a configuration."""
    from qiskit_gateway.command_line.fleet_commands import list_members

    _end(list_members(file, queue=queue, json=json))


@app.command()
def quote(file: Config, circuits: Circuits, shots: Shots = 1024, json: Json = False) -> None:
    """Forecast a run: its members, price and end.

    Nothing is sent.
    """
    from qiskit_gateway.command_line.run_commands import quote_circuits

    _end(quote_circuits(file, circuits, shots=shots, json=json))


@app.command()
def simulate(
    file: Config,
    circuits: Circuits,
    shots: Shots = 1024,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the simulated randomness.")
    ] = None,
    json: Json = False,
) -> None:
    """Try a run out on a virtual clock, with failures.

    Nothing is sent.
    """
    from qiskit_gateway.command_line.run_commands import simulate_circuits

    _end(simulate_circuits(file, circuits, shots=shots, seed=seed, json=json))


@app.command()
def run(
    file: Config,
    circuits: Circuits,
    shots: Shots = 1024,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="For simulators: the same cuts and results again."),
    ] = None,
    out: Out = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run circuits, and show what they measured."""
    from qiskit_gateway.command_line.run_commands import Output, run_circuits

    output = Output(out=out, force=force, json=json, quiet=quiet)
    _end(run_circuits(file, circuits, shots=shots, seed=seed, output=output))


@app.command()
def resume(
    file: Config,
    run_id: RunId,
    out: Out = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run whose process ended.

    What has arrived is read from the journal, jobs are fetched, and the rest is run.
    """
    from qiskit_gateway.command_line.run_commands import Output, resume_run

    output = Output(out=out, force=force, json=json, quiet=quiet)
    _end(resume_run(file, run_id, output=output))


@app.command()
def runs(journal: JournalPath, json: Json = False) -> None:
    """List the runs of a journal, the oldest first."""
    from qiskit_gateway.command_line.journal_commands import list_runs

    _end(list_runs(journal, json=json))


@app.command()
def show(
    journal: JournalPath,
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="Of a run; its beginning is enough if no other has it. By default the latest.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show one run of a journal: its timeline and every attempt."""
    from qiskit_gateway.command_line.journal_commands import show_run

    _end(show_run(journal, run_id, json=json))


@app.command()
def spend(
    journal: JournalPath,
    by: Annotated[
        str, typer.Option("--by", metavar="member|day|run|user", help="What to add up by.")
    ] = "member",
    json: Json = False,
) -> None:
    """Add up what runs are expected to have cost."""
    _one_of("--by", by, ("member", "day", "run", "user"))
    from qiskit_gateway.command_line.journal_commands import By, show_spending

    _end(show_spending(journal, By(by), json=json))


@app.command()
def dashboard(
    journal: Annotated[
        str | None,
        typer.Option("--journal", help="The journal; by default the one that --config names."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A configuration: its members, its budget, and to resume."),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Of the address; 0 for any.")
    ] = 8765,
) -> None:
    """Serve a page that shows the runs of a journal, live.

    To this machine alone, until it is interrupted.
    """
    if journal is None and config is None:
        raise typer.BadParameter("say which journal: --journal FILE, or --config FILE")
    from qiskit_gateway.command_line.dashboard_command import serve_dashboard
    from qiskit_gateway.dashboard import serve

    _end(serve_dashboard(serve, journal, config, port=port))


@app.command()
def tariffs(
    word: Annotated[
        str, typer.Argument(metavar="[WORD]", help="Only those in whose names this is.")
    ] = "",
    json: Json = False,
) -> None:
    """List the published tariffs that a configuration may name."""
    from qiskit_gateway.command_line.reference_commands import list_tariffs

    _end(list_tariffs(word, json=json))


@app.command()
def schema() -> None:
    """Print the JSON schema of a configuration, for editors."""
    from qiskit_gateway.command_line.reference_commands import show_schema

    _end(show_schema())


def _end(code: ExitCode) -> Any:
    raise typer.Exit(int(code))


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(allowed)}", param_hint=option)


if __name__ == "__main__":
    main()
