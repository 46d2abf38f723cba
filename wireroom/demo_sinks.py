"""Where the demo's messages end: a mail server and an HTTP server in its own process, which keep what they get."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final, Self

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MAIL_BYTES: Final = 20 * 1024 * 1024


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


class Sinks:
    """Both servers on free ports of the loopback interface."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.smtp_port = 0
        self.http_port = 0
        self._smtp: asyncio.Server | None = None
        self._http: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        handler = _Handler(self.arrivals)
        self._smtp = await loop.create_server(
            lambda: SMTP(handler, hostname="sink.example", enable_SMTPUTF8=True, data_size_limit=MAX_MAIL_BYTES),
            host="127.0.0.1",
            port=0,
        )
        self.smtp_port = self._smtp.sockets[0].getsockname()[1]
        application = web.Application()
        application.router.add_post("/{tail:.*}", self._take_hook)
        self._http = web.AppRunner(application, access_log=None)
        await self._http.setup()
        site = web.TCPSite(self._http, "127.0.0.1", 0)
        await site.start()
        self.http_port = self._http.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._smtp is not None:
            self._smtp.close()
        if self._http is not None:
            await self._http.cleanup()

    async def _take_hook(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.arrivals.hooks.append(Hook(request.path, headers, await request.read(), time.time()))
        self.arrivals.news.set()
        return web.Response(status=204)
