"""The JSON of contacts and their browsers in the "workspace" dialect."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.text_forms import LOCALE_OR_EMPTY, NO_CONTROLS, NO_CONTROLS_OR_EMPTY, TIMEZONE_OR_EMPTY
from api_shim.workspaces.paging import PageQuery, Pagination, Word
from models.vocabulary import Channel

MOST_TAGS: Final = 200
MOST_ATTRIBUTES: Final = 200
LARGEST_ATTRIBUTES: Final = 1 << 16
"""Bytes of all attributes of a contact, as JSON."""

ExternalId = Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_CONTROLS)]
Address = Annotated[str, Meta(min_length=1, max_length=320, pattern=NO_CONTROLS)]
WebUrl = Annotated[str, Meta(min_length=1, max_length=2048, pattern=NO_CONTROLS)]
_PersonName = Annotated[str, Meta(max_length=200, pattern=NO_CONTROLS_OR_EMPTY)]
_Phone = Annotated[str, Meta(max_length=50, pattern=NO_CONTROLS_OR_EMPTY)]
_Timezone = Annotated[
    str, Meta(max_length=64, pattern=TIMEZONE_OR_EMPTY, description="A name of the IANA time zone database.")
]
_Locale = Annotated[str, Meta(max_length=35, pattern=LOCALE_OR_EMPTY, description="BCP 47.")]
_ChatName = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_CONTROLS)]
_ChatNumber = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Tags = Annotated[list[Word], Meta(max_length=MOST_TAGS)]


class ContactRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A contact, or what is to change of one: a field that is left out stays, null clears it.

    ``attributes`` are merged (RFC 7396), null removes a name: at most 200, together 64 KiB as JSON. ``tags`` are
    replaced. ``webhookSecret`` (``whsec_…``) is made where a ``webhookUrl`` has none; a new one, or null to have one
    made, leaves the old one valid for 24 hours.
    """

    external_id: ExternalId | UnsetType | None = UNSET
    email: Address | UnsetType | None = UNSET
    phone: _Phone | UnsetType | None = UNSET
    first_name: _PersonName | UnsetType | None = UNSET
    last_name: _PersonName | UnsetType | None = UNSET
    timezone: _Timezone | UnsetType | None = UNSET
    locale: _Locale | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET
    tags: _Tags | UnsetType | None = UNSET
    telegram_chat_id: _ChatName | _ChatNumber | UnsetType | None = UNSET
    webhook_url: WebUrl | UnsetType | None = UNSET
    webhook_secret: Annotated[str, Meta(max_length=100)] | UnsetType | None = UNSET


class TagsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Tags to put on a contact and to take off; one that is in both is put on."""

    add: _Tags = []
    remove: _Tags = []


class ContactView(msgspec.Struct, rename="camel", kw_only=True):
    """A contact. ``webhookSecret`` is shown once, when it is made; ``erasedAt`` on what is left of an erased one.

    ``webhookSecretPreviousUntil``: until when the webhook secret before the present one is valid beside it.
    """

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
    webhook_secret_previous_until: str | None
    created_at: str
    updated_at: str
    erased_at: str | UnsetType = UNSET
    webhook_secret: str | UnsetType = UNSET


_Searched = Annotated[
    str,
    Meta(
        max_length=200,
        description="Up to 8 beginnings of words of name, mail address and external id, all of which must be found.",
    ),
]


class ContactQuery(PageQuery, rename="camel"):
    """Filters of the contact list, all ANDed."""

    q: _Searched | None = None
    tag: Annotated[str, Meta(max_length=100)] | None = None
    external_id: Annotated[str, Meta(max_length=255)] | None = None
    email: Annotated[str, Meta(max_length=320)] | None = None


class ContactList(msgspec.Struct):
    """A page of contacts, the newest first."""

    data: list[ContactView]
    pagination: Pagination


class AddressView(msgspec.Struct):
    """Where a contact is reached on one channel."""

    channel: Channel
    address: str


_BrowserPoint = Annotated[
    str,
    Meta(
        max_length=100,
        description="base64url of the 65 bytes of a P-256 point.",
        examples=["BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"],
    ),
]
_BrowserSecret = Annotated[
    str, Meta(max_length=40, description="base64url of 16 bytes.", examples=["BTBZMqHH6r4Tts7J_aSIgg"])
]
_Milliseconds = Annotated[float, Meta(description="Taken, and not kept: its push service says when a browser is gone.")]


class BrowserKeys(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a browser, as they stand in its ``PushSubscription.toJSON()``."""

    p256dh: _BrowserPoint
    auth: _BrowserSecret


class BrowserRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A browser's push subscription (RFC 8030, RFC 8291).

    Either as its ``PushSubscription.toJSON()`` gives it, with ``keys``, or flat, with ``p256dh`` and ``auth`` in the
    place of ``keys``; never both.
    """

    contact_id: str
    endpoint: WebUrl
    keys: BrowserKeys | None = None
    p256dh: _BrowserPoint | None = None
    auth: _BrowserSecret | None = None
    expiration_time: _Milliseconds | None = None
    topic: Word | None = None


class BrowserPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a browser: its keys and its contact change by another POST of the same endpoint."""

    topic: Word | UnsetType | None = UNSET


class BrowserView(msgspec.Struct, rename="camel"):
    """A browser that a contact is reached by."""

    id: str
    contact_id: str
    endpoint: str
    topic: str | None
    created_at: str


class BrowserQuery(PageQuery, rename="camel"):
    """Filters of the list of browsers."""

    contact_id: str | None = None


class BrowserList(msgspec.Struct):
    """A page of browsers, the newest first."""

    data: list[BrowserView]
    pagination: Pagination
