"""What one notices when little is asked: how long a message takes on its way, and what the house costs while idle."""

import asyncio
import statistics
import time
from typing import Any, Final, NamedTuple

import asyncpg

from bench import traffic
from bench.compare import alternate
from bench.errors import BenchFailed
from bench.results import RowResult, compare_figures, own_figure
from bench.sinks.remote import Sink
from bench.stage import Stage
from bench.ways import EMAIL
from channels.smtp_session import Session, Timeouts, Transaction, open_session, take_leave
from channels.smtp_transaction import converse
from channels.smtp_url import parse_smtp_url

LATENCY: Final = "idle/latency"
LATENCY_P99: Final = "idle/latency-p99"
CPU: Final = "idle/cpu"
MEMORY: Final = "memory"
_SAMPLES: Final = 100
_WARM: Final = 20
_PAUSE_S: Final = 0.03
"""Between two messages, so that the second finds everybody waiting for work, and nothing left of the first."""
_ARRIVES_S: Final = 10.0
_SETTLES_S: Final = 3.0
_IDLE_S: Final = 10.0
_LOOK_S: Final = 0.05
_NO_LOAD: Final = ("client",)
_RIVAL: Final = "one commit and one mail on an open connection"


class _Times(NamedTuple):
    """Milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "_Times":
        """The median, and what one in a hundred exceeds."""
        return cls(*(1000 * each for each in (statistics.median(seconds), percentile(seconds, 0.99))))


def percentile(seconds: list[float], share: float) -> float:
    """The least of them that at least that share of them does not exceed."""
    return sorted(seconds)[max(0, -int(-len(seconds) * share // 1) - 1)]


async def latency(stage: Stage) -> list[RowResult]:
    """From a request to the mail at the sink, one at a time, beside the least that must happen in between."""
    samples = min(_SAMPLES, stage.size.messages)
    async with _Bare(stage) as bare:
        stage.say("warming up")
        await _ours(stage, _WARM)
        await bare.take(_WARM)
        ours, against = await alternate(
            stage.size.pairs, lambda: _ours(stage, samples), lambda: bare.take(samples), stage.say
        )
    return [
        compare_figures(row_id, mine, theirs, rival=_RIVAL, unit="ms", messages=samples)
        for row_id, mine, theirs in (
            (LATENCY, [each.p50 for each in ours], [each.p50 for each in against]),
            (LATENCY_P99, [each.p99 for each in ours], [each.p99 for each in against]),
        )
    ]


async def _ours(stage: Stage, samples: int) -> _Times:
    sink = stage.house.sinks["smtp"]
    await sink.reset()
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.house.port)
    try:
        seconds: list[float] = []
        for number, request in enumerate(stage.pipeline.single_requests(EMAIL, samples), 1):
            began = time.monotonic()
            writer.write(request)
            await _read_answer(reader)
            seconds.append(await _arrived(sink, number) - began)
    finally:
        writer.close()
        await writer.wait_closed()
    await stage.pipeline.drained(EMAIL)
    return _Times.of(seconds)


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200 "):
        raise BenchFailed(f"the API did not take a message: {head!r}")
    _, _, length = head.partition(b"\r\ncontent-length:")
    await reader.readexactly(int(length.partition(b"\r\n")[0]))


async def _arrived(sink: Sink, number: int) -> float:
    """When the mail of this number came; then a pause."""
    try:
        counted = await sink.wait(number, _ARRIVES_S)
    except TimeoutError:
        raise BenchFailed(f"a mail did not arrive within {_ARRIVES_S:.0f} s") from None
    await asyncio.sleep(_PAUSE_S)
    return counted.last_at


class _Bare:
    """What cannot be left out: the message is committed, and a mail goes over a connection that is open."""

    def __init__(self, stage: Stage) -> None:
        self._sink = stage.house.sinks["smtp"]
        self._url = stage.ground.postgres.url
        self._database: Any = None
        self._session: Session | None = None

    async def __aenter__(self) -> "_Bare":
        self._database = await asyncpg.connect(self._url)
        await self._database.execute("CREATE TABLE IF NOT EXISTS bare_messages (recipient text, content bytea)")
        server = parse_smtp_url(f"smtp+plain://127.0.0.1:{self._sink.port}")
        self._session = await open_session(server, None, "bench.example.org", Timeouts())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._session is not None:
            take_leave(self._session)
        await self._database.close()

    async def take(self, samples: int) -> _Times:
        """The times of so many, one after another."""
        if self._session is None:
            raise BenchFailed("no connection is open")
        await self._sink.reset()
        seconds: list[float] = []
        for number, mail in enumerate(traffic.finished_mails(samples), 1):
            began = time.monotonic()
            await self._database.execute("INSERT INTO bare_messages VALUES ($1, $2)", mail.recipient, mail.content)
            await converse(self._session, Transaction(traffic.SENDER, mail.recipient, mail.content, _proceed))
            seconds.append(await _arrived(self._sink, number) - began)
        return _Times.of(seconds)


def _proceed() -> None:
    """Nobody else could have the mail."""


async def cpu(stage: Stage) -> list[RowResult]:
    """What all processes of the house use of a core while nothing is asked of them, in per cent."""
    await asyncio.sleep(_SETTLES_S)
    seen: list[float] = []
    shares: dict[str, float] = {}
    for number in range(stage.size.pairs):
        stage.say(f"{number + 1} of {stage.size.pairs}, {_IDLE_S:g} s of doing nothing")
        before, began = stage.house.cpu_seconds(), time.monotonic()
        await asyncio.sleep(_IDLE_S)
        passed = time.monotonic() - began
        used = {name: 100 * (now - before[name]) / passed for name, now in stage.house.cpu_seconds().items()}
        shares = {f"{name} %": share for name, share in used.items() if name not in _NO_LOAD and "sink" not in name}
        seen.append(sum(shares.values()))
    return [own_figure(CPU, seen, unit="%", figures=shares)]


async def memory(stage: Stage) -> list[RowResult]:
    """The resident memory of a worker process: before, at full load, and after."""
    peaks: list[float] = []
    before = after = 0.0
    for number in range(stage.size.pairs):
        stage.say(f"{number + 1} of {stage.size.pairs}, at full load")
        before = before or _mebibytes(stage)
        load = asyncio.ensure_future(stage.pipeline.run(EMAIL, stage.size.messages))
        peak = _mebibytes(stage)
        while not load.done():
            await asyncio.wait([load], timeout=_LOOK_S)
            peak = max(peak, _mebibytes(stage))
        await load
        peaks.append(peak)
        after = _mebibytes(stage)
    figures = {"before MiB": before, "after MiB": after}
    return [own_figure(MEMORY, peaks, unit="MiB", messages=stage.size.messages, figures=figures)]


def _mebibytes(stage: Stage) -> float:
    return stage.house.worker_bytes() / 2**20
