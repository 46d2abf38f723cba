"""What the environment says of the channels' peers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from channels.addresses import check_domain
from channels.dkim import check_selectors
from channels.smtp_url import parse_smtp_url
from channels.telegram_address import PUBLIC_API, check_api_url, check_token
from channels.vapid import check_subject, default_subject
from models.errors import InvalidSetting
from models.settings import public_url
from models.vocabulary import Channel as ChannelName


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Senders and reach of every channel; the table is in README.md. None: not configured."""

    smtp_url: str | None
    email_from: str | None
    webhook_allow_nets: tuple[IPv4Network | IPv6Network, ...]
    vapid_private_key_file: Path | None
    vapid_subject: str
    telegram_bot_token: str | None = field(repr=False)
    telegram_api_url: str
    dkim_key_file: Path | None = None
    dkim_selectors: tuple[str, ...] = ()
    bounce_domain: str | None = None

    @property
    def hosts(self) -> Mapping[ChannelName, str]:
        """By channel, the host that the operator's messages are handed to: those that one host takes."""
        found = {ChannelName.TELEGRAM: urlsplit(self.telegram_api_url).hostname or ""}
        return found if self.smtp_url is None else found | {ChannelName.EMAIL: parse_smtp_url(self.smtp_url).host}

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read ``WIREROOM_*``; raises InvalidSetting, naming the variable."""
        smtp_url = environ.get("WIREROOM_SMTP_URL") or None
        email_from = environ.get("WIREROOM_EMAIL_FROM") or None
        if smtp_url:
            parse_smtp_url(smtp_url)
            if not email_from:
                raise InvalidSetting(
                    "WIREROOM_EMAIL_FROM: needed together with WIREROOM_SMTP_URL, as in 'Acme <noreply@example.org>'"
                )
        vapid_key = environ.get("WIREROOM_VAPID_PRIVATE_KEY_FILE")
        subject = environ.get("WIREROOM_VAPID_SUBJECT") or default_subject(public_url(environ))
        return cls(
            smtp_url=smtp_url,
            email_from=email_from,
            webhook_allow_nets=_networks(environ.get("WIREROOM_WEBHOOK_ALLOW_NETS", "")),
            vapid_private_key_file=Path(vapid_key) if vapid_key else None,
            vapid_subject=check_subject(subject),
            telegram_bot_token=check_token(environ.get("WIREROOM_TELEGRAM_BOT_TOKEN") or None),
            telegram_api_url=check_api_url(environ.get("WIREROOM_TELEGRAM_API_URL") or PUBLIC_API),
            dkim_key_file=Path(environ["WIREROOM_DKIM_KEY_FILE"]) if environ.get("WIREROOM_DKIM_KEY_FILE") else None,
            dkim_selectors=_selectors(environ),
            bounce_domain=_bounce_domain(environ.get("WIREROOM_BOUNCE_DOMAIN") or None),
        )


def _selectors(environ: Mapping[str, str]) -> tuple[str, ...]:
    key_file, selector = environ.get("WIREROOM_DKIM_KEY_FILE"), environ.get("WIREROOM_DKIM_SELECTOR")
    if selector and not key_file:
        raise InvalidSetting("WIREROOM_DKIM_KEY_FILE: needed together with WIREROOM_DKIM_SELECTOR")
    if key_file and not selector:
        raise InvalidSetting("WIREROOM_DKIM_SELECTOR: needed together with WIREROOM_DKIM_KEY_FILE, as in wr2026")
    return check_selectors(selector) if selector else ()


def _bounce_domain(text: str | None) -> str | None:
    try:
        return None if text is None else check_domain(text)
    except ValueError:
        raise InvalidSetting("WIREROOM_BOUNCE_DOMAIN: no domain name, as in bounces.example.org") from None


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InvalidSetting(
            f"WIREROOM_WEBHOOK_ALLOW_NETS: {error}; networks are written as in 127.0.0.0/8,10.1.0.0/16"
        ) from None
