"""A bench from its first process to its last."""

import asyncio
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import uvloop
from rich.console import Console
from rich.status import Status

from bench import ingest, pipeline, postgres, report
from bench.compare import WARM_UP, Comparison
from bench.house import House, Servers, settings_for
from bench.machine import Cores, choose_cores, describe
from bench.processes import Children, pinned
from bench.results import Report, RowResult
from bench.rows import Row
from bench.sinks import remote
from models import migrate
from models.session import Database
from wireroom.embedded import EmbeddedBroker
from wireroom.settings import fresh_environment

_SINKS: Final = ("smtp", "http")


class Options(NamedTuple):
    """What to run: ``pairs`` of ``messages`` on each side of every row. ``json_file`` takes the figures.

    ``ingest``: of what comes in, too.
    """

    rows: Sequence[Row]
    ingest: bool
    pairs: int
    messages: int
    json_file: Path | None
    profile: bool


def run(options: Options, console: Console) -> None:
    """Run it and show it; raises BenchFailed. Whatever happens, every process is stopped and no folder stays."""
    cores = choose_cores()
    with ExitStack() as stack:
        stack.enter_context(_interrupted_by_sigterm())
        folder = stack.enter_context(_short_folder())
        stack.enter_context(pinned(cores.rest))
        status = stack.enter_context(console.status("starting the servers"))
        broker = stack.enter_context(EmbeddedBroker(folder))
        children = stack.enter_context(Children(folder, fresh_environment({})))
        database = postgres.start(children, folder / "postgres")
        migrate.upgrade(database.url)
        sinks = {kind: remote.start(children, kind) for kind in _SINKS}
        servers = Servers(database=database.process.pid, broker=broker.pid or 0, sinks=sinks)
        settings = settings_for(folder, database_url=database.url, redis_url=broker.url, smtp_port=sinks["smtp"].port)
        house = House(children, cores, servers, settings)
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        results = runner.run(_measure(options, children, cores, house, status))
        status.stop()
        _hand_over(options, results, console)


async def _measure(options: Options, children: Children, cores: Cores, house: House, status: Status) -> Report:
    _cancelled_by_sigterm()
    status.update("waiting for the API")
    await house.wait_ready()
    database = Database.connect(house.settings["WIREROOM_DATABASE_URL"], pool_size=1)
    try:
        server = await postgres.require_durable(database)
    finally:
        await database.close()
    machine = describe(children.folder, cores, server)
    results: list[RowResult] = []
    async with pipeline.opened(house) as opened:
        status.update("making contacts")
        await opened.add_contacts(max(options.messages, WARM_UP))
        comparison = Comparison(
            children, cores, opened, pairs=options.pairs, messages=options.messages, say=status.update
        )
        for row in options.rows:
            results.append(await comparison.compare(row))
            if options.profile:
                stats = await comparison.profile(row, children.folder / "worker.prof")
                report.show_profile(status.console, row.id, stats)
        if options.ingest:
            async with ingest.opened(house) as hook:
                results += await hook.compare(
                    comparison.bare, pairs=options.pairs, events=options.messages, say=status.update
                )
    return Report(results, machine)


def _cancelled_by_sigterm() -> None:
    """End the running task by a cancellation, as Ctrl-C does, so that what is open is closed."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _hand_over(options: Options, finished: Report, console: Console) -> None:
    report.show(console, finished)
    if options.json_file is not None:
        options.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(finished)) + b"\n")


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's name (107 bytes in all) and that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="wr-bench-"))
    folder.chmod(stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
