"""The peers of all channels on this event loop, each of which notes in the ledger what it has taken."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeVar

from models.vocabulary import Channel
from tests.faults.ledger import Ledger
from tests.support import bot_api, http_sink, push_service, smtp_sink
from tests.support.bot_api import BotApi, Sent
from tests.support.http_sink import HttpSink, Request
from tests.support.push_service import PushService
from tests.support.smtp_sink import Mail, SmtpSink

T = TypeVar("T")


class Noting(list[T]):
    """A list that tells of what is appended, and keeps none of it: the ledger does."""

    def __init__(self, note: Callable[[T], None]) -> None:
        super().__init__()
        self._note = note

    def append(self, item: T) -> None:
        self._note(item)
        self[:] = [item]


@dataclass(frozen=True)
class Sinks:
    """What to send to."""

    mail: SmtpSink
    web: HttpSink
    push: PushService
    bot: BotApi


@contextlib.asynccontextmanager
async def running(ledger: Ledger) -> AsyncIterator[Sinks]:
    """All of them."""
    async with contextlib.AsyncExitStack() as stack:
        sinks = Sinks(
            await stack.enter_async_context(smtp_sink.running()),
            await stack.enter_async_context(http_sink.running()),
            await stack.enter_async_context(push_service.running()),
            await stack.enter_async_context(bot_api.running()),
        )

        def mail(taken: Mail) -> None:
            ledger.note(Channel.EMAIL, taken.data.decode("latin-1"))

        def web(taken: Request) -> None:
            ledger.note(Channel.WEBHOOK, taken.body.decode())

        def push(taken: Request) -> None:
            ledger.note(Channel.PUSH, sinks.push._read(taken).payload["body"])

        def bot(taken: Sent) -> None:
            ledger.note(Channel.TELEGRAM, taken.text)

        sinks.mail.mails = Noting(mail)
        sinks.web.requests = Noting(web)
        sinks.push.requests = Noting(push)
        sinks.bot.ledger = Noting(bot)
        yield sinks
