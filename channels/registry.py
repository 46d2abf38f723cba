"""Every channel there is, and how each is made: one screen, no magic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from channels import addresses, dkim, email, onsite, push, webhook
from channels.contract import Channel, Limiter
from channels.guard import normal_url
from channels.settings import ChannelSettings
from channels.telegram_address import check_chat
from channels.vapid import Vapid, read_key_file
from models.vocabulary import Channel as ChannelName

_URLS_KEPT: Final = 4096
_WITNESSES: Final = 3
"""One stranger's push service that refuses the operator's key must not let everybody's channel rest."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What channels are made with: the limits that all workers keep, and how we sign for push services.

    ``slots``: how many sends of each channel this process has in hand at most.
    """

    limiter: Limiter
    vapid: Vapid
    slots: Mapping[ChannelName, int]

    def processes(self) -> int:
        """Over how many worker processes a limit is shared."""
        return self.limiter.processes


@dataclass(frozen=True, slots=True)
class Entry:
    """``make`` makes the channel, which keeps to what the outfit's limiter says."""

    make: Callable[[Outfit], Channel]


CHECKS: Final[Mapping[ChannelName, Callable[[str], str]]] = {
    ChannelName.EMAIL: addresses.check_address,
    ChannelName.WEBHOOK: lru_cache(_URLS_KEPT)(normal_url),  # many messages go to few endpoints
    ChannelName.TELEGRAM: check_chat,
    # On PUSH the address is the contact's id: its browsers stand in the envelope.
    ChannelName.PUSH: str,
    # On ONSITE it is the contact's id, too: nothing leaves the house.
    ChannelName.ONSITE: str,
}
"""Each answers the form an address is used in, or raises ValueError: whoever has set up the channel, or nobody."""


def configured(settings: ChannelSettings) -> Mapping[ChannelName, Entry]:
    """The channels that the operator can send on with these settings. Raises InvalidSetting where one cannot be used.

    Workspaces may have senders of their own beside: ``channels.senders``.
    """
    entries: dict[ChannelName, Entry] = {}
    if settings.smtp_url and settings.email_from:
        email_config = _email(settings, settings.smtp_url, settings.email_from)
        entries[ChannelName.EMAIL] = Entry(
            lambda outfit: email.EmailChannel(replace(email_config, processes=outfit.processes))
        )
    webhook_config = webhook.WebhookConfig(allow_nets=settings.webhook_allow_nets)
    entries[ChannelName.WEBHOOK] = Entry(lambda outfit: _webhook(webhook_config, outfit))
    if settings.vapid_private_key_file is not None:
        read_key_file(settings.vapid_private_key_file)  # as with the sender: a wrong one is said at the start
    push_config = push.PushConfig(allow_nets=settings.webhook_allow_nets)
    entries[ChannelName.PUSH] = Entry(lambda outfit: _push(push_config, outfit))
    entries[ChannelName.ONSITE] = Entry(lambda _: onsite.OnsiteChannel())
    if token := settings.telegram_bot_token:
        api_url = settings.telegram_api_url
        entries[ChannelName.TELEGRAM] = Entry(lambda outfit: telegram_channel(token, api_url, outfit.limiter))
    return entries


def _email(settings: ChannelSettings, smtp_url: str, email_from: str) -> email.EmailConfig:
    # What is wrong with sender or key is said at the start, and not by the first message.
    sender = email.parse_sender(email_from)
    signer = None
    if settings.dkim_key_file is not None:
        signer = dkim.Signer(sender.domain, dkim.read_keys(settings.dkim_key_file, settings.dkim_selectors))
    return email.EmailConfig(smtp_url, email_from, signer=signer, bounce_domain=settings.bounce_domain)


def _push(config: push.PushConfig, outfit: Outfit) -> Channel:
    slots = outfit.slots[ChannelName.PUSH]
    return push.PushChannel(config, outfit.vapid, slots=slots, processes=outfit.processes, witnesses=_WITNESSES)


def _webhook(config: webhook.WebhookConfig, outfit: Outfit) -> Channel:
    return webhook.WebhookChannel(config, slots=outfit.slots[ChannelName.WEBHOOK], processes=outfit.processes)


def telegram_channel(token: str, api_url: str, limiter: Limiter) -> Channel:
    """TELEGRAM by this bot, whoever set it up."""
    # Only now: the library takes longer to import than most commands take to run, and only workers send.
    from channels.telegram import TelegramChannel, TelegramConfig  # noqa: PLC0415 - see above

    return TelegramChannel(TelegramConfig(token, api_url), limiter)
