"""The JSON of everything that is held of one person."""

from typing import Any

import msgspec

from api_shim.inbox_types import InboxItemView
from api_shim.workspaces.contact_types import AddressView, ContactView
from api_shim.workspaces.suppression_types import ReleaseView, SuppressionView
from api_shim.workspaces.types import AttemptView, MessageView
from models.content import Content
from models.vocabulary import BounceType, EventType


class ExportedBrowser(msgspec.Struct, rename="camel"):
    """A browser with the keys that it is written to with (RFC 8291)."""

    id: str
    endpoint: str
    p256dh: str
    auth: str
    topic: str | None
    created_at: str


class ExportedEvent(msgspec.Struct, rename="camel"):
    """What a provider or a reader reported. ``raw`` is as it was received."""

    id: str
    type: EventType
    provider: str
    provider_event: str
    at: str
    received_at: str
    recipient: str | None
    bounce_type: BounceType | None
    reason: str | None
    machine: bool
    raw: str


class ExportedMessage(MessageView, rename="camel", kw_only=True):
    """A message: ``content`` as it was written, before it was filled with ``variables``, and what became of it."""

    address: str | None
    variables: dict[str, Any]
    content: Content | None
    attempts: list[AttemptView]
    events: list[ExportedEvent]


class ContactExport(msgspec.Struct, rename="camel"):
    """Everything that is held of a person. ``unmatchedEvents``: reported of an address of theirs, of no message."""

    exported_at: str
    contact: ContactView
    addresses: list[AddressView]
    browsers: list[ExportedBrowser]
    messages: list[ExportedMessage]
    inbox: list[InboxItemView]
    suppressions: list[SuppressionView]
    releases: list[ReleaseView]
    unmatched_events: list[ExportedEvent]
