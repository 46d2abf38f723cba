"""Servers of our own: started as children, stopped with us, asked for nothing but a socket in a short folder."""

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

_PR_SET_PDEATHSIG: Final = 1
_ENOUGH: Final = 4 << 30  # bytes: ten times what a run takes
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


@functools.cache
def quick_root() -> Path:
    """Where folders of tests are made: in memory where there is enough of it that runs programs, else ``/tmp``.

    A disk keeps what is written through a power cut, which no test can see; it takes it up to half of their time.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK | os.X_OK):
        return Path("/tmp")
    room = os.statvfs(memory)
    enough = room.f_bavail * room.f_frsize >= _ENOUGH and not room.f_flag & os.ST_NOEXEC
    return memory if enough else Path("/tmp")


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's name (107 bytes in all) and that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="wr-", dir=quick_root()))
    folder.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def die_with_parent() -> None:
    """Called in a child between fork and exec: a killed test run leaves no server behind (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def block_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, timeout: float = 30) -> None:
    """Return once ``ready()``; raise RuntimeError with the log where the process ended or the time ran out."""
    give_up_at = time.monotonic() + timeout
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.01)


class Stoppable(Protocol):
    """What one can ask of a ``subprocess.Popen``, and of other processes."""

    def poll(self) -> int | None:
        """Its exit code; None: it runs."""

    def send_signal(self, sig: signal.Signals, /) -> None:
        """Signal it."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """SIGKILL."""


def stop(process: Stoppable, sign: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end and wait for it; kill it after 10 seconds."""
    if process.poll() is None:
        process.send_signal(sign)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_environment() -> dict[str, str]:
    """The environment without Wireroom's own settings, for child processes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WIREROOM_")}
