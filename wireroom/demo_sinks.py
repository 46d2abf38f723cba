"""Where the demo's messages end: servers in its own process that keep what they get."""

import asyncio
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Final, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from wireroom.demo_arrivals import Arrivals, Mail
from wireroom.demo_bot import BotApi
from wireroom.demo_http import Answer, HttpServer, Request
from wireroom.demo_push import PushService

MAX_MAIL_BYTES: Final = 20 * 1024 * 1024


class _Handler:
    """The part of aiosmtpd that a server fills in."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the mail, say that it is accepted."""
        raw = envelope.original_content or b""
        self._arrivals.mails.append(Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), raw))
        return "250 2.0.0 accepted"


class Sinks:
    """A mail server, an endpoint for webhooks, a push service and a Bot API on free ports of the loopback interface."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.push_service = PushService(self.arrivals.pushes)
        self.smtp_port = 0
        self.hooks = HttpServer(self._keep_hook)
        self.pushes = HttpServer(self.push_service.answer)
        self.bot_api = HttpServer(BotApi(self.arrivals.chats).answer)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        handler = _Handler(self.arrivals)
        smtp = await asyncio.get_running_loop().create_server(
            lambda: SMTP(handler, hostname="sink.example", enable_SMTPUTF8=True, data_size_limit=MAX_MAIL_BYTES),
            host="127.0.0.1",
            port=0,
        )
        self._open.callback(smtp.close)
        self.smtp_port = smtp.sockets[0].getsockname()[1]
        for server in (self.hooks, self.pushes, self.bot_api):
            await self._open.enter_async_context(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def _keep_hook(self, request: Request) -> Answer:
        self.arrivals.hooks.append(request)
        return Answer(HTTPStatus.NO_CONTENT)
