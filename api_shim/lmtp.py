"""LMTP (RFC 2033): where a mail server of ours hands over the mails that came back, one answer for each recipient.

A recipient is the return path of one message, or nobody: 550. What was answered 250 is durable. While the database is
away it is 451, and the mail server tries again.
"""

import asyncio
import contextlib
from typing import Any, Final

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy.exc import SQLAlchemyError

from api_shim import bounce_mail
from api_shim.bounce_mail import MAIL_BYTES
from api_shim.services import Services
from models.errors import StorageUnavailable
from models.logs import places

MOST_CONNECTIONS: Final = 32
_MOST_RECIPIENTS: Final = 100
# For a command and the next, and for a whole content.
_TIMEOUT_S: Final = 60.0
_DRAIN_S: Final = 5.0
# Beyond the limit a content is read to its end, so that the client hears why; but not without end.
_MOST_RECEIVED: Final = 2 * MAIL_BYTES
_LINE_BYTES: Final = 64 << 10

_EXTENSIONS: Final = ("250-PIPELINING", "250-ENHANCEDSTATUSCODES")
_TAKEN: Final = "250 2.1.5 taken"
_NOBODY: Final = "550 5.1.1 no return path of ours"
_ENOUGH: Final = "552 5.2.2 more has come back about that message than is kept"
_LATER: Final = "451 4.3.0 the database cannot be reached now"
_BROKEN: Final = "451 4.3.0 an error of ours"
_CROWDED: Final = "452 4.5.3 too many recipients"
_FULL: Final = b"421 4.3.2 too many connections\r\n"
# What the library answers to a whole content, once, that it does not take.
_LIBRARY_REFUSES: Final = ("500 Line too long", "552 Error")

log = structlog.get_logger("api_shim.lmtp")


class _Intake:
    """aiosmtpd's hooks."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def handle_EHLO(  # noqa: N802 - as below
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """What is said to LHLO: the library's lines, and what RFC 2033, section 5, asks of every server."""
        session.host_name = hostname
        return [*responses[:-1], *_EXTENSIONS, responses[-1]]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Whether it is the return path of a message that we have."""
        if len(envelope.rcpt_tos) == _MOST_RECIPIENTS:
            return _CROWDED
        try:
            owned = await bounce_mail.owner_of(self._services, _local_part(address))
            if owned is None:
                return _NOBODY
            if not await bounce_mail.has_room(self._services, *owned):
                return _ENOUGH
        except (StorageUnavailable, SQLAlchemyError):
            return _LATER
        envelope.rcpt_tos.append(address)
        return _TAKEN

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """One answer for each recipient that was taken (RFC 2033, section 4.2)."""
        raw = envelope.original_content or b""
        return "\r\n".join([await self._take(raw, address) for address in envelope.rcpt_tos])

    async def _take(self, raw: bytes, address: str) -> str:
        try:
            taken = await bounce_mail.take(self._services, raw, _local_part(address))
        except (StorageUnavailable, SQLAlchemyError):
            return _LATER
        except Exception as error:  # noqa: BLE001 - the other recipients have their answers all the same
            log.error("lmtp.broke", error=type(error).__name__, places=places(error))
            return _BROKEN
        return _TAKEN if taken else _NOBODY

    async def handle_exception(self, error: Exception) -> str:
        """What the library did not foresee; its own answer would show the error's words."""
        log.error("lmtp.broke", error=type(error).__name__, places=places(error))
        return _BROKEN


def _local_part(address: str) -> str:
    return address.rpartition("@")[0]


class _Protocol(LMTP):
    """One connection, with bounds on what the library bounds by itself only in part."""

    line_length_limit = _LINE_BYTES

    def __init__(self, server: "LmtpServer", services: Services) -> None:
        super().__init__(
            _Intake(services), data_size_limit=MAIL_BYTES, enable_SMTPUTF8=True, timeout=_TIMEOUT_S, ident="LMTP"
        )
        self._server = server
        self._received = 0
        self.in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A mail server has connected."""
        super().connection_made(transport)
        if not self._server.admit(self) and self.transport is not None:
            self._writer.write(_FULL)
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone."""
        self._server.forget(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Read on, but no content without end."""
        self._received += len(data)
        if self._received > _MOST_RECEIVED and self.transport is not None:
            self.transport.close()
            return
        super().data_received(data)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a content and answer it."""
        self._received = 0
        self.in_content = True
        try:
            await super().smtp_DATA(arg)
        finally:
            self.in_content = False
            self._server.went_on()

    async def push(self, status: Any) -> None:
        """Answer. What the library says once of a content is said for each recipient (RFC 2033, section 4.2)."""
        count = len(self.envelope.rcpt_tos) if self.in_content and self.envelope is not None else 1
        refused = isinstance(status, str) and status.startswith(_LIBRARY_REFUSES)
        for _ in range(count if refused else 1):
            await super().push(status)

    def hang_up(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.close()


class LmtpServer:
    """The server. ``port`` is the one that it listens on."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: set[_Protocol] = set()
        self._server: asyncio.Server | None = None
        self._progress = asyncio.Event()
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; raises OSError where that is not possible."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Protocol(self, self._services), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take in no more; contents that are under way have five seconds to be taken."""
        if self._server is None:
            return
        self._server.close()
        for each in [each for each in self._open if not each.in_content]:
            each.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while any(each.in_content for each in self._open):
                    self._progress.clear()
                    await self._progress.wait()
        for each in list(self._open):
            each.hang_up()
        await self._server.wait_closed()

    def admit(self, connection: _Protocol) -> bool:
        """Whether there is room for one more."""
        if len(self._open) >= MOST_CONNECTIONS:
            return False
        self._open.add(connection)
        return True

    def forget(self, connection: _Protocol) -> None:
        """A connection has ended."""
        self._open.discard(connection)
        self.went_on()

    def went_on(self) -> None:
        """Something that stopping may wait for has ended."""
        self._progress.set()
