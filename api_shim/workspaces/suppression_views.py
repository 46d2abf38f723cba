"""Suppressions and their releases as the "workspace" dialect shows them."""

from typing import Any

from api_shim.workspaces.suppression_types import ReleaseView, SuppressionView
from models import ids, suppression_reasons
from models.ids import Kind
from models.store.releases import ReleaseRow
from models.store.suppressions import SuppressionRow
from models.timestamps import show, show_optional


def suppression_view(row: SuppressionRow) -> SuppressionView:
    """A suppression."""
    reason = suppression_reasons.read(row.reason)
    return SuppressionView(
        id=ids.show(Kind.SUPPRESSION, row.id),
        channel=row.channel,
        kind=row.kind,
        topic=row.topic or None,
        address=row.address,
        reason=reason,
        note=row.note if reason.value == row.reason else row.reason,
        message_id=None if row.message_id is None else ids.show(Kind.MESSAGE, row.message_id),
        created_at=show(row.created_at),
        expires_at=show_optional(row.expires_at),
    )


def release_fields(row: ReleaseRow) -> dict[str, Any]:
    """The fields of a ``ReleaseView``."""
    return {
        "id": ids.show(Kind.SUPPRESSION, row.id),
        "channel": row.channel,
        "kind": row.kind,
        "topic": row.topic or None,
        "address": row.address,
        "reason": suppression_reasons.read(row.reason),
        "suppressed_at": show(row.suppressed_at),
        "released_at": show(row.released_at),
        "released_by": row.released_by,
        "note": row.note,
    }


def release_view(row: ReleaseRow) -> ReleaseView:
    """A release."""
    return ReleaseView(**release_fields(row))
