"""EMAIL: one mail to one recipient by SMTP (RFC 5321)."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Final

from channels.addresses import check_address, parse_mailboxes
from channels.contract import Content, Envelope, Receipt
from channels.dkim import Signer
from channels.errors import Permanent
from channels.guard import Network
from channels.mime import Mail, Tracking
from channels.mime_encoding import has_control
from channels.relay_headers import relay_header
from channels.smtp_dial import SmtpDialler
from channels.smtp_pool import SmtpPool
from channels.smtp_replies import receipt
from channels.smtp_session import Timeouts, Transaction
from channels.smtp_url import VARIABLE, Security, SmtpServer, parse_smtp_url
from models.errors import InvalidSetting
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason

SENDER_VARIABLE: Final = "WIREROOM_EMAIL_FROM"


@dataclass(frozen=True, slots=True)
class EmailConfig:
    """What EMAIL needs. ``url``: ``WIREROOM_SMTP_URL``; ``sender``: ``WIREROOM_EMAIL_FROM``.

    ``connections``: how many the pool may hold where the URL does not say how many all ``processes`` together may.
    ``signer``: signs every mail. ``bounce_domain``: where bounces go, a local part for each message; by default they go
    to the sender. ``guarded``: the server is one that a stranger named: it is public, or inside these networks.
    """

    url: str = field(repr=False)
    sender: str
    connections: int = 10
    processes: Callable[[], int] = lambda: 1
    signer: Signer | None = None
    bounce_domain: str | None = None
    guarded: tuple[Network, ...] | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who mails are from."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What follows the @."""
        return self.address.rpartition("@")[2]


def parse_sender(text: str) -> Sender:
    """Read ``user@example.org`` or ``Name <user@example.org>``; raises InvalidSetting, naming the variable."""
    if has_control(text):
        raise InvalidSetting(f"{SENDER_VARIABLE}: holds a control character")
    try:
        mailboxes = parse_mailboxes(text)
    except ValueError as error:
        raise InvalidSetting(f"{SENDER_VARIABLE}: {error}") from None
    if len(mailboxes) != 1:
        raise InvalidSetting(f"{SENDER_VARIABLE}: must be one address; quote a name that holds a comma")
    return Sender(*mailboxes[0])


class EmailChannel:
    """The EMAIL channel; made on the event loop that it is used on."""

    name: ChannelName = ChannelName.EMAIL

    def __init__(self, config: EmailConfig) -> None:
        """Read the configuration; raises InvalidSetting, naming the variable. Connects to nothing yet."""
        server = parse_smtp_url(config.url)
        self._sender = parse_sender(config.sender)
        self._signer = config.signer
        self._relay = relay_header(server.host)
        self._bounce_domain = config.bounce_domain
        dialler = None if config.guarded is None else SmtpDialler(config.guarded)
        limit = _limit(server.connections, config)
        self._pool = SmtpPool(server, _tls_context(server), limit, config.timeouts, dialler)

    def prepare(self, content: Content) -> Mail:
        """Build the mail once for all recipients; raises Permanent where it cannot be sent."""
        return Mail(
            content,
            sender_name=self._sender.name,
            sender=self._sender.address,
            domain=self._sender.domain,
            signer=self._signer,
            relay=self._relay,
        )

    async def send(self, envelope: Envelope, prepared: Mail) -> Receipt:
        """Send to one recipient; a SendError where the server did not accept it."""
        try:
            recipient = check_address(envelope.address)
        except ValueError as error:
            raise Permanent(str(error), reason=FailureReason.INVALID_ADDRESS) from None
        content = prepared.fill(
            message_id=envelope.message_id,
            run=envelope.run,
            recipient=recipient,
            variables=envelope.variables,
            date=datetime.now(UTC),
            opt_out_url=envelope.links.opt_out() if envelope.opt_out else None,
            tracking=_tracking(envelope),
        )
        transaction = Transaction(self._return_path(envelope), recipient, content, envelope.proceed, envelope.bulk)
        reply = await self._pool.deliver(transaction)
        return receipt(reply.code, reply.message)

    def _return_path(self, envelope: Envelope) -> str:
        if self._bounce_domain is None:
            return self._sender.address
        return f"{envelope.links.return_path()}@{self._bounce_domain}"

    async def close(self) -> None:
        """Close every connection, waiting for none that is in use."""
        await self._pool.close()


def _tracking(envelope: Envelope) -> Tracking | None:
    if not (envelope.track_opens or envelope.track_clicks):
        return None
    return Tracking(envelope.links, envelope.track_opens, envelope.track_clicks)


def _limit(of_all: int | None, config: EmailConfig) -> Callable[[], int]:
    """How many connections this process may have: its share of those ``of_all``, but always one."""
    if of_all is None:
        return lambda: config.connections
    return lambda: max(1, of_all // config.processes())


def _tls_context(server: SmtpServer) -> ssl.SSLContext | None:
    """One context for all connections: reading the authorities takes longer than a handshake."""
    if server.security is Security.NONE:
        return None
    if server.ca_file is None:
        return _public_tls()
    try:
        return ssl.create_default_context(cafile=server.ca_file)
    except OSError as error:
        raise InvalidSetting(f"{VARIABLE}: cannot read the file of CA certificates: {error.strerror}") from None


@cache
def _public_tls() -> ssl.SSLContext:
    """The system's authorities, for all senders whose servers have a public certificate."""
    return ssl.create_default_context()
