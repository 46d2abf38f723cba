"""A worker's or the keeper's own ``GET /metrics``, beside its work and on its event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Final, cast

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from models import metrics
from models.metrics import Family, Page
from worker.settings import MetricsSettings

_LOOK_AGAIN_S: Final = 5.0
_MOST_AT_ONCE: Final = 20
_LONGEST_S: Final = 10.0
_MOST_BYTES: Final = 64 << 10
_DRAIN_S: Final = 1

log = structlog.get_logger(__name__)


class MetricsServer:
    """Answers with ``families``. While no port is free it waits for one, and the work goes on."""

    def __init__(
        self,
        settings: MetricsSettings,
        families: Sequence[Family],
        *,
        look_again_s: float = _LOOK_AGAIN_S,
        longest_s: float = _LONGEST_S,
    ) -> None:
        """``look_again_s``: how often it looks for a port while none is free. ``longest_s``: how long one may ask."""
        self._settings = settings
        self._families = families
        self._page = Page()
        self._look_again_s = look_again_s
        self._longest_s = longest_s
        self.port: int | None = None
        """Where it answers; None while it does not."""
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; called on the loop that it is to run on."""
        self._serving = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """Give the port back."""
        if self._serving is None:
            return
        if self._server is None:
            self._serving.cancel()
        else:
            self._server.should_exit = True
        await asyncio.wait({self._serving})

    async def _serve(self) -> None:
        listener = await self._listen()
        with listener:
            app = Starlette(routes=[Route("/metrics", self._answer)])
            config = uvicorn.Config(
                app,
                http=_protocol(self._longest_s),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=_MOST_AT_ONCE,
                timeout_graceful_shutdown=_DRAIN_S,
            )
            self._server = _Server(config)
            self.port = listener.getsockname()[1]
            log.info("metrics.listens", port=self.port)
            await self._server.serve(sockets=[listener])

    async def _listen(self) -> socket.socket:
        """The first port that is free, as soon as one is."""
        said, reason = False, None
        while True:
            for port in self._settings.ports:
                try:
                    return _bound(self._settings.host, port)
                except OSError as error:
                    reason = error.strerror
            if not said:
                log.warning("WIREROOM_METRICS_BIND: no port is free; looking again", error=reason)
                said = True
            await asyncio.sleep(self._look_again_s)

    async def _answer(self, _request: Request) -> Response:
        shown = self._page.text(lambda: self._families)
        return Response(shown, headers={"Connection": "close"}, media_type=metrics.CONTENT_TYPE)


def _protocol(longest_s: float) -> type[HttpToolsProtocol]:
    """HTTP/1.1 on connections that live so long at most: those that never ask would leave no room for others.

    They say little, too: the parser would keep a head of any length.
    """

    class Brief(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # cast: uvicorn asks for more than asyncio says that it gives.
            super().connection_made(cast(asyncio.Transport, transport))
            self._end = self.loop.call_later(longest_s, self.transport.abort)
            self._left = _MOST_BYTES

        def data_received(self, data: bytes) -> None:
            self._left -= len(data)
            if self._left < 0:
                self.transport.abort()
            else:
                super().data_received(data)

        def connection_lost(self, exc: Exception | None) -> None:
            self._end.cancel()
            super().connection_lost(exc)

    return Brief


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever works here."""
        yield


def _bound(host: str, port: int) -> socket.socket:
    """A socket of this process alone: two that share a port would answer for each other in turn. Raises OSError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
