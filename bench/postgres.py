"""A PostgreSQL of the bench's own, durable as in earnest."""

import signal
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy import text

from bench.errors import BenchFailed
from bench.postgres_wheel import USER, Cluster
from bench.processes import Children, Process
from models.session import Database

_NAME: Final = "postgres"
_OPTIONS: Final = {
    "listen_addresses": "",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "timezone": "UTC",
}
_MUST_BE_ON: Final = ("fsync", "full_page_writes", "synchronous_commit")


class Postgres:
    """A running server; ``url`` is the address of its first database, ``process`` the postmaster."""

    def __init__(self, process: Process, cluster: Cluster) -> None:
        self.process = process
        self.folder = cluster.folder
        self.url = cluster.url("postgres")
        self._cluster = cluster

    async def make(self, database: str) -> str:
        """Make another database, anew where it is there; returns its address."""
        server = await asyncpg.connect(self.url)
        try:
            await server.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            await server.execute(f'CREATE DATABASE "{database}"')
        finally:
            await server.close()
        return self._cluster.url(database)


def start(children: Children, folder: Path) -> Postgres:
    """Make ``folder``, a short path above which all users may enter, and start a server there; raises BenchFailed."""
    folder.mkdir(mode=0o711)
    cluster = Cluster(folder)
    _make(children, cluster)
    process = children.start(
        _NAME,
        cluster.server(_OPTIONS),
        user=USER,
        stop_by=signal.SIGINT,  # fast shutdown: sessions are cut off
    )
    children.wait_ready(_NAME, process, cluster.is_ready)
    return Postgres(process, cluster)


async def require_durable(database: Database) -> str:
    """The server's name and version; raises BenchFailed where it says that a commit may be lost."""
    async with database.read() as connection:
        lax = [name for name in _MUST_BE_ON if await connection.scalar(text(f"SHOW {name}")) != "on"]
        version = await connection.scalar(text("SHOW server_version"))
    if lax:
        raise BenchFailed(f"the database runs with {', '.join(lax)} off: its figures would say nothing")
    return f"PostgreSQL {version}, {', '.join(_MUST_BE_ON)} on"


def _make(children: Children, cluster: Cluster) -> None:
    name = "initdb"
    process = children.start(name, cluster.initdb(), user=USER)
    status = process.wait()
    children.stop(process)
    if status:
        raise BenchFailed(f"no database:\n{children.log_tail(name)}")
