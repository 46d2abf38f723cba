"""A mail server that keeps what it is given and answers as it is told."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.door import Door, Dropping, drop

Command = Literal["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "CONTENT", "DOT"]
Drop = Literal["before", "after"]

_LIMIT: Final = 32 * 1024 * 1024


@dataclass(frozen=True)
class Mail:
    """One accepted transaction: the envelope, and the content as the client had it, without what marks its end."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    tls: bool
    login: str | None
    options: tuple[str, ...] = ()
    """What MAIL declared beside the sender."""
    at: float = 0.0
    """When it was accepted, by ``time.monotonic``."""
    peer: str = ""
    """The address that it came from."""

    def parsed(self) -> EmailMessage:
        """The mail as the standard library's modern parser reads it."""
        return message_from_bytes(self.data, policy=policy.default)


@dataclass
class _Rule:
    command: Command
    reply: str | None
    recipient: str | None
    delay_s: float
    drop: Drop | None
    times: int | None
    dropping: Dropping | None


@dataclass
class SmtpSink:
    """What to connect to, and what came. ``connections`` counts those that were opened, ``most_open`` at once.

    ``before_answer`` is awaited with each mail that was taken, of which the client does not know yet.
    """

    host: str = "127.0.0.1"
    port: int = 0
    username: str | None = None
    password: str | None = None
    mails: list[Mail] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    commands: list[str] = field(default_factory=list)
    offers: Sequence[str] = ()
    door: Door = field(default_factory=Door)
    before_answer: Callable[[Mail], Awaitable[None]] | None = None
    _rules: list[_Rule] = field(default_factory=list)

    def script(
        self,
        command: Command,
        reply: str | None = None,
        *,
        recipient: str | None = None,
        delay_s: float = 0.0,
        drop: Drop | None = None,
        times: int | None = None,
        dropping: Dropping | None = None,
    ) -> None:
        """From now on, at ``command``: wait ``delay_s``, then drop the connection or give ``reply`` (else go on).

        ``CONTENT`` is in the middle of one that comes by DATA, and can only be dropped at. ``DOT`` is the end of the
        content, also of one that came by BDAT. ``drop="before"`` keeps nothing, ``"after"`` keeps the mail and then
        cuts the line; ``dropping`` is called with the client's port just before. The rule holds for ``recipient``
        alone where one is given, and for the next ``times`` uses. The latest rule that fits wins.
        """
        self._rules.append(_Rule(command, reply, recipient, delay_s, drop, times, dropping))

    def clear_script(self) -> None:
        """Answer everything well again."""
        self._rules.clear()

    def received_by(self, recipient: str) -> list[Mail]:
        """The mails accepted for one recipient."""
        return [mail for mail in self.mails if recipient in mail.recipients]

    def _rule(self, command: Command, recipients: tuple[str, ...]) -> _Rule | None:
        for rule in reversed(self._rules):
            if rule.command == command and rule.times != 0 and rule.recipient in (None, *recipients):
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    async def _follow(self, server: SMTP, command: Command, recipients: tuple[str, ...] = ()) -> str | None:
        """Do as the script says; the reply to give instead of the usual one."""
        self.commands.append(command)
        rule = self._rule(command, recipients)
        if rule is None:
            return None
        await asyncio.sleep(rule.delay_s)
        if rule.drop == "before":
            await _cut(server, rule)
        return rule.reply

    async def _accept(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        recipients = tuple(envelope.rcpt_tos)
        self.commands.append("DOT")
        rule = self._rule("DOT", recipients)
        if rule is not None:
            await asyncio.sleep(rule.delay_s)
            if rule.drop == "before":
                await _cut(server, rule)
            if rule.reply is not None and not rule.reply.startswith("2"):
                return rule.reply
        login: object = session.auth_data
        self.mails.append(
            Mail(
                sender=envelope.mail_from or "",
                recipients=recipients,
                data=bytes(envelope.original_content or b""),
                tls=session.ssl is not None or _is_encrypted(server),
                login=login.login.decode() if isinstance(login, LoginPassword) else None,
                options=tuple(envelope.mail_options),
                at=time.monotonic(),
                peer=str(session.peer[0]) if session.peer else "",
            )
        )
        if self.before_answer is not None:
            await self.before_answer(self.mails[-1])
        if rule is not None and rule.drop == "after":
            await _cut(server, rule)
        return (rule and rule.reply) or f"250 2.0.0 queued as {len(self.mails):08X}"


def _is_encrypted(server: SMTP) -> bool:
    return server.transport is not None and server.transport.get_extra_info("ssl_object") is not None


async def _cut(server: SMTP, rule: _Rule) -> None:
    """Drop the connection; aiosmtpd cancels the caller when it notices."""
    drop(server.transport, rule.dropping)
    await asyncio.Event().wait()


class _Handler:
    """aiosmtpd's hooks, each asking the sink's script first."""

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink

    async def handle_EHLO(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        reply = await self.sink._follow(server, "EHLO")
        session.host_name = hostname
        offered = [*responses[:-1], *[f"250-{offer}" for offer in self.sink.offers], responses[-1]]
        return [reply] if reply else offered

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self.sink._follow(server, "MAIL")
        if reply is not None and not reply.startswith("2"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return reply or "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self.sink._follow(server, "RCPT", (address,))
        if reply is not None and not reply.startswith("2"):
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return reply or "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        return await self.sink._accept(server, session, envelope)


class _Server(SMTP):
    """aiosmtpd, with a script for the greeting and for DATA itself too."""

    line_length_limit = 65536

    def __init__(self, sink: SmtpSink, **options: Any) -> None:
        self._sink = sink
        super().__init__(_Handler(sink), hostname="sink.test", ident="sink", data_size_limit=_LIMIT, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sink.door.came(transport)

    async def _handle_client(self) -> None:
        self._sink.connections += 1
        self._sink.open_now += 1
        self._sink.most_open = max(self._sink.most_open, self._sink.open_now)
        try:
            await self._serve()
        finally:
            self._sink.open_now -= 1

    async def _serve(self) -> None:
        try:
            reply = await self._sink._follow(self, "CONNECT")
        except asyncio.CancelledError:
            self._writer.close()  # The client hung up; from EHLO on aiosmtpd itself closes.
            raise
        if reply is not None:
            await self.push(reply)
            self._writer.close()
            return
        await super()._handle_client()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        recipients = tuple(self.envelope.rcpt_tos) if self.envelope is not None else ()
        reply = await self._sink._follow(self, "DATA", recipients)
        if reply is not None:
            await self.push(reply)
            return
        if any(rule.command == "CONTENT" and rule.times != 0 for rule in self._sink._rules):
            await self.push("354 go on")
            await self._reader.readuntil(b"\r\n")
            await self._sink._follow(self, "CONTENT", recipients)
        await super().smtp_DATA(arg)

    async def smtp_BDAT(self, arg: str) -> None:  # noqa: N802
        """Take a content in one chunk (RFC 3030, section 2)."""
        size, _, last = arg.partition(" ")
        content = await self._reader.readexactly(int(size))
        if self.session is None or self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 no valid recipients")
            return
        if last != "LAST":
            await self.push("504 5.5.4 one chunk, please")
            return
        self.envelope.original_content = content
        reply = await self._sink._accept(self, self.session, self.envelope)
        self.envelope = self._create_envelope()
        await self.push(reply)


@contextlib.asynccontextmanager
async def running(
    *,
    tls: ssl.SSLContext | None = None,
    implicit_tls: bool = False,
    username: str | None = None,
    password: str | None = None,
    auth_over_plain: bool = False,
    offers: Sequence[str] = (),
    utf8: bool = True,
    listener: socket.socket | None = None,
) -> AsyncIterator[SmtpSink]:
    """A sink on a free port, or on ``listener``, of this event loop.

    ``tls`` alone offers STARTTLS and demands it; with ``implicit_tls`` the line is encrypted from the first byte.
    With ``username`` and ``password`` it demands that login, over TLS unless ``auth_over_plain``. ``offers``:
    PIPELINING and CHUNKING; it can do both, and says neither by itself. ``utf8``: whether it takes SMTPUTF8.
    """
    sink = SmtpSink(username=username, password=password, offers=offers)
    loop = asyncio.get_running_loop()

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (
            (sink.username or "").encode(),
            (sink.password or "").encode(),
        )
        return AuthResult(success=good, handled=good, auth_data=data)

    def protocol() -> SMTP:
        return _Server(
            sink,
            loop=loop,
            enable_SMTPUTF8=utf8,
            tls_context=None if implicit_tls else tls,
            require_starttls=not implicit_tls and tls is not None,
            authenticator=check,
            auth_required=username is not None,
            auth_require_tls=not (auth_over_plain or implicit_tls),
        )

    if listener is None:
        listener = socket.create_server((sink.host, 0))
    server = await loop.create_server(protocol, sock=listener, ssl=tls if implicit_tls else None)
    sink.host, sink.port = listener.getsockname()
    try:
        yield sink
    finally:
        server.close()
        await server.wait_closed()
