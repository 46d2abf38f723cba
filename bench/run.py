"""A bench from its first process to its last."""

import asyncio
import shutil
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import uvloop
from rich.console import Console
from rich.status import Status

from bench import chart, ground, postgres, report
from bench.errors import LeftOut
from bench.ground import Ground
from bench.machine import choose_cores, describe
from bench.processes import Children, pinned
from bench.results import Report, RowResult
from bench.rows import Row, Store
from bench.scenarios.sending import profile
from bench.settings import peers_folder
from bench.sinks import remote
from bench.stage import Size, Stage
from models.errors import WireroomError
from models.session import Database
from wireroom.settings import fresh_environment

_SINKS: Final = ("smtp", "http")


class Options(NamedTuple):
    """What to run, of which size; ``ids``: what of it is shown. ``profile``: then look into the worker.

    ``json_file`` takes the figures, ``svg_file`` a picture of them.
    """

    rows: Sequence[Row]
    ids: frozenset[str]
    size: Size
    json_file: Path | None
    svg_file: Path | None
    profile: bool


def run(options: Options, console: Console) -> Report:
    """Run it and show it; raises BenchFailed. Whatever happens, every process is stopped and no folder stays."""
    cores = choose_cores()
    with ExitStack() as stack:
        stack.enter_context(_interrupted_by_sigterm())
        folder = stack.enter_context(_short_folder())
        stack.enter_context(pinned(cores.rest))
        status = stack.enter_context(console.status("starting the servers"))
        children = stack.enter_context(Children(folder, fresh_environment({})))
        server = postgres.start(children, folder / "postgres")
        sinks = {kind: remote.start(children, kind) for kind in _SINKS}
        shared = Ground(children, cores, server, sinks, peers_folder())
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        finished = runner.run(_measure(options, shared, status))
        status.stop()
        _hand_over(options, finished, console)
        return finished


async def _measure(options: Options, shared: Ground, status: Status) -> Report:
    _cancelled_by_sigterm()
    machine = describe(shared.folder, shared.cores, await _durable(shared))
    results: list[RowResult] = []
    for store in Store:
        rows = [row for row in options.rows if row.store is store]
        results += await take_all(
            rows, partial(_stage, options, shared, status), partial(_take, options, status.console)
        )
    return Report([result for result in results if result.id in options.ids], machine)


async def take_all(
    rows: Sequence[Row],
    open_stage: Callable[[Row], AbstractAsyncContextManager[Stage]],
    take: Callable[[Row, Stage], Awaitable[list[RowResult]]],
) -> list[RowResult]:
    """The rows on one kind of database; one that fails costs no other's figures: the next has a stage of its own."""
    results: list[RowResult] = []
    stage: Stage | None = None
    async with AsyncExitStack() as stack:
        for row in rows:
            try:
                if stage is None:
                    stage = await stack.enter_async_context(open_stage(row))
                results += await take(row, stage)
            except Exception as error:  # noqa: BLE001 - whatever ended this row, the others are still to be taken
                results += [RowResult(id=row_id, failed=_said(error)) for row_id in row.ids]
                stage = None
                await stack.aclose()
    return results


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, WireroomError) else f"{type(error).__name__}: {error}"


@asynccontextmanager
async def _stage(options: Options, shared: Ground, status: Status, first: Row) -> AsyncIterator[Stage]:
    """An installation that begins with the row ``first``, and is named after it."""
    status.update("starting an installation")
    name = f"{first.store.name.lower()}-{first.ids[0].replace('/', '-')}"
    url = await shared.postgres.make("bench") if first.store is Store.POSTGRES else None
    async with ground.opened(shared, f"on-{name}", url, options.size.people) as opened:
        yield Stage(shared, opened, options.size, status.update)


async def _take(options: Options, console: Console, row: Row, stage: Stage) -> list[RowResult]:
    stage = stage.saying(row.ids[0])
    try:
        results = await row.measure(stage)
    except LeftOut as error:
        return [RowResult(id=row_id, left_out=str(error)) for row_id in row.ids]
    if options.profile and row.way is not None:
        stats = await profile(stage, row.way, stage.ground.folder / "worker.prof")
        report.show_profile(console, row.ids[0], stats)
    return results


async def _durable(shared: Ground) -> str:
    """The database servers; raises BenchFailed where one may lose what it has committed."""
    database = Database.connect(shared.postgres.url, pool_size=1)
    try:
        return await postgres.require_durable(database)
    finally:
        await database.close()


def _cancelled_by_sigterm() -> None:
    """End the running task by a cancellation, as Ctrl-C does, so that what is open is closed."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _hand_over(options: Options, finished: Report, console: Console) -> None:
    report.show(console, finished)
    if options.json_file is not None:
        options.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(finished)) + b"\n")
    if options.svg_file is not None:
        options.svg_file.write_text(chart.draw(finished))


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
