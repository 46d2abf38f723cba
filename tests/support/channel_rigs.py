"""A rig per channel: its real peer, how that peer is told what to do, and how what arrived is read back.

The contract suite asks all channels the same through these; what differs between them is said here.
"""

import contextlib
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from enum import StrEnum, auto
from typing import Any, ClassVar, Final

from channels.contract import Channel, Content
from channels.email import EmailChannel, EmailConfig
from channels.webhook import WebhookChannel, WebhookConfig
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason
from tests.support import http_sink, smtp_sink
from tests.support.http_sink import HttpSink, Request
from tests.support.smtp_sink import Mail, SmtpSink
from tests.support.webhooks import LOOPBACK

RETRY_AFTER_S: Final = 17

_LONG_S: Final = 60.0


class Peer(StrEnum):
    """What the peer does with a message."""

    ACCEPTS = auto()
    REFUSES_FOR_NOW = auto()
    REFUSES_FOR_GOOD = auto()
    IS_DEAD = auto()
    """The address is no good any more."""
    CUTS = auto()
    """Takes the message, then cuts the line without a word."""
    FALLS_SILENT = auto()
    """Takes the message and never answers."""


@dataclass(frozen=True)
class Arrived:
    """One message as its recipient has it. ``structure``: everything about its shape, and nothing of its words."""

    address: str
    id: str
    subject: str | None
    body: str | None
    structure: tuple[str, ...]


class Rig(ABC):
    """One channel with its peer. Addresses are made for a name and for what the peer does with what comes there."""

    name: ClassVar[ChannelName]
    subject_takes_controls: ClassVar[bool]
    """Whether a subject can carry CR, LF and NUL as data; a channel that cannot refuses them."""
    malformed: ClassVar[Sequence[tuple[Content, FailureReason]]] = (
        (Content(body="Hi {{ first name }}"), FailureReason.RENDER_ERROR),
        (Content(body="{{#each people}}"), FailureReason.RENDER_ERROR),
        (Content(body="{% for a in b %}"), FailureReason.RENDER_ERROR),
        (Content(subject="{{", body="Hi"), FailureReason.RENDER_ERROR),
    )
    """Contents that cannot be sent, and why."""

    channel: Channel

    @abstractmethod
    def address(self, who: str, peer: Peer = Peer.ACCEPTS) -> str:
        """An address of ``who``; from now on the peer does so with what comes there."""

    @abstractmethod
    def handed_over(self) -> int:
        """How many messages the peer has taken to their last byte, answered or not."""

    @abstractmethod
    def arrived(self) -> list[Arrived]:
        """Everything that the peer kept."""

    @abstractmethod
    def shown(self, text: str) -> str:
        """``text`` as a body of this channel shows it."""

    def arrived_at(self, address: str) -> list[Arrived]:
        """What the peer kept for one address."""
        return [each for each in self.arrived() if each.address == address]


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
                self._sink.script("DOT", recipient=address, delay_s=_LONG_S)
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
                self._sink.script(path=path, delay_s=_LONG_S)
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


RUNNING: Final[dict[ChannelName, Opener]] = {ChannelName.EMAIL: email, ChannelName.WEBHOOK: webhook}
AWAY: Final[dict[ChannelName, Callable[[int], Rig]]] = {
    ChannelName.EMAIL: EmailRig,
    ChannelName.WEBHOOK: WebhookRig,
}
