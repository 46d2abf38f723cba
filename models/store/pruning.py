"""Forgetting what is kept no longer: messages that ended long ago, with all that belongs to them.

Each call is a transaction of bounded work, along a primary key or an index of the lists: there is no index for this
alone, which every message would pay for. A message's id tells when it was made, and it cannot have ended before:
so those that are old enough by their ids are walked in order, and those among them that have not ended, or not long
ago, are passed over until the next walk.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import contents
from models.tables import (
    attempts,
    contacts,
    events,
    idempotency_keys,
    inbox_items,
    message_details,
    messages,
    sessions,
    sign_in_failures,
    status_events,
    subscriptions,
)
from models.vocabulary import State

_OVER: Final = (State.DONE, State.FAILED, State.CANCELLED)
STATUS_EVENTS_KEPT_MS: Final = 7 * 86_400_000
"""How long what a subscription was told is kept to be looked at."""
STATUS_EVENTS_WAIT_MS: Final = 30 * 86_400_000
"""How long what a subscription is to be told may wait, paused or switched off. All attempts take three days."""

FIRST: Final = UUID(int=0)
"""Where a walk begins."""


class Walked(msgspec.Struct, frozen=True):
    """How far a walk came: ``last`` is where it goes on, None where it is at its end; ``removed`` rows on the way."""

    last: UUID | None
    removed: int


def _id_at(milliseconds: int) -> UUID:
    """An id below all that are made from then on (RFC 9562, section 5.7)."""
    return UUID(int=max(milliseconds, 0) << 80)


def _walked(rows: Sequence[Any], most: int, removed: int) -> Walked:
    return Walked(rows[-1].id if len(rows) == most else None, removed)


async def remove_messages(
    connection: AsyncConnection, workspace_id: UUID, ended_before: int, *, after: UUID, most: int
) -> Walked:
    """Remove those of a workspace's next ``most`` messages that ended before then (milliseconds by the database).

    What somebody else has locked is passed over too.
    """
    ids: list[UUID] = []
    rows = (
        await connection.execute(
            select(messages.c.id, messages.c.state, messages.c.ended_at, messages.c.queued_at)
            .where(messages.c.workspace_id == workspace_id, messages.c.id > after, messages.c.id < _id_at(ended_before))
            .order_by(messages.c.id)
            .limit(most)
        )
    ).all()
    old = [each for each in rows if each.state in _OVER and each.ended_at < ended_before]
    if old:
        locked = await connection.scalars(
            select(messages.c.id)
            .where(
                messages.c.id.in_([each.id for each in old]),
                messages.c.state.in_(_OVER),
                messages.c.ended_at < ended_before,
            )
            .order_by(messages.c.id)
            .with_for_update(skip_locked=True)
        )
        ids = list(locked)
    if ids:
        await _remove(connection, ids, {each.queued_at for each in old})
    return _walked(rows, most, len(ids))


async def _remove(connection: AsyncConnection, ids: Sequence[UUID], queued_at: set[int]) -> None:
    found = await connection.scalars(
        select(message_details.c.content_id)
        .where(message_details.c.message_id.in_(ids), message_details.c.content_id.is_not(None))
        .distinct()
    )
    texts = [each for each in found if each is not None]
    await contents.hold_to_erase(connection, texts)
    for table in (message_details, attempts, events, inbox_items, status_events):
        await connection.execute(delete(table).where(table.c.message_id.in_(ids)))
    # A key is as old as its message; by that time there is an index, by the message there is none.
    await connection.execute(
        delete(idempotency_keys).where(
            idempotency_keys.c.created_at.in_(queued_at), idempotency_keys.c.message_id.in_(ids)
        )
    )
    await connection.execute(delete(messages).where(messages.c.id.in_(ids)))
    await contents.remove_unused(connection, texts)


async def remove_unmatched_events(
    connection: AsyncConnection, workspace_id: UUID, received_before: int, *, after: UUID, most: int
) -> Walked:
    """Remove those of a workspace's next ``most`` events that came in before then and belong to no message."""
    rows = (
        await connection.execute(
            select(events.c.id, events.c.received_at, events.c.applied_at)
            .where(
                events.c.workspace_id == workspace_id,
                events.c.message_id.is_(None),
                events.c.id > after,
                events.c.id < _id_at(received_before),
            )
            .order_by(events.c.id)
            .limit(most)
        )
    ).all()
    old = [each.id for each in rows if each.applied_at is not None and each.received_at < received_before]
    removed = 0
    if old:
        # Those that a tracker is about to match stay.
        unmatched = and_(events.c.id.in_(old), events.c.message_id.is_(None), events.c.applied_at.is_not(None))
        removed = (await connection.execute(delete(events).where(unmatched))).rowcount
    return _walked(rows, most, removed)


