"""``wireroom up``: everything that Wireroom is, as children of one process.

What only some of its ways need is loaded there: a setting that cannot be used is named before the database's library
has taken its half second.
"""

import asyncio
import errno
import json
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import IO, Final

import structlog
import typer

from api_shim.settings import DRAIN_S, LMTP_VARIABLE, ApiSettings
from channels import registry
from channels.settings import ChannelSettings
from models.errors import WireroomError
from models.settings import StorageSettings
from models.vocabulary import Channel
from wireroom import data_dir
from wireroom.embedded import EmbeddedBroker
from wireroom.output import console
from wireroom.supervisor import Service, Supervisor
from worker import queues
from worker.settings import THREADS, WorkerSettings

log = structlog.get_logger("wireroom.up")

BIND_VARIABLE: Final = "WIREROOM_BIND"
_READY_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, never bound here

_TO_LEAVE_S: Final = 5.0
"""For what an API process does once it has no request left: writing what it has gathered, closing connections."""
API: Final = Service("api", (sys.executable, "-m", "api_shim.app"), drain_s=DRAIN_S + _TO_LEAVE_S)
KEEPER: Final = Service("keeper", (sys.executable, "-m", "worker.keeper"), drain_s=10.0)
_BROKER_DRAIN_S: Final = 10.0
_BROKER_PATIENCE_S: Final = 2.0
_HIGHEST_PORT: Final = 65_535
_TURNED_ON_BY: Final = {
    Channel.EMAIL: "WIREROOM_SMTP_URL and WIREROOM_EMAIL_FROM",
    Channel.TELEGRAM: "WIREROOM_TELEGRAM_BOT_TOKEN",
}
FINISHING: Final = "Finishing what is being sent … (a second Ctrl-C does not wait)"
_WORKER_DRAIN_S: Final = 35.0


class CannotStart(WireroomError):
    """Something stands in the way; the text says what, and what to do."""


def worker_service(number: int, served: Sequence[str] = (), *, name: str = "worker") -> Service:
    """A worker: dramatiq's own command line with one process, which claims and sends until it is stopped.

    ``served``: the queues that it serves, all without any.
    """
    # Without --path it would import from the folder that we run in first, which may have a "worker" of its own.
    # Without --skip-logging its master would print lines of its own form between ours.
    options = ("--path", "--skip-logging", "--processes", "1", "--threads", str(THREADS))
    queues_ = ("--queues", *served) if served else ()
    arguments = ("-m", "dramatiq", "worker.main", *options, *queues_)
    return Service(f"{name}-{number}", (sys.executable, *arguments), drain_s=_WORKER_DRAIN_S)


