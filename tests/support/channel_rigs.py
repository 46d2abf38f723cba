"""A rig per channel: its real peer, how that peer is told what to do, and how what arrived is read back.

The contract suite asks all channels the same through these; what differs between them is said here.
"""

import contextlib
import html
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from email.message import EmailMessage
from typing import Any, Final
from uuid import NAMESPACE_DNS, uuid5

import msgspec

from channels.contract import Content, Envelope, InboxItem, Receipt
from channels.email import EmailChannel, EmailConfig
from channels.onsite import LARGEST_SUBJECT, OnsiteChannel, PreparedItem
from channels.plain_text import html_to_text
from channels.push import PushChannel, PushConfig
from channels.telegram import TelegramChannel, TelegramConfig
from channels.vapid import Vapid, new_key, parse_key
from channels.webhook import WebhookChannel, WebhookConfig
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason
from tests.support import bot_api, http_sink, push_service, smtp_sink
from tests.support.bot_api import BotApi, Sent
from tests.support.envelopes import Unlimited, envelope
from tests.support.html_seen import Seen
from tests.support.http_sink import HttpSink, Request
from tests.support.push_service import Push, PushService, Subscription
from tests.support.rigs import LONG_S, RETRY_AFTER_S, Arrived, Peer, Rig
from tests.support.smtp_sink import Mail, SmtpSink
from tests.support.webhooks import LOOPBACK

_HEADERS_THAT_ARE_STRUCTURE: Final = (
    (Content(body="Hi", headers={"X-A": "b\r\nX-Evil: 1"}), FailureReason.HEADER_INJECTION),
    (Content(body="Hi", headers={"X-A": "b\nc"}), FailureReason.HEADER_INJECTION),
    (Content(body="Hi", headers={"X-A": "b\0c"}), FailureReason.HEADER_INJECTION),
    (Content(body="Hi", headers={"X-A\r\nX-Evil": "1"}), FailureReason.HEADER_INJECTION),
    (Content(body="Hi", headers={"": "1"}), FailureReason.HEADER_INJECTION),
)


class EmailRig(Rig):
    """A mail server. Its answers quote the recipient, as real ones do."""

    name = ChannelName.EMAIL
    subject_takes_controls = False
    malformed = (
        *Rig.malformed,
        *_HEADERS_THAT_ARE_STRUCTURE,
        (Content(body="Hi", headers={"Message-ID": "<a@b>"}), FailureReason.HEADER_INJECTION),
        (Content(subject="a\r\nBcc: eve@example.net", body="Hi"), FailureReason.HEADER_INJECTION),
    )

    def __init__(self, port: int, sink: SmtpSink | None = None) -> None:
        self._sink = sink or SmtpSink(port=port)
        self.channel = EmailChannel(EmailConfig(f"smtp+plain://127.0.0.1:{port}", "Acme <news@example.org>"))

    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        address = f"{who}@example.net"
        match peer:
            case Peer.REFUSES_FOR_NOW:
                self._sink.script("RCPT", f"450 4.2.1 <{address}>: greylisted", recipient=address)
            case Peer.REFUSES_FOR_GOOD:
                self._sink.script("DOT", f"554 5.7.1 <{address}>: this is spam", recipient=address)
            case Peer.IS_DEAD:
                self._sink.script("RCPT", f"550 5.1.1 <{address}>: user unknown", recipient=address)
            case Peer.CUTS:
                self._sink.script("DOT", recipient=address, drop="after")
            case Peer.FALLS_SILENT:
                self._sink.script("DOT", recipient=address, delay_s=LONG_S)
            case Peer.ACCEPTS:
                pass
        return address

    def handed_over(self) -> int:
        return self._sink.commands.count("DOT")

    def arrived(self) -> list[Arrived]:
        return [self._read(mail) for mail in self._sink.mails]

    def shown(self, text: str) -> str:
        return re.sub(r"\r\n?", "\n", text)

    @staticmethod
    def _read(mail: Mail) -> Arrived:
        (recipient,) = mail.recipients
        message = mail.parsed()
        body = message.get_body(("html", "plain"))
        assert isinstance(body, EmailMessage)
        assert message["To"] == recipient
        return Arrived(
            address=recipient,
            id=message["Message-ID"],
            subject=message["Subject"],
            # Every body ends a line; what was said need not.
            body=body.get_content().replace("\r\n", "\n").removesuffix("\n"),
            structure=(*message.keys(), *(part.get_content_type() for part in message.walk())),
        )


