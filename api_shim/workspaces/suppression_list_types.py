"""The JSON of suppressions by the thousand, and the columns that they have as CSV."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api_shim.workspaces.contact_types import WebUrl
from api_shim.workspaces.paging import Moment, Word
from api_shim.workspaces.suppression_types import Note, SuppressionView
from models.suppression_reasons import SuppressionReason
from models.vocabulary import Channel, SuppressionKind

_Ignored = Annotated[str, Meta(max_length=100)]


class SuppressionLine(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """An address that is not to be written to. What an export has is read again as it is.

    ``kind``: by default an entry with a topic is an ``opt_out``, one without is ``dead``. One whose ``addressErased``
    is true is left out, since nobody knows its address. ``id``, ``messageId`` and ``createdAt`` are not looked at.
    """

    channel: Channel = Channel.EMAIL
    address: WebUrl | None = None
    kind: SuppressionKind | None = None
    topic: Word | None = None
    reason: SuppressionReason = SuppressionReason.MANUAL
    note: Note | None = None
    expires_at: Moment | None = None
    address_erased: bool = False
    id: _Ignored | None = None
    message_id: _Ignored | None = None
    created_at: _Ignored | None = None


class ImportReply(msgspec.Struct, rename="camel", kw_only=True):
    """What an import did: ``read`` lines, of which ``created`` were new; ``erased`` ones were left out."""

    read: int
    created: int
    erased: int


class SuppressionExportFilter(msgspec.Struct, rename="camel"):
    """Which suppressions, all ANDed."""

    channel: Channel | None = None
    kind: SuppressionKind | None = None
    reason: SuppressionReason | None = None
    topic: Word | None = None


class ExportedSuppression(SuppressionView, rename="camel", kw_only=True):
    """A suppression; ``addressErased``: a keyed digest is all that is left of its address."""

    address_erased: bool


class SuppressionExport(msgspec.Struct, rename="camel"):
    """Suppressions, the oldest first."""

    exported_at: str
    data: list[ExportedSuppression]


COLUMNS: Final = tuple(field.encode_name for field in msgspec.structs.fields(ExportedSuppression))
"""The columns of an export as CSV."""
