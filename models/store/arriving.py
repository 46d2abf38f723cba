"""Events as they come in: stored, matched and applied in one transaction, so that each row is written once.

What cannot be applied yet waits for the tracker: the events of messages that nobody knows so far, and hits, which have
to settle.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.evidence import Provider
from models.lifecycle import clamp
from models.store import applying, clock
from models.store.bulk import insert_ignoring
from models.store.events import RawEvent, Target, match, row_of
from models.store.recordset import among
from models.tables import events


class Arrived(NamedTuple):
    """How many events were new, and how many of these are left to the tracker."""

    new: int
    left: int


async def take_in(
    connection: AsyncConnection, *, workspace_id: UUID, source_id: UUID, provider: str, events_: Sequence[ParsedEvent]
) -> Arrived:
    """Store events and apply those whose message is known; those seen before are left alone. None of them settles.

    Their messages are locked first, then what is stored of the events: in this order everywhere.
    """
    if not events_:
        return Arrived(0, 0)
    now = await clock.read(connection)
    given = sorted(events_, key=lambda event: event.dedupe)
    rows = [
        row_of(event, workspace_id=workspace_id, source_id=source_id, provider=provider, now=now) for event in given
    ]
    raw = [_raw(event, row) for event, row in zip(given, rows, strict=True)]
    targets = await match(connection, raw)
    placed = [(_place(*each), each[2]) for each in zip(raw, rows, targets, strict=True)]
    new = await insert_ignoring(connection, events, rows)
    if new < len(rows):
        stored = await _stored(connection, [event.id for event, _ in placed]) if new else set()
        placed = [(event, target) for event, target in placed if event.id in stored]
    matched = [(event, target) for event, target in placed if target is not None]
    await applying.act_on(connection, matched)
    return Arrived(new, len(placed) - len(matched))


def _raw(event: ParsedEvent, row: Mapping[str, Any]) -> RawEvent:
    now: int = row["received_at"]
    return RawEvent(
        id=row["id"],
        workspace_id=row["workspace_id"],
        type=event.type,
        message_ref=event.message_ref,
        provider_ref=event.provider_ref,
        run=event.run,
        at=clamp(event.at, created_at=0, received_at=now),
        received_at=now,
        bounce_type=event.bounce_type,
        reason=event.reason,
        machine=event.machine,
        is_ours=row["provider"] == Provider.WIREROOM.value,
    )


def _place(event: RawEvent, row: dict[str, Any], target: Target | None) -> RawEvent:
    """Complete the row by what the event's message says, and with it the event."""
    at = event.at
    if target is not None and event.message_ref is not None:
        at = max(at, target.made_at)
    row |= {
        "at": at,
        "message_id": None if target is None else target.id,
        "run": event.run if target is None else target.about_run,
        "applied_at": None if target is None else event.received_at,
    }
    return event if at == event.at else msgspec.structs.replace(event, at=at)


async def _stored(connection: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    is_sqlite = connection.dialect.name == "sqlite"
    return set(await connection.scalars(select(events.c.id).where(among(events.c.id, ids, is_sqlite=is_sqlite))))
