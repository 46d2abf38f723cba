"""The processes of one installation: API, one worker process, keeper, on servers and sinks that stand already."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import psutil

from bench import traffic
from bench.errors import BenchFailed
from bench.machine import Cores
from bench.processes import Children, Process, busy_seconds, cpu_seconds, largest_bytes, pinned
from bench.settings import PROFILE_VARIABLE
from bench.sinks.remote import Sink
from wireroom import up
from wireroom.ports import free_port
from wireroom.settings import fresh_environment

_READY_S: Final = 30.0
_POLL_S: Final = 0.02
_WORKER: Final = "worker.main"
_PROFILED: Final = "bench.profiled"


class Servers:
    """What an installation stands on. ``database`` and ``broker`` are process ids; SQLite has no process."""

    def __init__(self, *, database: int | None, broker: int, sinks: Mapping[str, Sink]) -> None:
        self.database = database
        self.broker = broker
        self.sinks = sinks


class House:
    """One installation. The worker gets the sending core, the others the rest, which the bench itself runs on."""

    def __init__(self, children: Children, cores: Cores, servers: Servers, settings: Mapping[str, str]) -> None:
        """``settings``: the installation's ``WIREROOM_*``, from ``settings_for``."""
        self.settings = settings
        self.place = settings["WIREROOM_BIND"]
        self.port = int(self.place.rpartition(":")[2])
        self.url = f"http://{self.place}"
        self.sinks = servers.sinks
        self._children = children
        self._cores = cores
        self._pids = {"broker": servers.broker} | {
            f"sink {name}": sink.process.pid for name, sink in servers.sinks.items()
        }
        if servers.database is not None:
            self._pids["database"] = servers.database
        self._others = {"api": self._start("api", up.API.command), "keeper": self._start("keeper", up.KEEPER.command)}
        self._pids |= {name: process.pid for name, process in self._others.items()}
        self._workers: list[Process] = []
        self.staff(1)

    def close(self) -> None:
        """Stop what this installation has started; its servers stay."""
        self.stop_workers()
        for process in self._others.values():
            self._children.stop(process)

    async def wait_ready(self) -> None:
        """Return once the API says so; raises BenchFailed."""
        give_up_at = time.monotonic() + _READY_S
        async with aiohttp.ClientSession() as session:
            while not await self._is_ready(session):
                self._children.require_alive()
                if time.monotonic() > give_up_at:
                    raise BenchFailed(f"the API was not ready in time:\n{self._children.log_tail('api')}")
                await asyncio.sleep(_POLL_S)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/health/ready") as answer:
                return answer.ok
        except aiohttp.ClientError:
            return False

    def cpu_seconds(self) -> dict[str, float]:
        """What each group of processes has used since it began; ``client`` is the bench, which posts the batches."""
        used = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        used["worker"] = sum(cpu_seconds(worker.pid) for worker in self._workers)
        return used | {"client": time.process_time()}

    def worker_bytes(self) -> int:
        """The memory that the largest worker process has in hand."""
        return max(largest_bytes(worker.pid) for worker in self._workers)

    def sending_core_seconds(self) -> float:
        """How long the sending core has worked for anybody; 0 where nothing is pinned."""
        return busy_seconds(self._cores.sending)

    @contextmanager
    def api_on_the_sending_core(self) -> Iterator[None]:
        """Within the block the API is what is measured, and the worker's core is its own."""
        before = _move(self._pids["api"], self._cores.sending)
        try:
            yield
        finally:
            _move(self._pids["api"], before)

    def profile_worker(self, path: Path) -> None:
        """From now on the worker is one that measures itself; ``stop_workers`` makes it write ``path``."""
        self.stop_workers()
        self._add_worker(_PROFILED, {PROFILE_VARIABLE: str(path)})

    def staff(self, count: int, cores: frozenset[int] | None = None) -> None:
        """From now on there are so many ordinary workers, on ``cores``; by default on the sending one."""
        self.stop_workers()
        with pinned(self._cores.sending if cores is None else cores):
            for _ in range(count):
                self._add_worker(_WORKER, {})

    def stop_workers(self) -> None:
        """Let the workers finish what they have, and end."""
        while self._workers:
            self._children.stop(self._workers.pop())

    @contextmanager
    def without_worker(self) -> Iterator[None]:
        """Within the block nobody sends; then a fresh worker does."""
        self.stop_workers()
        try:
            yield
        finally:
            self.staff(1)

    def require_alive(self) -> None:
        """Raise BenchFailed where a process has ended."""
        self._children.require_alive()

    def _add_worker(self, module: str, more: Mapping[str, str]) -> None:
        service = up.worker_service(len(self._workers) + 1)
        command = [module if part == _WORKER else part for part in service.command]
        self._workers.append(self._start(service.name, command, more))

    def _start(self, name: str, command: Sequence[str], more: Mapping[str, str] | None = None) -> Process:
        return self._children.start(name, command, settings={**fresh_environment(self.settings), **(more or {})})


def _move(pid: int, cores: frozenset[int]) -> frozenset[int]:
    """Let a process run on these cores, none: where it does; returns where it did."""
    if not cores:
        return cores
    process = psutil.Process(pid)
    before = frozenset(process.cpu_affinity() or ())
    process.cpu_affinity(list(cores))
    return before


def settings_for(folder: Path, *, database_url: str, redis_url: str, smtp_port: int) -> dict[str, str]:
    """The ``WIREROOM_*`` of an installation in ``folder`` that sends to sinks of this machine."""
    return {
        "WIREROOM_DATA_DIR": str(folder),
        "WIREROOM_DATABASE_URL": database_url,
        "WIREROOM_REDIS_URL": redis_url,
        "WIREROOM_BIND": f"127.0.0.1:{free_port()}",
        "WIREROOM_SECRET_KEY": secrets.token_urlsafe(32),
        "WIREROOM_SMTP_URL": f"smtp+plain://127.0.0.1:{smtp_port}",
        "WIREROOM_EMAIL_FROM": f"{traffic.SENDER_NAME} <{traffic.SENDER}>",
        "WIREROOM_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
    }
