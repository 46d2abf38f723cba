"""What comes in: single requests beside batches, beside a server that only echoes, and batches beside a bare insert."""

import sys
import time
from collections.abc import Mapping
from typing import Final

from bench.compare import alternate
from bench.floors import raw
from bench.floors.insert_loop import Copied, Form, InsertTask
from bench.processes import Process, cpu_seconds, pinned
from bench.results import WORKER, Measured, Rival, RowResult, summarise
from bench.stage import Stage
from bench.ways import EMAIL
from wireroom.ports import free_port

CLIENTS: Final = 64
_POSTING: Final = 2
"""Clients that post batches at once, and as many connections of the bare insert."""
_AT_ONCE: Final = 500
"""Messages of a batch, and rows of a statement."""
_TABLES: Final = (Copied("messages", "id"), Copied("message_details", "message_id"))
_SERVER: Final = "echo server"
_TAKING: Final = ("api",)
_STORING: Final = ("api", "database")


async def singles(stage: Stage) -> list[RowResult]:
    """Mails from single requests of many clients beside the same mails from batches, both to the last status."""
    pipeline, count = stage.pipeline, stage.size.messages
    stage.say("warming up")
    await pipeline.run(EMAIL, stage.size.warm_up, pipeline.singles(EMAIL, stage.size.warm_up, CLIENTS))
    ours, against = await alternate(
        stage.size.pairs,
        lambda: pipeline.run(EMAIL, count, pipeline.singles(EMAIL, count, CLIENTS)),
        lambda: pipeline.run(EMAIL, count),
        stage.say,
    )
    return [summarise("email/single", ours, against, Rival("the same in batches", WORKER))]


async def echo(stage: Stage) -> list[RowResult]:
    """Single requests until each is answered, with its row durable, beside the same server that echoes the JSON."""
    pipeline, count = stage.pipeline, stage.size.messages
    with stage.house.without_worker(), stage.house.api_on_the_sending_core():
        server, port = _start_echo(stage)
        try:
            stage.say("warming up")
            await pipeline.take_in(stage.size.warm_up, pipeline.singles(EMAIL, stage.size.warm_up, CLIENTS))
            await _echo(stage, server, port, stage.size.warm_up)
            ours, against = await alternate(
                stage.size.pairs,
                lambda: pipeline.take_in(count, pipeline.singles(EMAIL, count, CLIENTS)),
                lambda: _echo(stage, server, port, count),
                stage.say,
            )
        finally:
            stage.ground.children.stop(server)
    await _drain(stage)
    rival = "the same server, echoing without a database"
    return [summarise("post/echo", ours, against, Rival(rival), working=_TAKING, unit="requests/s")]


async def batches(stage: Stage) -> list[RowResult]:
    """Batches until each is answered, with its rows durable, beside the same rows from a bare client."""
    pipeline, count = stage.pipeline, max(_AT_ONCE, stage.size.messages // _AT_ONCE * _AT_ONCE)
    with stage.house.without_worker(), stage.house.api_on_the_sending_core():
        stage.say("warming up")
        # A whole run's: the bare insert comes first, and needs as many rows to insert once more.
        await pipeline.take_in(count, pipeline.batches(EMAIL, count, _POSTING))
        ours, against = await alternate(
            stage.size.pairs,
            lambda: pipeline.take_in(count, pipeline.batches(EMAIL, count, _POSTING)),
            lambda: _insert(stage, count),
            stage.say,
        )
    await _drain(stage)
    rival = "a multi-row insert of the same rows"
    return [summarise("intake/insert", ours, against, Rival(rival), working=_STORING)]


async def _drain(stage: Stage) -> None:
    """Let the worker send what was only taken in, so that the next row begins with nothing."""
    stage.say("sending what was taken in")
    await stage.pipeline.drained(EMAIL)


def _start_echo(stage: Stage) -> tuple[Process, int]:
    port = free_port()
    children = stage.ground.children
    children.log_path(_SERVER).unlink(missing_ok=True)
    with pinned(stage.ground.cores.sending):
        process = children.start(_SERVER, [sys.executable, "-P", "-m", "bench.floors.echo_server", str(port)])
    log = children.log_path(_SERVER)
    children.wait_ready(_SERVER, process, lambda: b"ready" in log.read_bytes().splitlines())
    return process, port


async def _echo(stage: Stage, server: Process, port: int, count: int) -> Measured:
    waiting = iter(stage.pipeline.single_requests(EMAIL, count))
    before = cpu_seconds(server.pid)
    began = time.perf_counter()
    await raw.write_all(port, [raw.one_by_one(waiting) for _ in range(CLIENTS)], raw.ACCEPTED)
    seconds = time.perf_counter() - began
    return Measured(count, seconds, {"echo server": cpu_seconds(server.pid) - before}, 0)


async def _insert(stage: Stage, count: int) -> Measured:
    before = stage.house.cpu_seconds()["database"]
    url = stage.house.settings["WIREROOM_DATABASE_URL"]
    done = await stage.bare(
        "bench.floors.insert_loop", InsertTask(url, count, Form.VALUES, _POSTING, _TABLES, _AT_ONCE)
    )
    used: Mapping[str, float] = {
        "bare loop": done.cpu_seconds,
        "database": stage.house.cpu_seconds()["database"] - before,
    }
    return Measured(count, done.seconds, used, 0)
