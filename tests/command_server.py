"""Commands of the command line, each in a fork of one process that has imported what they need.

Importing Qiskit takes most of the time of a command, and is done once here. What a command does to
its process ends with that process, as for a user.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

# What commands import when they are called.
_MODULES = ("fleet_commands", "journal_commands", "reference_commands", "run_commands")


class Commands:
    """The process that has imported all, and forks.

    Args:
        environment: Of the process; each command has one of its own.
    """

    def __init__(self, environment):
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def call(self, words, folder, environment):
        """Call a command in a folder, wait until it ends, and return what became of it."""
        with TemporaryDirectory() as kept:
            said = {name: str(Path(kept, name)) for name in ("stdout", "stderr")}
            request = {"words": words, "folder": str(folder), "environment": environment, **said}
            print(json.dumps(request), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            texts = {name: Path(path).read_text(encoding="utf-8") for name, path in said.items()}
        return subprocess.CompletedProcess(words, code, **texts)

    def close(self):
        """End the process."""
        self._process.communicate()


def main():
    """Fork for each request; the child returns from here, and runs the command."""
    for module in _MODULES:
        import_module(f"qiskit_gateway.command_line.{module}")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _become(request)
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    sys.exit()


def _become(request):
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["qiskit-gateway", *request["words"]]


if __name__ == "__main__":
    main()
    from qiskit_gateway.__main__ import main as run_command

    run_command()
