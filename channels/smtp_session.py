"""One SMTP session: how it is opened, what its server offers, and how it is left.

Connection, TLS, EHLO and AUTH are aiosmtplib's, which then hands the connection over; mails go in ``smtp_transaction``.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import aiosmtplib
import msgspec

from channels.errors import Blame, Misconfigured, SendError, Transient
from channels.smtp_line import SmtpLine, take_over
from channels.smtp_replies import Phase, refusal
from channels.smtp_url import Security, SmtpServer


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
    quick_s: float = 0.25
    """For the answer to a content, where the next mail's envelope may go along: see ``smtp_transaction``."""
    bound_s: float = 0.5
    """For that answer, before the next mail is let go by any other connection."""
    trusted_s: float = 1.0
    """After an answer, before a connection is no longer taken for alive: see ``smtp_transaction``."""


class Transaction(msgspec.Struct, frozen=True, eq=False):
    """One message to one recipient, both addresses checked.

    ``content``: begins with a header, lines ended by CRLF, not dot-stuffed. ``proceed`` is called right before the
    bytes are written with which the server may accept the mail, and may raise NotStarted. ``bulk``: others go first.
    """

    sender: str
    recipient: str
    content: bytes
    proceed: Callable[[], None]
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Offers:
    """What the server's EHLO offered, of what is used here."""

    pipelining: bool
    """Several commands in one write (RFC 2920)."""
    chunking: bool
    """The content by BDAT, counted instead of ended by a dot (RFC 3030)."""
    size: bool
    """The content's size at MAIL (RFC 1870)."""
    utf8: bool
    """Addresses and header fields beyond ASCII (RFC 6531)."""

    @classmethod
    def read(cls, client: aiosmtplib.SMTP) -> Self:
        """What the last EHLO said."""
        return cls(*[client.supports_extension(name) for name in ("pipelining", "chunking", "size", "smtputf8")])


class Session:
    """An open session, used by one task at a time.

    ``ready``: the server waits for a command and owes no answer, but those to the envelope of ``ahead``: the
    transaction that is to be the next, if its envelope went out already. ``unfinished``: a transaction was given up
    there. ``quick``: the content before was answered within ``Timeouts.quick_s``.
    ``heard_at``: when it last answered; ``idle_since``: when it was last given back; by the event loop's clock.
    """

    def __init__(self, line: SmtpLine, offers: Offers, timeouts: Timeouts) -> None:
        self.line = line
        self.offers = offers
        self.timeouts = timeouts
        self.idle_since = self.heard_at = asyncio.get_running_loop().time()
        self.ready = True
        self.ahead: Transaction | None = None
        self.unfinished = False
        self.quick = False


async def open_session(
    server: SmtpServer,
    tls: ssl.SSLContext | None,
    ehlo_name: str,
    timeouts: Timeouts,
    sock: socket.socket | None = None,
) -> Session:
    """Connect, begin TLS as the URL says, log in; raises Transient or Misconfigured.

    ``sock``: a connection to the server, where it was made already; it is closed with the session.
    """
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port if sock is None else None,
        sock=sock,
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
        if client.protocol is None or client.protocol.transport is None:
            raise Transient("the SMTP server closed the connection", blame=Blame.SENDER)
        session = Session(take_over(client.protocol.transport), Offers.read(client), timeouts)
        opened = True
        return session
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _unopened(error) from error
    finally:
        if not opened:
            client.close()
            if sock is not None:
                sock.close()


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
    return Transient(f"cannot reach the SMTP server: {said}", blame=Blame.SENDER)


def take_leave(session: Session) -> None:
    """Say QUIT between two transactions and hang up, without waiting for the answer (RFC 5321, section 4.1.1.10)."""
    if session.line.is_open:
        session.line.write(b"QUIT\r\n")
    session.line.close()
