"""The JSON of suppressions in the "workspace" dialect."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.contact_types import WebUrl
from api_shim.workspaces.paging import Moment, Name, PageQuery, Pagination, Word
from models.vocabulary import Channel, SuppressionKind


class SuppressionRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An address that is not to be written to: ``address``, or that of the contact ``contactId`` on the channel.

    ``dead`` stops everything; ``opt_out`` stops what is not essential, of one ``topic`` or of the whole channel.
    By default an entry with a topic is an ``opt_out``, one without is ``dead``.
    """

    channel: Channel
    address: WebUrl | None = None
    contact_id: str | None = None
    kind: SuppressionKind | None = None
    topic: Word | None = None
    reason: Name = "manual"
    expires_at: Moment | None = None


class SuppressionPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a suppression; ``expiresAt`` null: it no longer expires."""

    reason: Name | UnsetType = UNSET
    expires_at: Moment | UnsetType | None = UNSET


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
    kind: SuppressionKind | None = None
    address: Annotated[str, Meta(max_length=2048)] | None = None


class SuppressionList(msgspec.Struct):
    """A page of suppressions, the newest first."""

    data: list[SuppressionView]
    pagination: Pagination
