"""Exit codes of commands, and the messages for stderr."""

import errno
import os
import sys
from contextlib import suppress
from enum import IntEnum

# What writing to stdout fails with where it leads to a full or broken disk, or to nowhere.
_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}

# Set to anything, it shows where in the code something unexpected happened.
_DEBUG = "QISKIT_GATEWAY_DEBUG"


class ExitCode(IntEnum):
    """The exit codes of all commands; ``docs/command-line.md`` lists them for users."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    BAD_INPUT = 3
    CANNOT = 4
    INCOMPLETE = 5
    INTERRUPTED = 130


class EndingError(Exception):
    """A command that cannot continue, with what to say and the exit code.

    Args:
        message: For people: what was seen, and what to do.
        code: The exit code; by default that of bad input.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def exit_for(error: BaseException) -> ExitCode:
    """Print on stderr what went wrong, and return the exit code.

    Nothing where nobody reads what is printed any more, as ``head`` does not after its lines.
    """
    if isinstance(error, BrokenPipeError) and not os.environ.get(_DEBUG):
        _give_up_output()
        return ExitCode.FAULT
    if isinstance(error, OSError) and error.filename is None and error.errno in _CANNOT_WRITE:
        _give_up_output()
        _print_error(f"the output cannot be written: {error.strerror}")
        return ExitCode.FAULT
    # Here, because errors of the package are Qiskit's, and --help must not wait for that.
    from qiskit_gateway.backends.failures.redaction import redact

    code, text = _judge(error)
    if code is ExitCode.FAULT and not os.environ.get(_DEBUG):
        text += f"\nThis should not happen. {_DEBUG}=1 shows where it did; please report that."
    elif code is ExitCode.FAULT:
        import traceback

        text = "".join(traceback.format_exception(error))
    _print_error(redact(text))
    return code


def _print_error(text: str) -> None:
    from qiskit_gateway.backends.failures.redaction import printable

    if sys.stderr is None:
        return
    with suppress(OSError):  # The exit code says it, too.
        sys.stderr.write(printable(f"error: {text}\n"))


def _give_up_output() -> None:
    """Lead what is still to be printed nowhere: the interpreter would try it again as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _judge(error: BaseException) -> tuple[ExitCode, str]:
    from qiskit_gateway.backends.failures.errors import BackendError, Refused
    from qiskit_gateway.errors import ConfigError, JournalError, PlanError, RunError

    bad_input, cannot = (ConfigError, JournalError), (PlanError, BackendError, Refused)
    text = str(error)
    if isinstance(error, EndingError):
        return error.code, text
    if isinstance(error, OSError) and error.filename is not None:
        return ExitCode.BAD_INPUT, f"{error.filename}: {error.strerror or text}"
    kinds: tuple[tuple[ExitCode, tuple[type[BaseException], ...]], ...] = (
        (ExitCode.BAD_INPUT, bad_input),
        (ExitCode.CANNOT, cannot),
        (ExitCode.INCOMPLETE, (RunError,)),
        (ExitCode.INTERRUPTED, (KeyboardInterrupt,)),
    )
    found = next((code for code, kind in kinds if isinstance(error, kind)), ExitCode.FAULT)
    return found, text or type(error).__name__
