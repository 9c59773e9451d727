"""``dashboard``: a page in the browser that shows the runs of a journal."""

import sys
from collections.abc import Callable
from pathlib import Path

from qiskit_gateway.command_line.endings import EndingError, ExitCode
from qiskit_gateway.command_line.journal_commands import open_journal
from qiskit_gateway.command_line.screen import note, say
from qiskit_gateway.config_file.loader import load_config
from qiskit_gateway.errors import GatewayError


def serve_dashboard(
    serve: Callable[..., None], journal: str | None, config: Path | None, *, port: int
) -> ExitCode:
    """Serve the dashboard until it is interrupted.

    Args:
        serve: Serves it.
        journal: The journal; ``None`` for the one that the configuration names.
        config: The configuration, where there is one.
        port: Of the address; 0 for any that is free.

    Raises:
        EndingError: If there is no such journal, the port is taken, or the extra is not installed.
        ConfigError: If the configuration cannot be used.
    """
    opened = open_journal(str(config) if journal is None else journal)
    known = None if config is None else load_config(config)
    try:
        serve(opened, known, port=port, tell=_announce)
    except (ImportError, GatewayError) as error:
        raise EndingError(str(error), ExitCode.CANNOT) from error
    except KeyboardInterrupt:
        pass  # That is how it ends.
    return ExitCode.DONE


def _announce(address: str) -> None:
    say(address)
    sys.stdout.flush()  # A program that reads a pipe waits for it.
    note("anyone who has this address on this machine can cancel and resume; Ctrl-C ends the page")
