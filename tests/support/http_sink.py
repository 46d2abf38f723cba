"""An HTTP server that keeps what it is given and answers as it is told."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

Drop = Literal["before", "after"]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: CIMultiDictProxy[str]
    body: bytes
    at: float
    """When it had come, by ``time.monotonic``."""

    def json(self) -> Any:
        """The body, read as JSON."""
        return msgspec.json.decode(self.body)


@dataclass
class _Rule:
    path: str | None
    status: int
    headers: Mapping[str, str]
    body: bytes
    delay_s: float
    drop: Drop | None
    times: int | None


@dataclass
class HttpSink:
    """What to connect to, and what came."""

    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        """The address of ``path`` here."""
        return f"{self.scheme}://{self.host}:{self.port}{path}"

    def script(
        self,
        status: int = 200,
        *,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        delay_s: float = 0.0,
        drop: Drop | None = None,
        times: int | None = None,
    ) -> None:
        """From now on, at ``path`` or everywhere: wait ``delay_s``, then cut the line or give this answer.

        ``drop="before"`` cuts it before the request is kept, ``"after"`` once it is. The rule holds for the next
        ``times`` requests. The latest rule that fits wins.
        """
        self._rules.append(_Rule(path, status, headers or {}, body, delay_s, drop, times))

    def received_at(self, path: str) -> list[Request]:
        """The requests for one path."""
        return [request for request in self.requests if request.path == path]

    def _rule(self, path: str) -> _Rule | None:
        for rule in reversed(self._rules):
            if rule.path in (None, path) and rule.times != 0:
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        rule = self._rule(request.path)
        if rule is not None and rule.drop == "before":
            return _cut(request)
        body = await request.read()
        headers = CIMultiDictProxy(CIMultiDict(request.headers))
        query = request.query_string
        self.requests.append(Request(request.method, request.path, query, headers, body, time.monotonic()))
        if rule is None:
            return web.Response()
        await asyncio.sleep(rule.delay_s)
        if rule.drop == "after":
            return _cut(request)
        return web.Response(status=rule.status, headers=rule.headers, body=rule.body)


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@contextlib.asynccontextmanager
async def running(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpSink]:
    """A sink on a free port of this event loop."""
    sink = HttpSink(scheme="https" if tls else "http")
    runner = web.ServerRunner(web.Server(sink._answer), handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, sink.host, 0, ssl_context=tls)
    await site.start()
    sink.port = runner.addresses[0][1]
    try:
        yield sink
    finally:
        await runner.cleanup()