class Stack:
    """The broker (where it is embedded), the API, the workers and the keeper."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        workers: int,
        bulk_workers: int = 0,
        output: IO[bytes] | None = None,
    ) -> None:
        """``environment`` is all that the parts see; raises InvalidSetting. ``output`` takes their logs.

        ``bulk_workers`` serve the bulk lanes alone; where there are any, the ``workers`` serve all that is not bulk.
        """
        self.storage = StorageSettings.read(environment)
        self.api = ApiSettings.read(environment)
        WorkerSettings.read(environment)
        self.channels = sorted(registry.configured(ChannelSettings.read(environment)))
        self.supervisor = Supervisor(environment, output)
        self.workers, self.bulk_workers = workers, bulk_workers
        served = queues.PEOPLE if bulk_workers else ()
        self._workers = [worker_service(number, served) for number in range(1, workers + 1)]
        self._workers += [worker_service(number, queues.BULK, name="bulk") for number in range(1, bulk_workers + 1)]
        self._broker = EmbeddedBroker(self.storage.data_dir) if self.storage.broker_is_embedded else None

    @property
    def listens_at(self) -> str:
        """A URL that reaches the API from this machine."""
        host = _EVERYWHERE.get(self.api.host, self.api.host)
        return f"http://{_bracketed(host)}:{self.api.port}"

    async def start(self) -> None:
        """Migrate, then start every part; raises CannotStart, InvalidSetting or StorageUnavailable."""
        data_dir.make(self.storage.data_dir)
        check_port(self.api.host, self.api.port)
        if self.api.lmtp is not None:
            check_port(*self.api.lmtp, variable=LMTP_VARIABLE)
        if self._broker is not None and self._broker.answers():
            raise CannotStart(f"another Wireroom already runs on {self.storage.data_dir}")
        if self._broker is None:
            await asyncio.to_thread(_look_for_broker, self.storage.redis_url)
        await _migrate(self.storage.database_url)
        await self.supervisor.open()
        if self._broker is not None:
            self.supervisor.start(Service("broker", self._broker.command, drain_s=_BROKER_DRAIN_S))
        for service in (API, *self._workers, KEEPER):
            self.supervisor.start(service)

    async def wait_ready(self) -> None:
        """Return once the API says that it is ready; raises CannotStart where that takes too long."""
        give_up_at = time.monotonic() + _READY_TIMEOUT_S
        import httpx  # noqa: PLC0415 - see the top

        missing = "its log says why"
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while time.monotonic() < give_up_at:
                try:
                    answer = await client.get(f"{self.listens_at}/health/ready")
                except httpx.HTTPError:
                    answer = None
                if answer is not None and answer.is_success:
                    return
                if answer is not None and answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    missing = f"missing: {', '.join(answer.json()['missing'])}"
                await asyncio.sleep(_POLL_S)
        raise CannotStart(f"the API was not ready within {_READY_TIMEOUT_S:.0f} s; {missing}")

    async def stop(self) -> None:
        """Take in no more, finish what is being sent, then stop the rest: API, workers, keeper, broker."""
        await self.supervisor.stop(API.name)
        await self.supervisor.stop(*(worker.name for worker in self._workers))
        await self.supervisor.stop(KEEPER.name)
        await self.supervisor.close()

    def kill(self) -> None:
        """End every part at once. No accepted message is lost by it."""
        self.supervisor.kill()


def check_port(host: str, port: int, variable: str = BIND_VARIABLE) -> None:
    """Raises CannotStart where the API could not listen there; ``variable`` says where."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(why_not_there(host, port, error, variable)) from error


def why_not_there(host: str, port: int, error: OSError, variable: str = BIND_VARIABLE) -> str:
    """Why the API cannot listen there, and what to do."""
    place, other = f"{_bracketed(host)}:{port}", 8080
    if error.errno in (errno.EACCES, errno.EPERM):
        mend = "Ports below 1024 are for root: choose a higher one, with a web server in front where it must be that"
    elif error.errno == errno.EADDRINUSE:
        other = port + 1 if port < _HIGHEST_PORT else other
        mend = "Stop what listens there, or choose another port"
    else:
        host, mend = "127.0.0.1", "Choose an address of this machine"
    return f"cannot listen on {place}: {error.strerror}. {mend}, as in {variable}={_bracketed(host)}:{other}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _migrate(database_url: str) -> None:
    from models import migrate  # noqa: PLC0415 - see the top

    if database_url.startswith("sqlite"):
        # Given up half-way, its driver's thread would outlive this loop, and complain; it waits ten seconds at most.
        await asyncio.to_thread(migrate.upgrade, database_url)
    else:
        await migrate.upgrade_at(database_url)


def _look_for_broker(redis_url: str) -> None:
    """Log where none takes wake-ups: messages are accepted all the same. Raises InvalidSetting."""
    import redis  # noqa: PLC0415 - see the top

    from worker.redis_client import connect, try_out  # noqa: PLC0415 - see the top
    from worker.redis_keys import cause  # noqa: PLC0415 - see the top

    with connect(redis_url, connections=1, timeout_s=_BROKER_PATIENCE_S) as client:
        try:
            try_out(client)
        except redis.RedisError as error:
            log.warning(
                "WIREROOM_REDIS_URL: no broker takes wake-ups there; messages are accepted, and sent once one does",
                error=cause(client, error),
            )


