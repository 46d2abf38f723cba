"""Processes with what they forked: found by their leader or by a port, killed, and made to stand still."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence

import psutil


def of(leader: int) -> list[psutil.Process]:
    """A process and all that descends from it, itself first; empty once it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(leader)
        return [process, *process.children(recursive=True)]
    return []


def kill(family: Iterable[psutil.Process]) -> tuple[int, ...]:
    """SIGKILL for each; the ids of those that were there."""
    killed = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            killed.append(process.pid)
    return tuple(killed)


def owner_of(port: int, families: Mapping[str, Sequence[psutil.Process]]) -> tuple[str, psutil.Process] | None:
    """Which process of these is at the near end of a TCP connection from this port, and by which name it is known."""
    for name, family in families.items():
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(each.laddr.port == port for each in process.net_connections("tcp")):
                    return name, process
    return None


@contextlib.contextmanager
def suspended(leader: psutil.Process) -> Iterator[list[psutil.Process]]:
    """A process and all that descends from it stand still; none of them is left so."""
    leader.suspend()  # first, so that it forks no more
    family = of(leader.pid)
    for process in family:
        process.suspend()
    try:
        yield family
    finally:
        resume(family)


def resume(family: Iterable[psutil.Process]) -> None:
    """Let them go on: those that are still there."""
    for process in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


def resident(family: Iterable[psutil.Process]) -> int:
    """Bytes of memory that they have; 0 for who is gone."""
    found = 0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process.memory_info().rss
    return found
