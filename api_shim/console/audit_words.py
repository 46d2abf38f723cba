"""What the audit log tells, in words for people: its actions, and what an entry says besides."""

from collections.abc import Mapping
from typing import Final

from models.audit import Action, Details
from models.ids import Kind

ACTIONS: Final[Mapping[Action, str]] = {
    Action.SIGN_IN: "Sign in",
    Action.SIGN_OUT: "Sign out",
    Action.OWN_PASSWORD: "Change one's own password",
    Action.SCOPE_MISSING: "Ask for what is not allowed",
    Action.WORKSPACE_CREATE: "Make the workspace",
    Action.SETTINGS_CHANGE: "Change the settings",
    Action.KEY_CREATE: "Make a key",
    Action.KEY_CHANGE: "Change a key",
    Action.KEY_REVOKE: "Revoke a key",
    Action.USER_CREATE: "Make somebody's account",
    Action.USER_JOIN: "Let somebody in",
    Action.USER_CHANGE: "Change somebody's role or password",
    Action.USER_REMOVE: "Remove somebody",
    Action.SENDER_CREATE: "Make a sender",
    Action.SENDER_CHANGE: "Change a sender",
    Action.SENDER_REMOVE: "Remove a sender",
    Action.HOOK_CREATE: "Make a hook",
    Action.HOOK_CHANGE: "Change a hook",
    Action.HOOK_REMOVE: "Remove a hook",
    Action.SUBSCRIPTION_CREATE: "Make an endpoint",
    Action.SUBSCRIPTION_CHANGE: "Change an endpoint",
    Action.SUBSCRIPTION_REMOVE: "Remove an endpoint",
    Action.TEMPLATE_CREATE: "Make a template",
    Action.TEMPLATE_CHANGE: "Change a template",
    Action.TEMPLATE_REMOVE: "Remove a template",
    Action.CAMPAIGN_CREATE: "Make a campaign",
    Action.CAMPAIGN_CHANGE: "Rename a campaign",
    Action.CAMPAIGN_REMOVE: "Remove a campaign",
    Action.CAMPAIGN_PAUSE: "Pause a campaign",
    Action.CAMPAIGN_RESUME: "Resume a campaign",
    Action.CAMPAIGN_CANCEL: "Cancel a campaign",
    Action.JOURNEY_CREATE: "Make a journey",
    Action.JOURNEY_CHANGE: "Rename a journey",
    Action.JOURNEY_REMOVE: "Remove a journey",
    Action.SUPPRESSION_ADD: "Suppress an address",
    Action.SUPPRESSION_CHANGE: "Change a suppression",
    Action.SUPPRESSION_RELEASE: "Release an address",
    Action.SUPPRESSION_IMPORT: "Import suppressions",
    Action.CONTACT_ERASE: "Erase a contact",
    Action.MESSAGE_CANCEL: "Cancel a message",
    Action.MESSAGE_RETRY: "Retry a message",
    Action.MESSAGE_RELEASE: "Release a held message",
    Action.MESSAGE_FAIL: "Give a held message up",
    Action.MESSAGE_REPLAY: "Send again what did not arrive",
    Action.SECRETS_RESEAL: "Seal the secrets anew",
}
"""What somebody did, or tried to do: one line of each."""

PLACES: Final[Mapping[Kind, str]] = {
    Kind.MESSAGE: "/messages",
    Kind.CAMPAIGN: "/campaigns",
    Kind.TEMPLATE: "/templates",
    Kind.SUPPRESSION: "/suppressions",
    Kind.SUBSCRIPTION: "/endpoints",
    Kind.KEY: "/keys",
    Kind.USER: "/users",
}
"""Below which page a thing has one of its own."""

ENDINGS: Final = frozenset(
    {
        Action.USER_REMOVE,
        Action.SUBSCRIPTION_REMOVE,
        Action.TEMPLATE_REMOVE,
        Action.CAMPAIGN_REMOVE,
        Action.SUPPRESSION_RELEASE,
    }
)
"""After these there is no page of it any more."""


def told(details: Details) -> str:
    """An entry's details in a line: ``role admin; scopes contacts, hooks``."""
    return "; ".join(f"{name} {_shown(value)}" for name, value in details.items())


def _shown(value: str | int | list[str]) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
