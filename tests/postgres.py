"""A real PostgreSQL server, started by the tests in a temporary folder, reached by a socket there."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest


def find_programs():
    """Return the folder of initdb and pg_ctl; ``None`` where PostgreSQL is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    return next((one for one in folders if (one / "initdb").exists()), None)


class Server:
    """A server with no data but the tests'; it listens to no network.

    Args:
        programs: Where PostgreSQL's programs are.
    """

    def __init__(self, programs):
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="postgres", dir="/tmp"))
        # It refuses to run as root.
        self.user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self.user:
            owner = pwd.getpwnam("nobody")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self.data = self.folder / "data"
        self._call("initdb", "-D", self.data, "-U", "tests", "-A", "trust", "-E", "UTF8", "-N")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n"
                "fsync = off\nmax_connections = 200\n"
            )
        self.start()

    def _call(self, program, *arguments):
        done = subprocess.run(  # noqa: S603
            [self.programs / program, *arguments],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            **self.user,
        )
        assert done.returncode == 0, done.stdout

    def start(self):
        """Start it, and wait until it answers."""
        self._call("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "start")

    def stop(self, how="fast"):
        """Stop it: ``"fast"`` ends connections well, ``"immediate"`` is what a crash is."""
        self._call("pg_ctl", "-D", self.data, "-m", how, "-w", "stop")

    def remove(self):
        """Stop it, and leave nothing."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def execute(self, statement, database="postgres"):
        """Run a statement as the server's owner; return its rows."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def address(self, database):
        """Return the address of a database."""
        return f"postgresql://tests@/{database}?host={self.folder}"

    def new_database(self):
        """Make an empty database; return its address."""
        name = f"d{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return self.address(name)


@pytest.fixture(scope="session")
def postgres():
    """A server; the test is skipped where PostgreSQL is not installed, which CI sees to."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    server = Server(programs)
    yield server
    server.remove()
