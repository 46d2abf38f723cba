"""Addresses as whoever has a link may see them: their owner knows them, and who was forwarded the mail does not."""

from typing import Final
from urllib.parse import urlsplit

from models.vocabulary import Channel

_DOTS: Final = "•••"
_SHORT: Final = 4
"""So short a chat id shows nothing of itself."""


def masked(channel: Channel, address: str | None) -> str | None:
    """The address without what tells whose it is; None where there is none, or the contact itself is the address."""
    if address is None:
        return None
    match channel:
        case Channel.EMAIL:
            local, _, domain = address.rpartition("@")
            return f"{local[:1] if len(local) > 2 else ''}{_DOTS}@{domain}"
        case Channel.TELEGRAM:
            return _DOTS + (address[-2:] if len(address) > _SHORT else "")
        case Channel.WEBHOOK:
            return f"{urlsplit(address).hostname or ''}/{_DOTS}"
        case Channel.PUSH | Channel.ONSITE:
            return None
