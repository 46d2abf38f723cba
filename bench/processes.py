"""Child processes of the bench: pinned to their cores, stopped by their ids, their processor time counted.

Each leads a process group of its own, so that the terminal's Ctrl-C reaches the bench alone, which stops them in its
own order. Should the bench itself be killed, ``wireroom.lifeline`` stops them.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import psutil

from bench.errors import BenchFailed
from wireroom.lifeline import signal_group

_STOP_S: Final = 20.0
_POLL_S: Final = 0.01
_LOG_TAIL: Final = 2_000

Process = subprocess.Popen[bytes]


class _Child(NamedTuple):
    """``name``: its log's, too."""

    name: str
    process: Process
    stop_by: signal.Signals


class Children:
    """What the bench has started; leaving the block stops all of it, the last one first."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """``folder`` takes a log of each child; ``environment`` is all that they see, unless said otherwise."""
        self.folder = folder
        self._environment = dict(environment)
        self._running: list[_Child] = []
        self._lifeline: Process | None = None

    def __enter__(self) -> Self:
        self._lifeline = subprocess.Popen(
            [sys.executable, "-P", "-m", "wireroom.lifeline"],
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        for child in reversed(self._running[:]):
            self.stop(child.process)
        if self._lifeline is not None and self._lifeline.stdin is not None:
            self._lifeline.stdin.close()
            self._lifeline.wait()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        settings: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_by: signal.Signals = signal.SIGTERM,
        stdin: int = subprocess.DEVNULL,
    ) -> Process:
        """Start ``command`` on the cores that this thread has now; its log is ``<folder>/<name>.log``."""
        with self.log_path(name).open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                env=self._environment | dict(settings or {}),
                stdin=stdin,
                stdout=log,
                stderr=log,
                user=user,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )
        self._running.append(_Child(name, process, stop_by))
        self._tell_lifeline("+", process.pid)
        return process

    def stop(self, process: Process) -> None:
        """Ask the process to end, and wait; kill what is left of its group after 20 seconds."""
        child = next(each for each in self._running if each.process is process)
        if process.poll() is None:
            process.send_signal(child.stop_by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._running.remove(child)
        self._tell_lifeline("-", process.pid)

    def require_alive(self) -> None:
        """Raise BenchFailed where one of them has ended: no figure is worth anything then."""
        for child in self._running:
            if (status := child.process.poll()) is not None:
                raise BenchFailed(f"{child.name} ended with status {status}:\n{self.log_tail(child.name)}")

    def wait_ready(self, name: str, process: Process, ready: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Return once ``ready()``; raise BenchFailed with the end of its log where it ended or the time ran out."""
        give_up_at = time.monotonic() + timeout_s
        while not ready():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise BenchFailed(f"{name} did not start:\n{self.log_tail(name)}")
            time.sleep(_POLL_S)

    def log_path(self, name: str) -> Path:
        """The log of a child."""
        return self.folder / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of it."""
        return self.log_path(name).read_text(errors="replace")[-_LOG_TAIL:]

    def _tell_lifeline(self, sign: str, pid: int) -> None:
        if self._lifeline is not None and self._lifeline.stdin is not None:
            self._lifeline.stdin.write(f"{sign}{pid}\n".encode())
            self._lifeline.stdin.flush()


@contextlib.contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """What starts within the block runs on ``cores``, and so does this thread meanwhile; none: wherever it may."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_seconds(cores: frozenset[int]) -> float:
    """How long these cores have worked for anybody, since the machine started."""
    times = psutil.cpu_times(percpu=True)
    return sum(sum(times[core]) - times[core].idle - getattr(times[core], "iowait", 0.0) for core in cores)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all that it has forked, those included that have ended since."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                # On Linux, what it had forked and has seen end; elsewhere psutil says 0.
                total += times.children_user + times.children_system
    return total


def largest_bytes(pid: int) -> int:
    """The resident memory of the largest among a process and all that it has forked."""
    found = [0]
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(process.memory_info().rss)
    return max(found)
