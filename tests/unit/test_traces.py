"""When traces are on, and what comes of a collector that is away: nothing."""

import asyncio
import subprocess
import sys
import time

import pytest
from structlog.testing import capture_logs

from models import traces
from models.errors import InvalidSetting
from models.settings import TraceSettings
from models.traces import Tracing
from models.traces_export import provider
from tests.support import collector
from tests.support.http_sink import HttpSink
from tests.support.processes import free_environment
from tests.support.waiting import wait_until

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
OWN = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
COLLECTOR = {BASE: "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        (COLLECTOR, "http://127.0.0.1:4318/v1/traces"),
        ({BASE: "https://collector.example/otlp/"}, "https://collector.example/otlp/v1/traces"),
        (COLLECTOR | {OWN: "http://127.0.0.1:9/mine"}, "http://127.0.0.1:9/mine"),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://127.0.0.1:4318/v1/traces"),
        ({}, None),
        ({BASE: " "}, None),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "True"}, None),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_spans_go_where_opentelemetrys_variables_say(environ: dict[str, str], endpoint: str | None) -> None:
    settings = TraceSettings.read(environ)
    assert (settings.endpoint if settings else None) == endpoint


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc'"),
        ({BASE: "user:geheim@collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_what_cannot_be_spoken_is_said_at_the_start(environ: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named) as raised:
        TraceSettings.read(environ)
    assert "geheim" not in str(raised.value)


def test_without_the_library_it_is_said_and_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "models.traces_export", None)  # as the import system has what is not to be found
    with capture_logs() as logs:
        assert traces.start("api", TraceSettings("http://127.0.0.1:9/v1/traces")) is None
    assert [line["event"] for line in logs] == ["traces.not_installed"]


def test_without_a_collector_the_library_is_not_loaded() -> None:
    code = (
        "import sys, worker.main, api_shim.app; from worker import traces;"
        "assert isinstance(traces.begin(None, {}), traces.NoTraces);"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=free_environment()
    )
    assert run.stdout == "[]\n"


def span(tracing: Tracing) -> None:
    tracing.begin("a", "CLIENT", {}, parent=None).end({})


async def test_a_collector_that_is_away_is_told_of_once(web_sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    web_sink.script(400)
    with capture_logs() as logs:
        tracing = Tracing(provider("a", web_sink.url(collector.PATH)))
        for refused in (1, 2, 3):
            span(tracing)
            await wait_until(lambda refused=refused: len(web_sink.requests) == refused)  # type: ignore[misc]
        web_sink.script(200)
        span(tracing)
        await wait_until(lambda: len(logs) == 2)
        await asyncio.to_thread(tracing.stop)
    assert [(line["event"], line.get("lost")) for line in logs] == [
        ("traces.collector_away", None),
        ("traces.collector_back", 3),
    ]


async def test_a_collector_that_hangs_holds_nobody_up(web_sink: HttpSink) -> None:
    """What does not fit into the queue is dropped, and the process ends without the rest."""
    web_sink.script(delay_s=60)
    code = (
        "import sys; from models.traces import Tracing; from models.traces_export import provider;"
        "tracing = Tracing(provider('a', sys.argv[1]), leaves_s=0.2);"
        "spans = [tracing.begin('a', 'CLIENT', {}, parent=None) for _ in range(1000)];"
        "[each.end({}) for each in spans]; input(); tracing.stop()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, web_sink.url(collector.PATH)),
        env={**free_environment(), "OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1"},
        stdin=subprocess.PIPE,
    )
    await wait_until(lambda: len(web_sink.requests) == 1, timeout=30)
    began = time.monotonic()
    await process.communicate(b"\n")
    assert process.returncode == 0
    assert time.monotonic() - began < 20
    assert len(web_sink.requests) == 1
