"""Every channel there is, and how each is made: one screen, no magic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from channels import addresses, email, webhook
from channels.contract import Channel
from channels.guard import normal_url
from channels.settings import ChannelSettings
from models.vocabulary import Channel as ChannelName

_URLS_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """``check_address`` answers the form an address is used in, or raises ValueError; ``make`` makes the channel."""

    check_address: Callable[[str], str]
    make: Callable[[], Channel]


def configured(settings: ChannelSettings) -> Mapping[ChannelName, Entry]:
    """The channels that can send with these settings. Raises InvalidSetting where one cannot be used."""
    entries: dict[ChannelName, Entry] = {}
    if settings.smtp_url and settings.email_from:
        email.parse_sender(settings.email_from)  # a wrong one is said at the start, and not by the first message
        email_config = email.EmailConfig(settings.smtp_url, settings.email_from)
        entries[ChannelName.EMAIL] = Entry(addresses.check_address, lambda: email.EmailChannel(email_config))
    webhook_config = webhook.WebhookConfig(allow_nets=settings.webhook_allow_nets)
    # Many messages go to few endpoints.
    check_url = lru_cache(_URLS_KEPT)(normal_url)
    entries[ChannelName.WEBHOOK] = Entry(check_url, lambda: webhook.WebhookChannel(webhook_config))
    return entries