def run(environment: Mapping[str, str], *, workers: int, bulk_workers: int, as_json: bool) -> int:
    """Run everything until SIGINT or SIGTERM; the exit code. A second signal kills."""
    stack = Stack(environment, workers=workers, bulk_workers=bulk_workers)
    return asyncio.run(_run(stack, as_json=as_json))


async def _run(stack: Stack, *, as_json: bool) -> int:
    stopped, killed = stop_on_signals(stack)
    try:
        # Starting, too: a migration may wait for others for minutes.
        await first_done(_settle(stack, as_json=as_json), stopped.wait())
        await stopped.wait()
    finally:
        if stopped.is_set() and not killed.is_set() and not as_json:
            typer.echo(FINISHING)
        await stack.stop()
    return 1 if killed.is_set() else 0


def stop_on_signals(stack: Stack) -> tuple[asyncio.Event, asyncio.Event]:
    """Events that SIGINT or SIGTERM set: the first signal asks to stop, the second kills."""
    stopped, killed = asyncio.Event(), asyncio.Event()

    def take() -> None:
        if stopped.is_set():
            killed.set()
            stack.kill()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, take)
    return stopped, killed


async def _settle(stack: Stack, *, as_json: bool) -> None:
    """Start it, and announce it once it is ready. A database or a broker elsewhere that is missing may come later."""
    await stack.start()
    while True:
        try:
            await stack.wait_ready()
        except CannotStart as error:
            log.warning("still not ready", detail=str(error))
        else:
            _announce(stack, as_json=as_json)
            return


async def first_done(*waits: Coroutine[None, None, object]) -> None:
    """Wait for the first to end, cancel the others and see them end; raises what the first raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:  # also where this is cancelled itself: none of them is left running
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _announce(stack: Stack, *, as_json: bool) -> None:
    storage, url = stack.storage, stack.listens_at
    if as_json:
        where = {"url": url, "docs": f"{url}/docs", "dataDir": str(storage.data_dir)}
        counts = {"workers": stack.workers, "bulkWorkers": stack.bulk_workers}
        typer.echo(json.dumps(where | counts | {"channels": stack.channels}))
        return
    from rich.markup import escape  # noqa: PLC0415 - see the top
    from rich.panel import Panel  # noqa: PLC0415 - see the top
    from rich.table import Table  # noqa: PLC0415 - see the top

    grid = Table.grid(padding=(0, 3))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("API", f"[bold]{url}[/]")
    grid.add_row("Console", f"{url}/console")
    grid.add_row("Reference", f"{url}/docs")
    if stack.api.lmtp is not None:
        host, port = stack.api.lmtp
        grid.add_row("Bounces", f"LMTP on {_bracketed(host)}:{port}")
    grid.add_row("Data", escape(str(storage.data_dir)))
    grid.add_row("Database", storage.database_url.partition(":")[0])
    grid.add_row("Broker", "embedded" if storage.broker_is_embedded else "WIREROOM_REDIS_URL")
    grid.add_row("Workers", f"{stack.workers}" + (f", and {stack.bulk_workers} for bulk" if stack.bulk_workers else ""))
    grid.add_row("Channels", ", ".join(stack.channels))
    for channel, settings in _TURNED_ON_BY.items():
        if channel not in stack.channels:
            grid.add_row("", f"{channel} is off: set {settings}, then start again")
    grid.add_row()
    grid.add_row("Begin", "wireroom workspace create acme")
    grid.add_row("", "wireroom token create --workspace acme")
    grid.add_row("", "wireroom user create you@example.org --workspace acme")
    grid.add_row("Stop", "Ctrl-C: what is being sent is finished first")
    console().print(Panel(grid, title="[bold green]Wireroom is up[/]", border_style="green", expand=False))
