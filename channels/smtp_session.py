"""One SMTP session: how it is opened, and one mail transaction over it.

TLS, AUTH and the reading of replies are aiosmtplib's. The steps are taken one by one here because each may fail for
a reason of its own, and because the caller must be asked right before the final dot.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from channels.errors import Misconfigured, SendError, Transient, Unknown
from channels.smtp_replies import Phase, is_success, refusal
from channels.smtp_url import Security, SmtpServer

_BLOCK_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long is waited, in seconds; RFC 5321, section 4.5.3.2, says how long one should."""

    connect_s: float = 15.0
    """For the connection and the greeting."""
    command_s: float = 60.0
    """For the answer to any command."""
    block_s: float = 180.0
    """For the peer to take one block of content."""
    final_dot_s: float = 600.0
    """For the answer to the final dot: who gives up sooner makes duplicates."""
    idle_s: float = 60.0
    """For another message, before a connection is closed."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message to one recipient, both addresses checked. ``content``: lines ended by CRLF, not dot-stuffed.

    ``proceed`` is called right before the final dot is written, and may raise NotStarted.
    """

    sender: str
    recipient: str
    content: bytes
    proceed: Callable[[], None]


class Session:
    """An open session, used by one task at a time."""

    def __init__(self, client: aiosmtplib.SMTP, protocol: SMTPProtocol, timeouts: Timeouts) -> None:
        self.client = client
        self.protocol = protocol
        self.timeouts = timeouts
        self.idle_since = 0.0
        # So drain() waits for the last byte. With high=0 asyncio's TLS transport pauses and never resumes.
        # cast: uvloop's transports are no subclass of asyncio's.
        transport = cast(asyncio.WriteTransport, protocol.transport)
        transport.set_write_buffer_limits(high=1, low=0)
        # Kept for as long as the session: a StreamWriter that is collected closes its transport.
        self.writer = asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())


async def open_session(server: SmtpServer, tls: ssl.SSLContext | None, ehlo_name: str, timeouts: Timeouts) -> Session:
    """Connect, begin TLS as the URL says, log in; raises Transient or Misconfigured."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        local_hostname=ehlo_name,
        timeout=timeouts.command_s,
        use_tls=server.security is Security.IMPLICIT,
        start_tls=False,
        tls_context=tls,
    )
    opened = False
    try:
        await client.connect(timeout=timeouts.connect_s)
        await client.ehlo()
        if server.security is Security.STARTTLS:
            await _start_tls(client)
        if server.username is not None and server.password is not None:
            await _log_in(client, server.username, server.password)
        if client.protocol is None:
            raise Transient("the SMTP server closed the connection")
        session = Session(client, client.protocol, timeouts)
        opened = True
        return session
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _unopened(error) from error
    finally:
        if not opened:
            client.close()


async def _start_tls(client: aiosmtplib.SMTP) -> None:
    """Go over to TLS. A server that does not offer it may be someone in between who took the offer out."""
    if not client.supports_extension("starttls"):
        raise Misconfigured(
            "the SMTP server does not offer STARTTLS, which smtp:// requires; "
            "smtp+plain:// does without, on a trusted link"
        )
    await client.starttls()
    await client.ehlo()


async def _log_in(client: aiosmtplib.SMTP, username: str, password: str) -> None:
    if not client.supported_auth_methods:
        raise Misconfigured("the SMTP server offers no AUTH method that we know")
    await client.login(username.encode("utf-8"), password.encode("utf-8"))


def _unopened(error: aiosmtplib.SMTPException | OSError) -> SendError:
    """Why a session could not be opened."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return refusal(Phase.SESSION, error.code, error.message)
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Misconfigured(f"the SMTP server's certificate is not trusted: {cause.verify_message}")
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return Misconfigured(f"no TLS with the SMTP server: {cause.reason}")
    system = cause if isinstance(cause, OSError) else error
    errno = system.errno if isinstance(system, OSError) and system.errno else 0
    said = os.strerror(errno) if errno > 0 else "no such host" if errno else type(error).__name__
    return Transient(f"cannot reach the SMTP server: {said}")


async def converse(session: Session, transaction: Transaction) -> tuple[Phase, aiosmtplib.SMTPResponse]:
    """Run one mail transaction (RFC 5321, section 3.3); returns the last reply, and the phase that it answered.

    Raises what ``proceed`` raises, what aiosmtplib and the socket raise before the final dot, and Unknown where no
    answer came after it.
    """
    client = session.client
    content = transaction.content.replace(b"\r\n.", b"\r\n..")
    size = (b"SIZE=%d" % len(content),) if client.supports_extension("size") else ()
    mail_from = b"FROM:<%b>" % transaction.sender.encode("ascii")
    reply = await client.execute_command(b"MAIL", mail_from, *size)
    if not is_success(reply.code):
        return Phase.MAIL, reply
    rcpt_to = b"TO:<%b>" % transaction.recipient.encode("ascii")
    reply = await client.execute_command(b"RCPT", rcpt_to)
    if not is_success(reply.code):
        return Phase.RCPT, reply
    reply = await client.execute_command(b"DATA")
    if reply.code != aiosmtplib.SMTPStatus.start_input:
        return Phase.DATA, reply
    last_block = await _write_up_to_last_block(session, content)
    transaction.proceed()
    session.protocol.write(last_block + b".\r\n")
    try:
        return Phase.CONTENT, await session.protocol.read_response(timeout=session.timeouts.final_dot_s)
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Unknown(f"no readable answer came after the final dot ({type(error).__name__})") from error


async def _write_up_to_last_block(session: Session, content: bytes) -> bytes:
    """Write a long content but for its last block, waiting until the kernel took each; returns the last one.

    So ``proceed`` is asked when the final dot is about to leave, not when a long mail begins to.
    """
    start = 0
    while len(content) - start > _BLOCK_BYTES:
        session.protocol.write(content[start : start + _BLOCK_BYTES])
        async with asyncio.timeout(session.timeouts.block_s):
            await session.writer.drain()
        start += _BLOCK_BYTES
    return content[start:]


def take_leave(session: Session) -> None:
    """Say QUIT between two transactions, without waiting for the answer (RFC 5321, section 4.1.1.10)."""
    if session.client.is_connected:
        session.protocol.write(b"QUIT\r\n")


async def reset(session: Session) -> bool:
    """Give up a transaction (RFC 5321, section 4.1.1.5); whether the session can carry another."""
    try:
        await session.client.rset()
    except (aiosmtplib.SMTPException, OSError):
        return False
    return True
