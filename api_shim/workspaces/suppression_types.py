"""The JSON of suppressions in the "workspace" dialect."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.contact_types import WebUrl
from api_shim.workspaces.paging import Moment, Name, PageQuery, Pagination, Word
from models.suppression_reasons import SuppressionReason
from models.vocabulary import Channel, FailureReason, SuppressionKind

Note = Name
"""A person's own words. They may say who is meant, and go when that person is erased."""
AddressFilter = Annotated[str, Meta(max_length=2048)]


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
    reason: SuppressionReason = SuppressionReason.MANUAL
    note: Note | None = None
    expires_at: Moment | None = None


class SuppressionPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is to change of a suppression; ``expiresAt`` null: it no longer expires."""

    reason: SuppressionReason | UnsetType = UNSET
    note: Note | UnsetType | None = UNSET
    expires_at: Moment | UnsetType | None = UNSET


class SuppressionView(msgspec.Struct, rename="camel"):
    """A suppression; ``address`` is null once its owner was erased."""

    id: str
    channel: Channel
    kind: SuppressionKind
    topic: str | None
    address: str | None
    reason: SuppressionReason
    note: str | None
    message_id: str | None
    created_at: str
    expires_at: str | None


class SuppressionQuery(PageQuery, rename="camel"):
    """Filters of the suppression list, all ANDed."""

    channel: Channel | None = None
    kind: SuppressionKind | None = None
    reason: SuppressionReason | None = None
    topic: Word | None = None
    address: AddressFilter | None = None


class SuppressionList(msgspec.Struct):
    """A page of suppressions, the newest first."""

    data: list[SuppressionView]
    pagination: Pagination


class ReleaseRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """How a suppression is released. ``note``: why, in a person's own words, to be kept.

    ``resend``: the messages that FAILED because of it are sent again, up to 200 a request; this needs the scope
    ``messages:write``. None is sent twice, and none that has expired, or that something else stops. ``after``: ``next``
    of the answer before, to go on. ``dryRun`` counts them and changes nothing.
    """

    note: Note | None = None
    resend: bool = False
    after: str | None = None
    dry_run: bool = False


class ReleaseView(msgspec.Struct, rename="camel", kw_only=True):
    """A suppression that was released; ``id`` is its own. ``releasedBy``: a key, a person, or the reader.

    The reader is ``reader`` where it was done by a link of ours, and ``provider`` where a provider reported it.

    ``note``: why, of who released it. ``address`` is null once its owner was erased.
    """

    id: str
    channel: Channel
    kind: SuppressionKind
    topic: str | None
    address: str | None
    reason: SuppressionReason
    suppressed_at: str
    released_at: str
    released_by: str
    note: str | None


class ReleaseReply(msgspec.Struct, rename="camel", kw_only=True):
    """What a release did; ``released`` is null in a dry run.

    ``matching``: how many messages FAILED because of the suppression, in a dry run, else null. ``refused``: how many
    stay as they are because they would end at once, by reason. ``next``: give it as ``after`` to go on; null where
    there are no more.
    """

    released: ReleaseView | None
    matching: int | None
    retried: int
    refused: dict[FailureReason, int]
    next: str | None


class ReleaseQuery(PageQuery, rename="camel"):
    """Which releases."""

    channel: Channel | None = None
    address: AddressFilter | None = None


class ReleaseList(msgspec.Struct):
    """A page of releases, the latest first."""

    data: list[ReleaseView]
    pagination: Pagination
