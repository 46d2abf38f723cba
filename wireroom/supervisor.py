"""Child processes that are kept running: each in its own process group, restarted when it dies.

The first restart is at once; those that follow quickly wait, up to five seconds. A child that ran for a while
starts again with a clean record. All children stop when this process is gone (``lifeline``).
"""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Final

import structlog

from wireroom.lifeline import signal_group

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0
_SETTLED_S: Final = 10.0
_POLL_S: Final = 0.05

log = structlog.get_logger("wireroom.supervisor")


@dataclass(frozen=True, slots=True)
class Service:
    """A program to keep running. ``drain_s``: how long it may take to end after SIGTERM."""

    name: str
    command: tuple[str, ...]
    drain_s: float


@dataclass(slots=True)
class _Child:
    service: Service
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    groups: set[int] = field(default_factory=set)
    left_over: set[asyncio.Task[None]] = field(default_factory=set)
    restarts: int = 0


def pause_before(restart: int) -> float:
    """Seconds to wait before the ``restart``-th quick restart (from 1)."""
    return 0.0 if restart <= 1 else min(_FIRST_PAUSE_S * 2.0 ** min(restart - 1, 10), _LONGEST_PAUSE_S)


class Supervisor:
    """Starts services, restarts them, stops them one by one in the order asked for."""

    def __init__(self, environment: Mapping[str, str], output: IO[bytes] | None = None) -> None:
        """``output`` takes what the children print; by default they print where we do."""
        self._environment = dict(environment)
        self._output = output
        self._children: dict[str, _Child] = {}
        self._lifeline: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Start the lifeline; before any service."""
        self._lifeline = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "wireroom.lifeline"),
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )

    def start(self, service: Service) -> None:
        """Keep ``service`` running from now on."""
        child = _Child(service)
        self._children[service.name] = child
        child.keeper = asyncio.create_task(self._keep(child), name=f"keep-{service.name}")

    def pids(self) -> dict[str, int]:
        """The process ids of the services that run now."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process is not None and child.process.returncode is None
        }

    def restarts(self, name: str) -> int:
        """How often a service died and was started again."""
        return self._children[name].restarts

    async def stop(self, *names: str) -> None:
        """SIGTERM to these services at once; SIGKILL to what is still there after its own ``drain_s``."""
        await asyncio.gather(*(self._stop(self._children[name]) for name in names if name in self._children))

    def kill(self) -> None:
        """SIGKILL to every process of every service."""
        for child in self._children.values():
            child.stopping.set()
            for group in child.groups:
                signal_group(group, signal.SIGKILL)

    async def close(self) -> None:
        """Stop what still runs, then the lifeline."""
        await self.stop(*self._children)
        if self._lifeline is not None and self._lifeline.stdin is not None:
            self._lifeline.stdin.close()
            await self._lifeline.wait()

    async def _keep(self, child: _Child) -> None:
        quick_restarts = 0
        while not child.stopping.is_set():
            began = time.monotonic()
            try:
                code = await self._run(child)
            except OSError as error:  # the system has no process or memory to give now
                code = error.errno or -1
            if child.stopping.is_set():
                return
            quick_restarts = quick_restarts + 1 if time.monotonic() - began < _SETTLED_S else 1
            pause = pause_before(quick_restarts)
            log.warning("service died, starting it again", service=child.service.name, code=code, pause_s=pause)
            child.restarts += 1
            await _first_of(child.stopping, pause)

    async def _run(self, child: _Child) -> int:
        process = await asyncio.create_subprocess_exec(
            *child.service.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env=self._environment,
            start_new_session=True,
        )
        child.process = process
        child.groups.add(process.pid)
        self._tell_lifeline("+", process.pid)
        if child.stopping.is_set():  # asked to stop while it was being started
            process.terminate()
        code = await process.wait()
        task = asyncio.create_task(self._see_off(child, process.pid))
        child.left_over.add(task)
        task.add_done_callback(child.left_over.discard)
        return code

    async def _see_off(self, child: _Child, group: int) -> None:
        """Wait for what a dead process had forked, then kill it.

        It is not asked to stop: a worker that has lost its master does so by itself, and would take a second
        SIGTERM for an order to drop what it is sending.
        """
        give_up_at = time.monotonic() + child.service.drain_s
        while signal_group(group, 0):
            if time.monotonic() > give_up_at:
                signal_group(group, signal.SIGKILL)
                break
            await asyncio.sleep(_POLL_S)
        child.groups.discard(group)
        self._tell_lifeline("-", group)

    async def _stop(self, child: _Child) -> None:
        child.stopping.set()
        if child.process is not None and child.process.returncode is None:
            child.process.terminate()
        if child.keeper is not None:
            _, unfinished = await asyncio.wait({child.keeper}, timeout=child.service.drain_s)
            if unfinished and child.process is not None:
                log.warning("service did not stop in time, killing it", service=child.service.name)
                signal_group(child.process.pid, signal.SIGKILL)
            await child.keeper
        await asyncio.gather(*child.left_over)

    def _tell_lifeline(self, sign: str, pid: int) -> None:
        if self._lifeline is not None and self._lifeline.stdin is not None:
            self._lifeline.stdin.write(f"{sign}{pid}\n".encode())


async def _first_of(event: asyncio.Event, timeout_s: float) -> None:
    """Return when ``event`` is set or the time is up."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
