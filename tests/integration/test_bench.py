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
from bench.floors import aiohttp_loop, aiosmtplib_loop, pipelined_loop, raw_http, raw_smtp
from bench.floors.task import Task
from bench.processes import Children
from bench.sinks import remote
from bench.sinks.remote import Sink
from models.session import Database
from tests.support.commands import WIREROOM, command_of, lives, wireroom
from tests.support.processes import free_environment, short_folder
from tests.support.waiting import wait_until

MESSAGES = 100
SENT = ("email/pipelined", "webhook/aiohttp", "email/aiosmtplib@sqlite")
TAKEN_IN = ("post/echo", "intake/insert")
REPORTED = ("ingest/insert", "ingest duplicates/new")
FIGURES = ("memory",)


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


@pytest.mark.timeout(400)  # nine rows, each with houses of its own
async def test_a_whole_bench(tmp_path: Path, public_folder: Path) -> None:
    files = ("--json", str(tmp_path / "figures.json"), "--svg", str(tmp_path / "figures.svg"))
    wanted = [part for row_id in (*SENT, *TAKEN_IN, *REPORTED, *FIGURES) for part in ("--only", row_id)]
    process = await bench("--pairs", "1", "--messages", str(MESSAGES), *files, *wanted, TMPDIR=str(public_folder))
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_bytes())
    rows = {row["id"]: row for row in figures["rows"]}
    assert set(rows) == {*SENT, *TAKEN_IN, *REPORTED, *FIGURES}
    assert rows["ingest/insert"]["messages"] == 4_000
    assert rows["ingest/insert"]["ours"] == rows["ingest duplicates/new"]["against"]
    for row_id in (*SENT, *TAKEN_IN, *REPORTED):
        row = rows[row_id]
        assert len(row["pairs"]) == 1
        assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
        assert row["cpu"]
        assert row["cpu_against"]
    for row_id in SENT:
        row = rows[row_id]
        assert row["messages"] == MESSAGES
        # The same work on both sides: names of other lengths are all that may differ.
        assert row["size"] == pytest.approx(row["size_against"], rel=0.02)
        assert row["cpu"]["worker"] > 0
    assert rows["memory"]["ours"] >= rows["memory"]["figures"]["before MiB"] > 1
    assert rows["memory"]["ratio"] is None
    assert {"python", "pgo", "cores", "fsync_us", "database"} <= set(figures["machine"])
    assert "email/pipelined" in (tmp_path / "figures.svg").read_text()
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
    ("kind", "loop"),
    [
        ("smtp", aiosmtplib_loop),
        ("smtp", pipelined_loop),
        ("smtp", raw_smtp),
        ("http", aiohttp_loop),
        ("http", raw_http),
    ],
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
