"""A small HTTP/1.1 server for the demo's sinks: it hands every request to a function, which says the answer."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came (Unix seconds). Header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    received_at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. The length of the body is told in any case."""

    status: HTTPStatus
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The answer on the line (RFC 9112)."""
        headers = dict(self.headers)
        if self.status is not HTTPStatus.NO_CONTENT:  # which must not tell one (RFC 9110, section 8.6)
            headers["Content-Length"] = str(len(self.body))
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n{fields}\r\n"
        return head.encode("latin-1") + self.body


Handler = Callable[[Request], Answer]


class _Connection(asyncio.Protocol):
    """One line. httptools calls the ``on_`` methods."""

    def __init__(self, handler: Handler, open_ones: set[asyncio.Transport]) -> None:
        self._handler = handler
        self._open_ones = open_ones
        self._parser = HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the line, to answer on it."""
        # cast: asyncio calls with its widest type, whatever kind of line it is.
        self._transport = cast(asyncio.Transport, transport)
        self._open_ones.add(self._transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the line."""
        self._open_ones.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Read on; what is no HTTP, or asks for another protocol, ends the line."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self._body = b"", {}, b""

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The request is whole: answer it."""
        path = parse_url(self._url).path.decode("latin-1")
        answer = self._handler(Request(path, self._headers, self._body, time.time()))
        self._transport.write(answer.encode())
        if not self._parser.should_keep_alive():
            self._transport.close()


class HttpServer:
    """Listens on a free port of the loopback interface while it is entered."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._lines: set[asyncio.Transport] = set()
        self._port = 0

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://{_LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self._handler, self._lines), host=_LOOPBACK, port=0
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for line in list(self._lines):
            line.close()
