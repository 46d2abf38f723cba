"""A peer, timed as ours is: messages go in at its own intake; the clock stops when all arrived and are recorded."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from bench import traffic
from bench.errors import BenchFailed
from bench.ground import Ground
from bench.peers.catalogue import Peer
from bench.peers.install import Installed, install
from bench.processes import Process, cpu_seconds, pinned
from bench.results import Measured
from bench.settings import installer_environment
from bench.ways import Way
from wireroom.embedded import EmbeddedBroker

WORKING: Final = ("its worker",)
_READY: Final = b"ready"
_POLL_S: Final = 0.01
_LOOK_S: Final = 1.0
_SLOWEST: Final = 20
"""Messages per second: what is slower than that is broken, not slow."""
_AT_LEAST_S: Final = 60.0


class Work:
    """A peer whose worker runs; see ``at_work``."""

    def __init__(self, ground: Ground, peer: Peer, installed: Installed, database: Any, broker: EmbeddedBroker) -> None:
        self._ground = ground
        self._peer = peer
        self._installed = installed
        self._database = database
        self._broker = broker
        self._messages = ground.children.folder / "messages.ndjson"
        self._settings = {
            "PGHOST": str(ground.postgres.folder),
            "PGUSER": "postgres",
            "PGDATABASE": _database_name(peer),
            "PYTHONPATH": str(installed.folder),
            "PEER_BROKER": str(broker.socket_path),
            "PEER_SMTP_PORT": str(ground.sinks["smtp"].port),
            "PEER_SENDER": traffic.SENDER,
            "PEER_MESSAGES": str(self._messages),
            **dict(peer.variables),
        }
        with pinned(ground.cores.sending):
            self._worker = self._start("its worker", peer.worker)

    async def ready(self) -> None:
        """Return once its worker waits for messages; raises BenchFailed."""
        await self._wait_ready("its worker", self._worker)

    async def run(self, way: Way, count: int) -> Measured:
        """Send ``count`` finished messages; raises BenchFailed unless each arrived exactly once and is recorded."""
        sink = self._ground.sinks[way.sink]
        await sink.reset()
        write(self._messages, way, count, sink.port)
        self._ground.children.log_path("its intake").unlink(missing_ok=True)
        intake = self._start("its intake", self._peer.intake, stdin=subprocess.PIPE)
        try:
            await self._wait_ready("its intake", intake)
            before = self._cpu_seconds(intake)
            began = time.perf_counter()
            _tell(intake)
            await self._finished(way, count)
            seconds = time.perf_counter() - began
            cpu = {name: used - before[name] for name, used in self._cpu_seconds(intake).items()}
            _tell(intake)
        finally:
            self._ground.children.stop(intake)
        counted = await sink.require(count)
        return Measured(count, seconds, cpu, counted.size)

    def stop(self) -> None:
        """Stop its worker."""
        self._ground.children.stop(self._worker)

    async def _finished(self, way: Way, count: int) -> None:
        limit = max(_AT_LEAST_S, count / _SLOWEST)
        try:
            async with asyncio.timeout(limit):
                while not await self._arrived(way, count):
                    self._ground.children.require_alive()
                while await self._database.fetchval(self._peer.sent) < count:  # noqa: ASYNC110 - only the rows can tell
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise BenchFailed(await self._why_not(way, count)) from None

    async def _arrived(self, way: Way, count: int) -> bool:
        """Whether all are at the sink, within a second."""
        try:
            await self._ground.sinks[way.sink].wait(count, _LOOK_S)
        except TimeoutError:
            return False
        return True

    async def _why_not(self, way: Way, count: int) -> str:
        arrived = (await self._ground.sinks[way.sink].count()).unique
        recorded = await self._database.fetchval(self._peer.sent)
        tails = "\n".join(self._ground.children.log_tail(name) for name in ("its worker", "its intake"))
        return f"{self._peer.title}: of {count} messages {arrived} arrived and {recorded} were recorded:\n{tails}"

    def _cpu_seconds(self, intake: Process) -> dict[str, float]:
        pids = {
            "its worker": self._worker.pid,
            "its intake": intake.pid,
            "database": self._ground.postgres.process.pid,
            "broker": self._broker.pid or 0,
        }
        return {name: cpu_seconds(pid) for name, pid in pids.items()}

    def _start(self, name: str, arguments: tuple[str, ...], stdin: int = subprocess.DEVNULL) -> Process:
        command = self._installed.command(arguments)
        return self._ground.children.start(name, command, settings=self._settings, stdin=stdin)

    async def _wait_ready(self, name: str, process: Process) -> None:
        log = self._ground.children.log_path(name)
        await asyncio.to_thread(
            self._ground.children.wait_ready, name, process, lambda: _READY in log.read_bytes().splitlines()
        )


@asynccontextmanager
async def at_work(ground: Ground, peer: Peer, say: Callable[[str], None]) -> AsyncIterator[Work]:
    """The peer on a fresh database and a broker of its own; raises LeftOut where it cannot be installed."""
    installed = await install(peer, ground.cache, installer_environment(), say)
    ground.children.log_path("its worker").unlink(missing_ok=True)
    folder = ground.children.folder / peer.folder
    folder.mkdir(mode=0o700, exist_ok=True)
    database = await asyncpg.connect(await ground.postgres.make(_database_name(peer)))
    try:
        with EmbeddedBroker(folder) as broker:
            work = Work(ground, peer, installed, database, broker)
            try:
                await work.ready()
                yield work
            finally:
                work.stop()
    finally:
        await database.close()


def write(path: Path, way: Way, count: int, port: int) -> None:
    """The messages, one a line: finished mails, or finished webhooks for the sink at ``port``."""
    lines = _mails(count) if way.sink == "smtp" else _hooks(count, port)
    path.write_bytes(b"".join(msgspec.json.encode({"id": number, **line}) + b"\n" for number, line in enumerate(lines)))


def _mails(count: int) -> Iterator[dict[str, Any]]:
    for mail in traffic.finished_mails(count):
        yield {"recipient": mail.recipient, "content": mail.content.decode()}


def _hooks(count: int, port: int) -> Iterator[dict[str, Any]]:
    for hook in traffic.finished_hooks(count, port):
        yield {"url": hook.url, "headers": hook.headers, "content": hook.body.decode()}


def _database_name(peer: Peer) -> str:
    return f"peer_{peer.folder}"


def _tell(process: Process) -> None:
    """Let it go on, which waits for a line."""
    if process.stdin is not None:
        process.stdin.write(b"go on\n")
        process.stdin.flush()
