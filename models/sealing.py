"""What secrets are sealed for: what is sealed for one purpose opens for no other."""

from enum import StrEnum


class SealedFor(StrEnum):
    """A purpose; the value is part of the key that seals, and never changes."""

    SENDER = "sender"
    """The credentials of a workspace's own sender."""
    WEBHOOK = "webhook-secret"
    """What WEBHOOK messages to a contact are signed with."""
    SUBSCRIPTION = "subscription-secret"
    """What status events are signed with."""
    HOOK_KEY = "hook-key"
    """The unguessable part of a hook's address."""
    HOOK_SIGNING_KEY = "hook-signing-key"
    """What a provider signs its requests with."""
    HOOK_BASIC_AUTH = "hook-basic-auth"
    """The credentials that a provider's requests bring."""
