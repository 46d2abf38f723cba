"""Why an address is suppressed, or was."""

from enum import StrEnum
from typing import Final


class SuppressionReason(StrEnum):
    """Why an address is suppressed. Stable words that clients may switch on."""

    BOUNCED = "bounced"
    """A provider, or a mail that came back, said that a message bounced for good."""
    COMPLAINED = "complained"
    """Its owner called a message spam."""
    UNSUBSCRIBED = "unsubscribed"
    """Its owner opted out, by a link of ours or at the provider."""
    ADDRESS_DEAD = "address_dead"
    """The recipient's side said that there is no such address when a message was sent there."""
    BLOCKED = "blocked"
    """The chat blocked the bot, or never began with it."""
    ENDPOINT_GONE = "endpoint_gone"
    """The webhook's endpoint answered 410."""
    ENDPOINT_FAILING = "endpoint_failing"
    """The webhook's endpoint had failed for days."""
    MANUAL = "manual"
    """A person or a program of the workspace entered it; its ``note`` may say why."""


_WORDS: Final = frozenset(SuppressionReason)


def read(stored: str) -> SuppressionReason:
    """The reason as it is stored; other words are a person's, of a version that kept no notes."""
    return SuppressionReason(stored) if stored in _WORDS else SuppressionReason.MANUAL
