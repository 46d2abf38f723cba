"""The bench, tiny: it counts rightly, compares like with like, and leaves nothing behind. No speed is asserted."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import postgres
from bench.errors import BenchFailed
from bench.floors import aiohttp_loop, aiosmtplib_loop, raw_http, raw_smtp
from bench.floors.task import Task
from bench.processes import Children
from bench.results import Measured, summarise
from bench.sinks import remote
from bench.sinks.remote import Sink
from models.session import Database
from tests.support.commands import WIREROOM, command_of, lives, wireroom
from tests.support.processes import free_environment, short_folder
from tests.support.waiting import wait_until

MESSAGES = 100


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path, free_environment()) as started:
        yield started


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that the database's user may enter, which is not ours where we are root."""
    with short_folder() as folder:
        yield folder


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def bench(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(WIREROOM, "bench", *arguments),
        env=free_environment() | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def test_a_whole_bench(tmp_path: Path, public_folder: Path) -> None:
    file = tmp_path / "figures.json"
    process = await bench("--pairs", "1", "--messages", str(MESSAGES), "--json", str(file), TMPDIR=str(public_folder))
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    figures: dict[str, Any] = json.loads(file.read_bytes())
    *sent, reported, unnested, repeated = figures["rows"]
    assert [row["id"] for row in sent] == ["email/aiosmtplib", "webhook/aiohttp"]
    assert [row["id"] for row in (reported, unnested)] == ["ingest/insert", "ingest/unnest"]
    assert repeated["id"] == "ingest duplicates/new"
    assert reported["messages"] == repeated["messages"] == 4_000
    assert reported["ours"] == unnested["ours"] == repeated["against"]
    for row in sent:
        assert len(row["pairs"]) == 1
        assert row["messages"] == MESSAGES
        assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
        # The same work on both sides: names of other lengths are all that may differ.
        assert row["size"] == pytest.approx(row["size_against"], rel=0.02)
        assert row["cpu"]["worker"] > 0
    assert {"python", "pgo", "cores", "fsync_us", "database"} <= set(figures["machine"])
    assert left_in(public_folder) == []


async def test_an_interrupted_bench_stops_what_it_started(public_folder: Path) -> None:
    process = await bench("--messages", "20000", TMPDIR=str(public_folder))
    running = psutil.Process(process.pid)
    started: set[psutil.Process] = set()

    def worker_runs() -> bool:
        started.update(running.children(recursive=True))
        return any("dramatiq" in command_of(child) for child in started)

    try:
        await wait_until(worker_runs, timeout=60)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
    assert process.returncode == 130, output.decode()
    await wait_until(lambda: not [child for child in started if lives(child)])
    assert left_in(public_folder) == []


async def test_its_options_are_the_commands_own() -> None:
    helped = await wireroom("bench", "--help")
    assert (helped.code, helped.err) == (0, "")
    assert "--quick" in helped.out
    refused = await wireroom("bench", "--only", "email/pigeon")
    assert refused.code == 2
    assert "no row email/pigeon" in refused.err


async def test_a_missing_library_is_named_with_the_mend() -> None:
    # To Python, a module that is None in sys.modules is not installed.
    script = "import sys; sys.modules['psutil'] = None; from wireroom.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", script, "bench"),
        env=free_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err == b"wireroom: the bench needs psutil: pip install 'wireroom[bench]', in a checkout make install\n"


@pytest.mark.parametrize(
    ("kind", "loop"), [("smtp", aiosmtplib_loop), ("smtp", raw_smtp), ("http", aiohttp_loop), ("http", raw_http)]
)
async def test_a_bare_loop_sends_each_message_once(children: Children, kind: str, loop: Any) -> None:
    sink = remote.start(children, kind)
    done = await loop.run(Task(port=sink.port, messages=MESSAGES, connections=5))
    counted = await sink.require(MESSAGES)
    assert counted.size > 100 * MESSAGES
    assert done.seconds > 0


async def speak(sink: Sink, *pieces: bytes) -> None:
    """Write the pieces, one packet each, then hang up once the sink has read them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()


def mail(message_id: str) -> bytes:
    return f"To: a@example.org\r\nX-Wireroom-Message: {message_id}; run=1\r\n\r\nHello.\r\n.\r\n".encode()


async def test_a_mail_sink_sees_through_a_doubled_message(children: Children) -> None:
    sink = remote.start(children, "smtp")
    envelope = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    whole = b"EHLO me\r\n" + b"".join(envelope + mail(each) for each in ("msg_1", "msg_2", "msg_2"))
    await speak(sink, *(whole[start : start + 7] for start in range(0, len(whole), 7)))
    counted = await sink.wait(2, timeout_s=40)
    assert (counted.messages, counted.unique) == (3, 2)
    with pytest.raises(BenchFailed, match="3 messages were sent; the sink has 3, 2 of them different"):
        await sink.require(3)
    await sink.reset()
    assert (await sink.count()).messages == 0


async def test_a_web_sink_sees_through_a_doubled_message(children: Children) -> None:
    sink = remote.start(children, "http")
    request = "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nWebhook-Id: {}\r\n\r\n12345"
    whole = "".join(request.format(each) for each in ("msg_1", "msg_2", "msg_2")).encode()
    await speak(sink, *(whole[start : start + 7] for start in range(0, len(whole), 7)))
    counted = await sink.wait(2, timeout_s=40)
    assert (counted.messages, counted.unique, counted.size) == (3, 2, 15)


async def test_a_database_that_may_lose_commits_is_refused(postgres_url: str) -> None:
    database = Database.connect(postgres_url)
    try:
        with pytest.raises(BenchFailed, match="fsync, full_page_writes, synchronous_commit off"):
            await postgres.require_durable(database)
    finally:
        await database.close()


def test_a_ratio_is_the_median_of_the_pairs() -> None:
    def runs(process: str, *seconds: float) -> list[Measured]:
        return [Measured(100, each, {process: each}, 1000) for each in seconds]

    row = summarise("x", ours=runs("worker", 1.0, 2.0, 4.0), against=runs("bare loop", 1.0, 1.0, 1.0), sink_rate=1000.0)
    assert [pair.ratio for pair in row.pairs] == [1.0, 0.5, 0.25]
    assert (row.ours, row.against, row.ratio, row.spread) == (50.0, 100.0, 0.5, (0.25, 1.0))
    assert row.cpu == {"worker": pytest.approx(23.3333)}
    assert row.cpu_ratio == pytest.approx(10 / 23.3333, abs=0.001)
    assert row.sink is not None
    assert row.sink.times == 10.0
