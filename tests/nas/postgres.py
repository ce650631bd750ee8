"""A PostgreSQL server of our own on loopback, for the tests and for `make chaos`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "NAS_POSTGRES"  # the folder of PostgreSQL's programs, such as /usr/lib/postgresql/15/bin


@dataclass
class Server:
    """A server whose data lie in `folder`; `programs` is the folder of initdb and pg_ctl."""

    folder: Path
    programs: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._run(
            "pg_ctl",
            "-D",
            str(self.folder / "data"),
            "-w",
            "-o",
            options,
            "-l",
            str(self.folder / "log"),
            "start",
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def initialise(self) -> None:
        secret = self.folder / "secret"
        secret.write_text("secret\n")
        if os.geteuid() == 0:  # the server refuses to run as root
            for path in (self.folder, secret):
                shutil.chown(path, "postgres")
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-N")

    def _run(self, program: str, *arguments: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*user, str(self.programs / program), *arguments]
        # The server inherits our output: a pipe would be held open for as long as it runs.
        with (self.folder / "output").open("a") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd=self.folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """A server that is there for the block."""
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))  # pytest's folders are closed to other users
    server = Server(folder, programs, free_port())
    try:
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
