"""An HTTP server that keeps what it is given and answers as it is told."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from tests.support.door import Door, Dropping, WebServer, drop

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
    peer: str = ""
    """The address that it came from."""

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
    dropping: Dropping | None


@dataclass
class HttpSink:
    """What to connect to, and what came."""

    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    door: Door = field(default_factory=Door)
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
        dropping: Dropping | None = None,
    ) -> None:
        """From now on, at ``path`` or everywhere: wait ``delay_s``, then cut the line or give this answer.

        ``drop="before"`` cuts it before the request is kept, ``"after"`` once it is; ``dropping`` is called with
        the client's port just before. The rule holds for the next ``times`` requests. The latest rule that fits wins.
        """
        self._rules.append(_Rule(path, status, headers or {}, body, delay_s, drop, times, dropping))

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
            return _cut(request, rule.dropping)
        body = await request.read()
        headers = CIMultiDictProxy(CIMultiDict(request.headers))
        query = request.query_string
        peer = request.remote or ""
        self.requests.append(Request(request.method, request.path, query, headers, body, time.monotonic(), peer))
        if rule is None:
            return web.Response()
        await asyncio.sleep(rule.delay_s)
        if rule.drop == "after":
            return _cut(request, rule.dropping)
        return web.Response(status=rule.status, headers=rule.headers, body=rule.body)


def _cut(request: web.BaseRequest, dropping: Dropping | None) -> web.StreamResponse:
    drop(request.transport, dropping)
    return web.Response()


@contextlib.asynccontextmanager
async def running(
    *, tls: ssl.SSLContext | None = None, listeners: Sequence[socket.socket] = ()
) -> AsyncIterator[HttpSink]:
    """A sink on a free port, or on the ``listeners``, of this event loop."""
    sink = HttpSink(scheme="https" if tls else "http")
    server = WebServer(sink.door, sink._answer)
    runner = web.ServerRunner(server, handle_signals=False, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    for listener in listeners or [socket.create_server((sink.host, 0))]:
        await web.SockSite(runner, listener, ssl_context=tls).start()
    sink.host, sink.port = runner.addresses[0]
    try:
        yield sink
    finally:
        await runner.cleanup()