async def remove_inbox_items(
    connection: AsyncConnection, made_before: Mapping[UUID, int], *, after: UUID, most: int
) -> Walked:
    """Remove those of the next ``most`` inbox items, of all workspaces, that are older than ``made_before`` has it."""
    rows = (
        await connection.execute(
            select(inbox_items.c.message_id.label("id"), inbox_items.c.created_at, contacts.c.workspace_id)
            .join(contacts, contacts.c.id == inbox_items.c.contact_id)
            .where(inbox_items.c.message_id > after, inbox_items.c.message_id < _id_at(max(made_before.values())))
            .order_by(inbox_items.c.message_id)
            .limit(most)
        )
    ).all()
    old = [each.id for each in rows if each.created_at < made_before.get(each.workspace_id, 0)]
    removed = 0
    if old:
        removed = (await connection.execute(delete(inbox_items).where(inbox_items.c.message_id.in_(old)))).rowcount
    return _walked(rows, most, removed)


async def remove_ended_sessions(connection: AsyncConnection, most: int) -> int:
    """Remove up to ``most`` sessions that have ended; returns how many."""
    return await _remove_some(connection, sessions.c.id, sessions.c.ends_at <= now_ms(), most)


async def remove_sign_in_failures(connection: AsyncConnection, older_than_ms: int, most: int) -> int:
    """Remove up to ``most`` counts of failed sign-ins to which none was added for so long; returns how many."""
    old = sign_in_failures.c.failed_at <= now_ms() - older_than_ms
    return await _remove_some(connection, sign_in_failures.c.subject, old, most)


async def remove_status_events(connection: AsyncConnection, most: int) -> int:
    """Remove up to ``most`` status events that ended long ago, that nobody is subscribed to, or that waited too long.

    Returns how many.
    """
    gone = (await connection.scalars(_GONE)).all()
    unwanted = status_events.c.subscription_id.in_(gone)
    removed = await _remove_some(connection, status_events.c.id, unwanted, most) if gone else 0
    old = status_events.c.ended_at < now_ms() - STATUS_EVENTS_KEPT_MS
    removed += await _remove_some(connection, status_events.c.id, old, most - removed)
    # Their ids are in the order in which they were made: of the first ones all are too old, or there are no more.
    first = select(status_events.c.id).order_by(status_events.c.id).limit(most)
    stale = and_(status_events.c.id.in_(first), status_events.c.created_at < now_ms() - STATUS_EVENTS_WAIT_MS)
    return removed + await _remove_some(connection, status_events.c.id, stale, most - removed)


def _gone() -> Select[Any]:
    """The subscriptions that were removed and have events: along the index, one probe for each that has any."""
    column = status_events.c.subscription_id
    first = select(column).order_by(column).limit(1).scalar_subquery()
    known = select(first.label("id")).cte("known", recursive=True)
    following = select(column).where(column > known.c.id).order_by(column).limit(1).correlate(known).scalar_subquery()
    known = known.union_all(select(following).where(known.c.id.is_not(None)))
    return select(known.c.id).where(known.c.id.is_not(None), known.c.id.not_in(select(subscriptions.c.id)))


_GONE: Final = _gone()


async def _remove_some(
    connection: AsyncConnection, key: ColumnElement[Any], condition: ColumnElement[bool], most: int
) -> int:
    some = select(key).where(condition).limit(most).with_for_update(skip_locked=True)
    return (await connection.execute(delete(key.table).where(key.in_(some)))).rowcount
