"""What the environment says of the channels' peers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self

from channels.smtp_url import parse_smtp_url
from models.errors import InvalidSetting


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Senders and reach of every channel; the table is in README.md. None: not configured."""

    smtp_url: str | None
    email_from: str | None
    webhook_allow_nets: tuple[IPv4Network | IPv6Network, ...]

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
        return cls(
            smtp_url=smtp_url,
            email_from=email_from,
            webhook_allow_nets=_networks(environ.get("WIREROOM_WEBHOOK_ALLOW_NETS", "")),
        )


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InvalidSetting(
            f"WIREROOM_WEBHOOK_ALLOW_NETS: {error}; networks are written as in 127.0.0.0/8,10.1.0.0/16"
        ) from None
