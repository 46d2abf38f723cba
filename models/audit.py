"""The words of the audit log: what people, keys and the command line did, one sentence under each."""

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from models import ids
from models.ids import Kind


class Action(StrEnum):
    """What was done: the kind of thing, a dot, and the verb."""

    SIGN_IN = "session.sign-in"
    """Somebody signed in, or was refused."""
    SIGN_OUT = "session.sign-out"
    """A person signed out."""
    OWN_PASSWORD = "session.password"
    """A person changed their own password, or gave a wrong present one."""
    SCOPE_MISSING = "access.scope"
    """A key or a person asked for what their scopes do not allow; always refused."""
    WORKSPACE_CREATE = "workspace.create"
    """A workspace was made."""
    SETTINGS_CHANGE = "settings.change"
    """The workspace's settings were changed."""
    KEY_CREATE = "key.create"
    """An API key was made."""
    KEY_CHANGE = "key.change"
    """An API key got another name or other scopes."""
    KEY_REVOKE = "key.revoke"
    """An API key was revoked."""
    USER_CREATE = "user.create"
    """An account was made for a person in the workspace."""
    USER_JOIN = "user.join"
    """A person who has an account was put into the workspace."""
    USER_CHANGE = "user.change"
    """A person got another role, or another password from somebody else."""
    USER_REMOVE = "user.remove"
    """A person was removed from the workspace."""
    SENDER_CREATE = "sender.create"
    """A sender of the workspace's own was made, with its credentials."""
    SENDER_CHANGE = "sender.change"
    """A sender, or its credentials, were changed."""
    SENDER_REMOVE = "sender.remove"
    """A sender was removed with its credentials."""
    HOOK_CREATE = "hook.create"
    """A hook was made under which a provider reports."""
    HOOK_CHANGE = "hook.change"
    """A hook, its signing key or its credentials were changed."""
    HOOK_REMOVE = "hook.remove"
    """A hook was removed."""
    SUBSCRIPTION_CREATE = "subscription.create"
    """An endpoint for status events was made."""
    SUBSCRIPTION_CHANGE = "subscription.change"
    """An endpoint for status events, or its secret, was changed."""
    SUBSCRIPTION_REMOVE = "subscription.remove"
    """An endpoint for status events was removed."""
    TEMPLATE_CREATE = "template.create"
    """A template was made."""
    TEMPLATE_CHANGE = "template.change"
    """A template was changed."""
    TEMPLATE_REMOVE = "template.remove"
    """A template was taken out of use."""
    CAMPAIGN_CREATE = "campaign.create"
    """A campaign was made."""
    CAMPAIGN_CHANGE = "campaign.change"
    """A campaign got another name."""
    CAMPAIGN_REMOVE = "campaign.remove"
    """A campaign was removed."""
    CAMPAIGN_PAUSE = "campaign.pause"
    """A campaign was paused."""
    CAMPAIGN_RESUME = "campaign.resume"
    """A paused campaign was let go on."""
    CAMPAIGN_CANCEL = "campaign.cancel"
    """A campaign was ended for good."""
    JOURNEY_CREATE = "journey.create"
    """A journey was made."""
    JOURNEY_CHANGE = "journey.change"
    """A journey got another name."""
    JOURNEY_REMOVE = "journey.remove"
    """A journey was removed."""
    SUPPRESSION_ADD = "suppression.add"
    """An address was suppressed by hand."""
    SUPPRESSION_CHANGE = "suppression.change"
    """It was changed why, or until when, an address is suppressed."""
    SUPPRESSION_RELEASE = "suppression.release"
    """An address was let be written to again."""
    SUPPRESSION_IMPORT = "suppression.import"
    """A list of suppressions was taken in."""
    CONTACT_ERASE = "contact.erase"
    """A person was erased from the workspace's contacts."""
    MESSAGE_CANCEL = "message.cancel"
    """A message was called back."""
    MESSAGE_RETRY = "message.retry"
    """A message was sent again by hand."""
    MESSAGE_RELEASE = "message.release"
    """A held message was sent again."""
    MESSAGE_FAIL = "message.fail"
    """A held message was given up."""
    MESSAGE_REPLAY = "message.replay"
    """Messages that did not arrive were sent again, many at a time."""
    SECRETS_RESEAL = "secrets.reseal"
    """What is sealed was sealed anew by the newest secret key."""


class Ending(StrEnum):
    """How it ended."""

    DONE = "done"
    """It was done, in the transaction that the entry was written in."""
    REFUSED = "refused"
    """It was refused; nothing was changed."""


class ActorKind(StrEnum):
    """Who did it."""

    USER = "user"
    """A person who was signed in, or signed in with the right password."""
    KEY = "key"
    """An API key."""
    COMMAND = "command"
    """Whoever ran ``wireroom`` on the machine of the database."""
    NOBODY = "nobody"
    """Somebody who did not prove who they are."""


_KINDS: Final = {ActorKind.USER: Kind.USER, ActorKind.KEY: Kind.KEY}

Details = dict[str, str | int | list[str]]
"""Names of changed fields, numbers, words of our own: never a secret, an address or a text."""


class Actor(msgspec.Struct, frozen=True):
    """Who did it; ``id`` of a user or a key."""

    kind: ActorKind
    id: UUID | None = None

    def shown(self) -> str:
        """``usr_…`` or ``key_…``, else the kind's own word."""
        kind = _KINDS.get(self.kind)
        return self.kind.value if kind is None or self.id is None else ids.show(kind, self.id)


COMMAND: Final = Actor(ActorKind.COMMAND)
NOBODY: Final = Actor(ActorKind.NOBODY)


def actor(text: str) -> Actor | None:
    """Who is shown so; None where nobody is."""
    for kind, of in _KINDS.items():
        found = ids.parse(of, text)
        if found is not None:
            return Actor(kind, found)
    return {each.shown(): each for each in (COMMAND, NOBODY)}.get(text)


class Thing(msgspec.Struct, frozen=True):
    """What it was done to."""

    kind: Kind
    id: UUID

    def shown(self) -> str:
        """Its id as the API shows it."""
        return ids.show(self.kind, self.id)


def thing(text: str) -> Thing | None:
    """What is shown so, in either dialect; None where nothing is."""
    for kind in Kind:
        found = ids.parse(kind, text)
        if found is not None:
            return Thing(kind, found)
    return None
