"""Where the demo's messages end: a mail server and an HTTP server in its own process, which keep what they get."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final, Self, cast

from aiosmtpd.smtp import SMTP, Envelope, Session
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

MAX_MAIL_BYTES: Final = 20 * 1024 * 1024
_NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it came: its envelope and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Hook:
    """An HTTP request as it came (Unix seconds). ``path`` names the contact; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    received_at: float


@dataclass(slots=True)
class Arrivals:
    """Everything that arrived, in order. ``news`` is set at each arrival; whoever waits clears it."""

    mails: list[Mail] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class _Handler:
    """The part of aiosmtpd that a server fills in."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the mail, say that it is accepted."""
        raw = envelope.original_content or b""
        self._arrivals.mails.append(Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), raw))
        self._arrivals.news.set()
        return "250 2.0.0 accepted"


class _HttpConnection(asyncio.Protocol):
    """One HTTP/1.1 connection: every request is kept and answered with 204. httptools calls the ``on_`` methods."""

    def __init__(self, arrivals: Arrivals, open_ones: set[asyncio.Transport]) -> None:
        self._arrivals = arrivals
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
        """The request is whole: keep it and say so."""
        path = parse_url(self._url).path.decode("latin-1")
        self._arrivals.hooks.append(Hook(path, self._headers, self._body, time.time()))
        self._arrivals.news.set()
        self._transport.write(_NO_CONTENT)
        if not self._parser.should_keep_alive():
            self._transport.close()


class Sinks:
    """Both servers on free ports of the loopback interface."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.smtp_port = 0
        self.http_port = 0
        self._smtp: asyncio.Server | None = None
        self._http: asyncio.Server | None = None
        self._http_lines: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        handler = _Handler(self.arrivals)
        self._smtp = await loop.create_server(
            lambda: SMTP(handler, hostname="sink.example", enable_SMTPUTF8=True, data_size_limit=MAX_MAIL_BYTES),
            host="127.0.0.1",
            port=0,
        )
        self.smtp_port = self._smtp.sockets[0].getsockname()[1]
        self._http = await loop.create_server(
            lambda: _HttpConnection(self.arrivals, self._http_lines), host="127.0.0.1", port=0
        )
        self.http_port = self._http.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._smtp is not None:
            self._smtp.close()
        if self._http is not None:
            self._http.close()
        for line in list(self._http_lines):
            line.close()
