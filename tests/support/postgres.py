"""A real PostgreSQL, from the wheel that the bench uses too."""

import contextlib
import itertools
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.postgres_wheel import USER, Cluster
from tests.support import processes

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
_DONE: Final = "it is done"


class _Psql:
    """One psql that stays, for statements that answer nothing: to start another costs as much as to copy a database."""

    def __init__(self, cluster: Cluster) -> None:
        self._process = subprocess.Popen(
            [str(cluster.binaries / "psql"), "-qAtX", cluster.url("postgres")],
            text=True,
            bufsize=1,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=processes.free_environment() | {"PGOPTIONS": "-c client_min_messages=error"},
            preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - it calls prctl and nothing else
        )
        self._turn = threading.Lock()

    def run(self, statement: str) -> None:
        """Run one statement; raises RuntimeError with what is said to it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(f"{statement};\n\\echo {_DONE}\n")
            said = ""
            while (line := self._process.stdout.readline()) != f"{_DONE}\n":
                said += line
                if not line:
                    raise RuntimeError(f"psql has ended: {said}")
        if said:
            raise RuntimeError(said)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class PostgresServer:
    """A running server; ``url(name)`` is the address of one of its databases."""

    def __init__(self, cluster: Cluster, psql: _Psql) -> None:
        self._cluster = cluster
        self._psql = psql
        self._names = itertools.count(1)

    def url(self, name: str) -> str:
        """The database's URL, over the server's Unix socket."""
        return self._cluster.url(name)

    @property
    def binaries(self) -> Path:
        """Where its programs are: those of the same version."""
        return self._cluster.binaries

    def create(self, template: str | None = None) -> str:
        """A fresh database, empty or a copy of ``template``; its name."""
        name = f"test_{next(self._names)}"
        copied = f'TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        self._psql.run(f'CREATE DATABASE "{name}" {copied}')
        return name

    def drop(self, name: str) -> None:
        """Drop a database and cut off whoever still uses it."""
        self._psql.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> str:
        """Run one statement; the rows, one a line."""
        psql = str(self._cluster.binaries / "psql")
        command = [psql, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RuntimeError(answer.stderr)
        return answer.stdout


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """Start a server and stop it at the end."""
    with processes.short_folder() as folder:
        cluster = Cluster(folder)
        _call(cluster.initdb())
        log = folder / "postgres.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                cluster.server(_OPTIONS),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                user=USER,
                extra_groups=None if USER is None else [],
                preexec_fn=processes.die_with_parent,  # noqa: PLW1509 - it calls prctl and nothing else
            )
        try:
            processes.block_until(cluster.is_ready, process, log)
            with contextlib.closing(_Psql(cluster)) as psql:
                yield PostgresServer(cluster, psql)
        finally:
            processes.stop(process, signal.SIGINT)


def _call(command: list[str | Path]) -> None:
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=USER,
        extra_groups=None if USER is None else [],
    )
    if answer.returncode:
        raise RuntimeError(answer.stdout + answer.stderr)
