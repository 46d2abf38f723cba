"""What a workspace's own sender is made of: its credentials, read with care, since whoever gives them is a stranger.

Credentials are kept as JSON of the structs below. ``make`` makes the channel that sends with them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from channels import dkim, email, push
from channels.addresses import check_domain
from channels.contract import Channel
from channels.guard import ForbiddenDestination, Network
from channels.registry import Outfit, telegram_channel
from channels.settings import ChannelSettings
from channels.smtp_dial import SmtpGuard
from channels.smtp_url import parse_smtp_url
from channels.telegram_address import check_token
from channels.vapid import Vapid, check_subject, parse_key
from models.errors import InvalidSetting
from models.vocabulary import Channel as ChannelName


class EmailCredentials(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """EMAIL: a mail server, and whom mails are from."""

    smtp_url: str
    sender: str = msgspec.field(name="from")
    dkim_key: str | None = None
    dkim_selector: str | None = None
    bounce_domain: str | None = None


class TelegramCredentials(msgspec.Struct, frozen=True, rename="camel"):
    """TELEGRAM: a bot."""

    bot_token: str


class PushCredentials(msgspec.Struct, frozen=True, rename="camel"):
    """PUSH: the key that browsers subscribe with, and whom push services write to."""

    vapid_private_key: str
    vapid_subject: str


T = TypeVar("T")

Credentials = EmailCredentials | TelegramCredentials | PushCredentials

TYPES: Final[dict[ChannelName, type[Credentials]]] = {
    ChannelName.EMAIL: EmailCredentials,
    ChannelName.TELEGRAM: TelegramCredentials,
    ChannelName.PUSH: PushCredentials,
}
"""The channels that a workspace may have senders on. WEBHOOK and ONSITE need none: each contact has its own secret."""


_MOST_KEYS: Final = 2
_MOST_BITS: Final = 4096


class BadCredentials(ValueError):
    """``field`` cannot be what it is; the reason is fit to be shown."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class SenderMaker:
    """Makes channels that send with given credentials. ``settings``: what is the operator's to say."""

    settings: ChannelSettings
    outfit: Outfit

    def make(self, channel: ChannelName, kept: bytes) -> Channel:
        """The channel for kept credentials, on the event loop that it is used on; raises InvalidSetting, ValueError."""
        credentials = msgspec.json.decode(kept, type=TYPES[channel])
        match credentials:
            case EmailCredentials():
                config = _email(credentials, self.settings.webhook_allow_nets, self.outfit.processes)
                return email.EmailChannel(config)
            case TelegramCredentials():
                return telegram_channel(credentials.bot_token, self.settings.telegram_api_url, self.outfit.limiter)
            case PushCredentials():
                return push.PushChannel(
                    push.PushConfig(allow_nets=self.settings.webhook_allow_nets),
                    _vapid(credentials),
                    slots=self.outfit.slots[ChannelName.PUSH],
                    processes=self.outfit.processes,
                )


def check(credentials: Credentials, allow_nets: tuple[Network, ...]) -> dict[str, str]:
    """What may be shown of the credentials; raises BadCredentials where nothing could be sent with them."""
    match credentials:
        case EmailCredentials():
            return _check_email(credentials, allow_nets)
        case TelegramCredentials():
            _read("botToken", lambda: check_token(credentials.bot_token))
            return {"botId": credentials.bot_token.partition(":")[0]}
        case PushCredentials():
            _read("vapidPrivateKey", lambda: parse_key(credentials.vapid_private_key.encode()))
            _read("vapidSubject", lambda: check_subject(credentials.vapid_subject))
            return {"vapidPublicKey": _vapid(credentials).public_key, "vapidSubject": credentials.vapid_subject}


def keep(credentials: Credentials) -> bytes:
    """The credentials as they are kept, to be sealed."""
    return msgspec.json.encode(credentials)


def _check_email(credentials: EmailCredentials, allow_nets: tuple[Network, ...]) -> dict[str, str]:
    server = _read("smtpUrl", lambda: parse_smtp_url(credentials.smtp_url))
    if server.ca_file is not None:
        raise BadCredentials(
            "smtpUrl", "ca names a file of the operator's; a sender's server needs a public certificate"
        )
    try:
        SmtpGuard(allow_nets).check_server(server)
    except ForbiddenDestination as error:
        raise BadCredentials("smtpUrl", str(error)) from None
    _read("from", lambda: email.parse_sender(credentials.sender))
    if (credentials.dkim_key is None) != (credentials.dkim_selector is None):
        missing = "dkimKey" if credentials.dkim_key is None else "dkimSelector"
        raise BadCredentials(missing, "dkimKey and dkimSelector are needed together")
    if credentials.dkim_selector is not None:
        selector = credentials.dkim_selector
        _read("dkimSelector", lambda: dkim.check_selectors(selector))
        _read("dkimKey", lambda: _signer(credentials))
    if credentials.bounce_domain is not None:
        bounce_domain = credentials.bounce_domain
        _read("bounceDomain", lambda: check_domain(bounce_domain))
    shown = {
        "host": f"{server.host}:{server.port}",
        "user": server.username,
        "from": credentials.sender,
        "dkimSelector": credentials.dkim_selector,
        "bounceDomain": credentials.bounce_domain,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _email(
    credentials: EmailCredentials, allow_nets: tuple[Network, ...], processes: Callable[[], int]
) -> email.EmailConfig:
    bounce_domain = credentials.bounce_domain
    return email.EmailConfig(
        credentials.smtp_url,
        credentials.sender,
        signer=_signer(credentials),
        bounce_domain=None if bounce_domain is None else check_domain(bounce_domain),
        guarded=allow_nets,
        processes=processes,
    )


def _signer(credentials: EmailCredentials) -> dkim.Signer | None:
    if credentials.dkim_key is None or credentials.dkim_selector is None:
        return None
    selectors = dkim.check_selectors(credentials.dkim_selector)
    keys = dkim.parse_keys(credentials.dkim_key.encode(), selectors, "dkimKey")
    # All workspaces share the processor that signs.
    if len(keys) > _MOST_KEYS or any(key.bits > _MOST_BITS for key in keys):
        raise InvalidSetting(f"dkimKey: at most {_MOST_KEYS} keys of {_MOST_BITS} bits at most")
    return dkim.Signer(email.parse_sender(credentials.sender).domain, keys)


def _vapid(credentials: PushCredentials) -> Vapid:
    return Vapid(parse_key(credentials.vapid_private_key.encode()), credentials.vapid_subject)


def _read(field: str, read: Callable[[], T]) -> T:
    """What ``read`` reads; its reason without the name of the operator's variable, which the stranger did not set."""
    try:
        return read()
    except InvalidSetting as error:
        raise BadCredentials(field, str(error).partition(": ")[2]) from None
    except ValueError as error:
        raise BadCredentials(field, str(error)) from None
