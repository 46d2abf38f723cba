"""Events as they come in: stored, matched and applied in one transaction, so that each row is written once.

What cannot be applied yet waits for the tracker: the events of messages that nobody knows so far, and hits, which have
to settle.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.evidence import Provider
from models.lifecycle import clamp
from models.store import applying, look_ups
from models.store.bulk import insert_columns_ignoring
from models.store.events import KEY, RawEvent, by_dedupe, columns_of, match
from models.store.recordset import among
from models.store.targets import Target
from models.tables import events


class Arrived(NamedTuple):
    """How many events were new, and how many of these are left to the tracker."""

    new: int
    left: int


async def take_in(
    connection: AsyncConnection,
    *,
    workspace_id: UUID,
    source_id: UUID,
    provider: str,
    events_: Sequence[ParsedEvent],
    once_stored: Callable[[], Awaitable[None]] | None = None,
) -> Arrived:
    """Store events and apply those whose message is known; those seen before are left alone. None of them settles.

    Their messages are locked first, then what is stored of the events: in this order everywhere. ``once_stored`` is
    called between, when every lock is held that is waited for.
    """
    if not events_:
        return Arrived(0, 0)
    now = await look_ups.begin(connection)
    given = sorted(events_, key=by_dedupe)
    columns = columns_of(given, workspace_id=workspace_id, source_id=source_id, provider=provider, now=now)
    is_ours = provider == Provider.WIREROOM.value
    raw = [_raw(event, id_, workspace_id, now, is_ours) for event, id_ in zip(given, columns["id"], strict=True)]
    targets = await match(connection, raw)
    placed = [(_at_its_time(*each), each[1]) for each in zip(raw, targets, strict=True)]
    columns |= {
        "at": [event.at for event, _ in placed],
        "message_id": _message_ids(columns["message_ref"], targets),
        "run": [event.run if target is None else target.about_run for event, target in placed],
        "applied_at": [None if target is None else now for target in targets],
    }
    new = await insert_columns_ignoring(connection, events, columns, key=KEY)
    if new < len(placed):
        stored = await _stored(connection, columns["id"]) if new else set()
        placed = [(event, target) for event, target in placed if event.id in stored]
    if once_stored is not None:
        await once_stored()
    matched = [(event, target) for event, target in placed if target is not None]
    await applying.act_on(connection, matched)
    return Arrived(new, len(placed) - len(matched))


def _raw(event: ParsedEvent, event_id: UUID, workspace_id: UUID, now: int, is_ours: bool) -> RawEvent:
    return RawEvent(
        id=event_id,
        workspace_id=workspace_id,
        type=event.type,
        message_ref=event.message_ref,
        provider_ref=event.provider_ref,
        run=event.run,
        at=clamp(event.at, created_at=0, received_at=now),
        received_at=now,
        bounce_type=event.bounce_type,
        reason=event.reason,
        machine=event.machine,
        is_ours=is_ours,
    )


def _at_its_time(event: RawEvent, target: Target | None) -> RawEvent:
    """The event, at the earliest when its message was made."""
    if target is None or event.message_ref is None or event.at >= target.made_at:
        return event
    return msgspec.structs.replace(event, at=target.made_at)


def _message_ids(named: list[UUID | None], targets: Sequence[Target | None]) -> list[UUID | None]:
    """The message of each event: the very list of those that they name, where each is known by that."""
    if all(target is not None and each is not None for target, each in zip(targets, named, strict=True)):
        return named
    return [None if target is None else target.id for target in targets]


async def _stored(connection: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    is_sqlite = connection.dialect.name == "sqlite"
    return set(await connection.scalars(select(events.c.id).where(among(events.c.id, ids, is_sqlite=is_sqlite))))
