"""The JSON of contacts, their browsers and their suppressions in the "workspace" dialect."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.paging import NO_CONTROLS, Moment, Name, PageQuery, Pagination, Word
from models.vocabulary import Channel, SuppressionKind

ExternalId = Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_CONTROLS)]
Address = Annotated[str, Meta(min_length=1, max_length=320)]
WebUrl = Annotated[str, Meta(min_length=1, max_length=2048)]
_PERSON_NAME = Annotated[str, Meta(max_length=200)]


class ContactRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A contact, or what is to change of one: a field that is left out stays, null clears it.

    ``attributes`` are merged, name by name; null removes a name. ``webhookSecret`` (``whsec_…``) is made where a
    ``webhookUrl`` has none; a new one, or null to have one made, leaves the old one valid for 24 hours.
    """

    external_id: ExternalId | UnsetType | None = UNSET
    email: Address | UnsetType | None = UNSET
    phone: Annotated[str, Meta(max_length=50)] | UnsetType | None = UNSET
    first_name: _PERSON_NAME | UnsetType | None = UNSET
    last_name: _PERSON_NAME | UnsetType | None = UNSET
    timezone: Annotated[str, Meta(max_length=64)] | UnsetType | None = UNSET
    locale: Annotated[str, Meta(max_length=35)] | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET
    tags: Annotated[list[Word], Meta(max_length=200)] | UnsetType | None = UNSET
    telegram_chat_id: Annotated[str, Meta(min_length=1, max_length=64)] | int | UnsetType | None = UNSET
    webhook_url: WebUrl | UnsetType | None = UNSET
    webhook_secret: Annotated[str, Meta(max_length=100)] | UnsetType | None = UNSET


class ContactView(msgspec.Struct, rename="camel", kw_only=True):
    """A contact. ``webhookSecret`` is shown once, when it is made; ``erasedAt`` on what is left of an erased one."""

    id: str
    external_id: str | None
    email: str | None
    phone: str | None
    first_name: str | None
    last_name: str | None
    timezone: str | None
    locale: str | None
    attributes: dict[str, Any]
    tags: list[str]
    telegram_chat_id: str | None
    webhook_url: str | None
    created_at: str
    updated_at: str
    erased_at: str | UnsetType = UNSET
    webhook_secret: str | UnsetType = UNSET


class ContactQuery(PageQuery, rename="camel"):
    """Filters of the contact list, all ANDed."""

    external_id: str | None = None
    email: str | None = None


class ContactList(msgspec.Struct):
    """A page of contacts, the newest first."""

    data: list[ContactView]
    pagination: Pagination


class BrowserRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A browser's push subscription (RFC 8030, RFC 8291), as its ``PushSubscription.toJSON()`` gives it.

    It is kept; this version has no sender for PUSH yet.
    """

    contact_id: str
    endpoint: WebUrl
    p256dh: Annotated[str, Meta(max_length=100, description="base64url of the 65 bytes of a P-256 point.")]
    auth: Annotated[str, Meta(max_length=40, description="base64url of 16 bytes.")]
    topic: Word | None = None


class BrowserView(msgspec.Struct, rename="camel"):
    """A browser that a contact is reached by."""

    id: str
    contact_id: str
    endpoint: str
    topic: str | None
    created_at: str


class SuppressionRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An address that is not to be written to.

    ``dead`` stops everything; ``opt_out`` stops what is not essential, of one ``topic`` or of the whole channel.
    By default an entry with a topic is an ``opt_out``, one without is ``dead``.
    """

    channel: Channel
    address: WebUrl
    kind: SuppressionKind | None = None
    topic: Word | None = None
    reason: Name = "manual"
    expires_at: Moment | None = None


class SuppressionView(msgspec.Struct, rename="camel"):
    """A suppression; ``address`` is null once its owner was erased."""

    id: str
    channel: Channel
    kind: SuppressionKind
    topic: str | None
    address: str | None
    reason: str
    message_id: str | None
    created_at: str
    expires_at: str | None


class SuppressionQuery(PageQuery, rename="camel"):
    """Filters of the suppression list, all ANDed."""

    channel: Channel | None = None
    address: str | None = None


class SuppressionList(msgspec.Struct):
    """A page of suppressions, the newest first."""

    data: list[SuppressionView]
    pagination: Pagination
