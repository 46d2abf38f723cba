"""The command ``wireroom`` in a process of its own that has it loaded already: loading costs most of a second each.

What starts as a person starts it, entry point and all, is ``commands.started`` and ``commands.running``.
"""

import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final, NamedTuple

_LOADED: Final = (
    "tests.support.quick_starts",
    "aiosqlite",
    "asyncpg",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "models.migrate",
    "wireroom.cli",
    "wireroom.api",
    "wireroom.database_faults",
    "wireroom.doctor",
    "wireroom.recount",
    "wireroom.user_accounts",
    "wireroom.why",
)


class Files(NamedTuple):
    """Where a process reads, and where it writes: the order of file descriptors."""

    given: Path
    out: Path
    err: Path


@functools.cache
def _context() -> ForkServerContext:
    """One server that forks, for all commands of this process (``multiprocessing``, "Contexts and start methods")."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_LOADED))
    return context


def start(arguments: tuple[str, ...], environment: Mapping[str, str], files: Files) -> ForkServerProcess:
    """Begin a command."""
    process = _context().Process(target=_run, args=(arguments, dict(environment), files), daemon=True)
    process.start()
    return process


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], files: Files) -> None:
    for number, path in enumerate(files):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # multiprocessing has given us /dev/null, under a name of its own.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as this process lives
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["wireroom", *arguments]

    from wireroom import cli  # noqa: PLC0415 - loaded already, in the process that forks

    cli.main()