class WebhookRig(Rig):
    """A web server."""

    name = ChannelName.WEBHOOK
    subject_takes_controls = True
    malformed = (
        *Rig.malformed,
        *_HEADERS_THAT_ARE_STRUCTURE,
        (Content(body="Hi", headers={"webhook-id": "msg_other"}), FailureReason.HEADER_INJECTION),
    )

    def __init__(self, port: int, sink: HttpSink | None = None) -> None:
        self._sink = sink or HttpSink(port=port)
        self.channel = WebhookChannel(WebhookConfig(LOOPBACK))

    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        path = f"/{who}"
        match peer:
            case Peer.REFUSES_FOR_NOW:
                self._sink.script(503, path=path, headers={"Retry-After": str(RETRY_AFTER_S)})
            case Peer.REFUSES_FOR_GOOD:
                # A receiver's only word for good is 410, which is about the address. Our own guard says no, too.
                return f"http://169.254.169.254{path}"
            case Peer.IS_DEAD:
                self._sink.script(410, path=path)
            case Peer.CUTS:
                self._sink.script(path=path, drop="after")
            case Peer.FALLS_SILENT:
                self._sink.script(path=path, delay_s=LONG_S)
            case Peer.ACCEPTS:
                pass
        return self._sink.url(path)

    def handed_over(self) -> int:
        return len(self._sink.requests)

    def arrived(self) -> list[Arrived]:
        return [self._read(request) for request in self._sink.requests]

    def shown(self, text: str) -> str:
        return text

    def _read(self, request: Request) -> Arrived:
        body = request.json()
        assert body["data"]["messageId"] == request.headers["webhook-id"]
        return Arrived(
            address=self._sink.url(request.path),
            id=request.headers["webhook-id"],
            subject=body["data"]["subject"],
            body=body["data"]["body"],
            structure=(*sorted(map(str.lower, request.headers)), *_keys(body)),
        )


class PushRig(Rig):
    """A push service. An address is the endpoint of a browser, the only one of its contact."""

    name = ChannelName.PUSH
    subject_takes_controls = True
    dead_is_hard = False
    most_bytes = 3000  # the addresses in a message have some of what it holds

    def __init__(self, port: int, service: PushService | None = None) -> None:
        self._service = service or PushService(port=port)
        self._browsers: dict[str, Subscription] = {}
        self.channel = PushChannel(
            PushConfig(LOOPBACK), Vapid(parse_key(push_service.encode(new_key()).encode()), "mailto:a@example.org")
        )

    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        path = f"/push/{who}"
        browser = self._browsers.get(path) or self._service.subscribe(path)
        self._browsers[path] = self._browsers[browser.endpoint] = browser
        match peer:
            case Peer.REFUSES_FOR_NOW:
                self._service.script(429, path=path, headers={"Retry-After": str(RETRY_AFTER_S)})
            case Peer.REFUSES_FOR_GOOD:
                # A push service refuses a message for good by its size alone. Our own guard says no, too.
                forbidden = f"http://169.254.169.254{path}"
                self._browsers[forbidden] = browser
                return forbidden
            case Peer.IS_DEAD:
                self._service.script(410, path=path)
            case Peer.CUTS:
                self._service.script(path=path, drop="after")
            case Peer.FALLS_SILENT:
                self._service.script(path=path, delay_s=LONG_S)
            case Peer.ACCEPTS:
                pass
        return browser.endpoint

    def envelope(self, address: str, **fields: Any) -> Envelope:
        browser = self._browsers[address].browser
        return envelope("", browsers=(msgspec.structs.replace(browser, endpoint=address),), **fields)

    def handed_over(self) -> int:
        return len(self._service.requests)

    def arrived(self) -> list[Arrived]:
        assert self._service.faults == []
        return [self._read(push) for push in self._service.pushes]

    def shown(self, text: str) -> str:
        return text

    def shown_html(self, source: str) -> str:
        return html_to_text(source)

    @staticmethod
    def _read(push: Push) -> Arrived:
        return Arrived(
            address=push.to.endpoint,
            id=push.payload["messageId"],
            subject=push.payload.get("title"),
            body=push.payload.get("body"),
            structure=(*sorted(map(str.lower, push.request.headers)), *_keys(push.payload)),
        )


class TelegramRig(Rig):
    """The Bot API. A recipient is a chat; what reached it in parts is read as the one message that it was."""

    name = ChannelName.TELEGRAM
    subject_takes_controls = False
    carries_id = False
    html_body = "<i>{{name}}</i>"
    malformed = (
        *Rig.malformed,
        (Content(body="Hi", options={"buttons": [{"text": "a"}]}), FailureReason.REJECTED),
        (Content(body="Hi", options={"buttons": [{"text": "a", "callbackData": "a" * 65}]}), FailureReason.REJECTED),
        (Content(body="Hi", options={"photo": "/etc/hostname"}), FailureReason.REJECTED),
    )

    def __init__(self, port: int, api: BotApi | None = None) -> None:
        self._api = api or BotApi(port=port)
        self._chats: dict[str, str] = {}
        self.channel = TelegramChannel(TelegramConfig(bot_api.TOKEN, self._api.url), Unlimited())

    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        chat = self._chats.setdefault(who, str(70_001 + len(self._chats)))
        match peer:
            case Peer.REFUSES_FOR_NOW:
                self._api.refuse(chat, 503, f"Service Unavailable: {chat} {who}")
            case Peer.REFUSES_FOR_GOOD:
                words = "not enough rights to send text messages to the chat"
                self._api.refuse(chat, 400, f"Bad Request: {words} {who}")
            case Peer.IS_DEAD:
                self._api.refuse(chat, 403, "Forbidden: bot was blocked by the user")
            case Peer.CUTS:
                self._api.cut(chat)
            case Peer.FALLS_SILENT:
                self._api.fall_silent(chat)
            case Peer.ACCEPTS:
                pass
        return chat

    def handed_over(self) -> int:
        return len(self._api.ledger)

    def arrived(self) -> list[Arrived]:
        return [self._read(parts) for parts in bot_api.messages(self._api.ledger)]

    def shown(self, text: str) -> str:
        return text

    def shown_html(self, source: str) -> str:
        found = re.fullmatch(r"<p title='[^']*'>(.*)</p>", source, re.DOTALL)
        assert found is not None
        return html.unescape(found[1])

    @staticmethod
    def _read(parts: Sequence[Sent]) -> Arrived:
        text, entities = bot_api.joined(parts)
        (kind, start, end), *others = entities
        assert (kind, start) == ("bold", 0)
        assert text[end : end + 2] == "\n\n"
        return Arrived(
            address=parts[0].chat,
            id=str(parts[0].message_id),
            subject=text[:end],
            body=text[end + 2 :],
            structure=(*sorted(parts[-1].fields.keys() - {"entities", "parse_mode"}), *(each[0] for each in others)),
        )


class _Recording(OnsiteChannel):
    """ONSITE and whoever records its sends: what a receipt carries has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[tuple[Envelope, InboxItem]] = []

    async def send(self, envelope: Envelope, prepared: PreparedItem) -> Receipt:
        receipt = await super().send(envelope, prepared)
        assert receipt.inbox_item is not None
        self.recorded.append((envelope, receipt.inbox_item))
        return receipt


class OnsiteRig(Rig):
    """The recording itself: there is nobody outside who could refuse, or fall silent."""

    name = ChannelName.ONSITE
    subject_takes_controls = False
    most_bytes = LARGEST_SUBJECT - len("<>")  # a body may have more
    malformed = (
        *Rig.malformed,
        (Content(body="Hi", options={"url": "javascript:alert(1)"}), FailureReason.REJECTED),
        (Content(body="Hi", options={"icon": "/relative.png"}), FailureReason.REJECTED),
    )

    def __init__(self) -> None:
        self.channel = self._recording = _Recording()

    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        assert peer is Peer.ACCEPTS, "on ONSITE nobody is outside"
        return str(uuid5(NAMESPACE_DNS, who))

    def handed_over(self) -> int:
        return len(self._recording.recorded)

    def arrived(self) -> list[Arrived]:
        return [self._read(envelope, item) for envelope, item in self._recording.recorded]

    def shown(self, text: str) -> str:
        return text.replace("\0", "\ufffd")

    def shown_html(self, source: str) -> str:
        return "".join(Seen.of(re.sub(r"\r\n?", "\n", self.shown(source))).words)

    @staticmethod
    def _read(envelope: Envelope, item: InboxItem) -> Arrived:
        seen = Seen.of(item.body) if item.is_html else None
        return Arrived(
            address=envelope.address,
            id=envelope.message_id,
            subject=item.subject,
            body=item.body if seen is None else "".join(seen.words),
            structure=("text",) if seen is None else tuple(tag for tag, _ in seen.tags),
        )


def _keys(value: Any, path: str = "") -> Sequence[str]:
    if not isinstance(value, dict):
        return [path]
    return [inner for key, each in value.items() for inner in _keys(each, f"{path}/{key}")]


Opener = Callable[[], contextlib.AbstractAsyncContextManager[Rig]]


@contextlib.asynccontextmanager
async def email() -> AsyncIterator[Rig]:
    """EMAIL with a mail server that runs."""
    async with smtp_sink.running() as sink, _closing(EmailRig(sink.port, sink)) as rig:
        yield rig


@contextlib.asynccontextmanager
async def webhook() -> AsyncIterator[Rig]:
    """WEBHOOK with a web server that runs."""
    async with http_sink.running() as sink, _closing(WebhookRig(sink.port, sink)) as rig:
        yield rig


@contextlib.asynccontextmanager
async def push() -> AsyncIterator[Rig]:
    """PUSH with a push service that runs."""
    async with push_service.running() as service, _closing(PushRig(service.port, service)) as rig:
        yield rig


@contextlib.asynccontextmanager
async def telegram() -> AsyncIterator[Rig]:
    """TELEGRAM with a Bot API that runs."""
    async with bot_api.running() as api, _closing(TelegramRig(api.port, api)) as rig:
        yield rig


@contextlib.asynccontextmanager
async def onsite() -> AsyncIterator[Rig]:
    """ONSITE, recorded."""
    async with _closing(OnsiteRig()) as rig:
        yield rig


@contextlib.asynccontextmanager
async def away(make: Callable[[int], Rig]) -> AsyncIterator[Rig]:
    """A rig whose peer does not run: its port is taken, so that nobody else gets it, and nobody listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with _closing(make(taken.getsockname()[1])) as rig:
            yield rig


@contextlib.asynccontextmanager
async def _closing(rig: Rig) -> AsyncIterator[Rig]:
    try:
        yield rig
    finally:
        await rig.channel.close()


RUNNING: Final[dict[ChannelName, Opener]] = {
    ChannelName.EMAIL: email,
    ChannelName.WEBHOOK: webhook,
    ChannelName.PUSH: push,
    ChannelName.TELEGRAM: telegram,
    ChannelName.ONSITE: onsite,
}
AWAY: Final[dict[ChannelName, Callable[[int], Rig]]] = {
    ChannelName.EMAIL: EmailRig,
    ChannelName.WEBHOOK: WebhookRig,
    ChannelName.PUSH: PushRig,
    ChannelName.TELEGRAM: TelegramRig,
}
