"""A contact's inbox as its owner reads it, and what the owner does in it.

Every answer about an inbox goes with its cursor, the number of its latest change: whoever asks for the changes above
it misses none (``inbox_deliveries`` says why).
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Uuid, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.session import now_ms
from models.store import events
from models.store.recordset import Columns, among, parameters, recordset
from models.store.rows import read
from models.tables import contacts, inbox_items, inboxes, message_details
from models.vocabulary import EventType, Provider


class ItemRow(msgspec.Struct, frozen=True):
    """An item. Times are milliseconds (UTC)."""

    message_id: UUID
    contact_id: UUID
    run: int
    change: int
    subject: str
    body: str
    is_html: bool
    url: str | None
    icon: str | None
    metadata: dict[str, Any]
    essential: bool
    created_at: int
    expires_at: int | None
    read_at: int | None
    clicked_at: int | None
    archived_at: int | None


class Summary(msgspec.Struct, frozen=True):
    """``cursor``: the number of the inbox's latest change, 0 before the first."""

    cursor: int
    unread: int


class Act(StrEnum):
    """What the owner does with an item."""

    READ = "read"
    """It was shown."""
    CLICK = "click"
    """Its link was followed, so it was shown, too."""
    ARCHIVE = "archive"
    """It is put away."""


_SETS: Final[Mapping[Act, tuple[str, ...]]] = {
    Act.READ: ("read_at",),
    Act.CLICK: ("read_at", "clicked_at"),
    Act.ARCHIVE: ("archived_at",),
}
_TELLS: Final[Mapping[str, tuple[EventType, str]]] = {
    "read_at": (EventType.OPENED, "track_opens"),
    "clicked_at": (EventType.CLICKED, "track_clicks"),
}
"""What the tracker is told of a column, and by which column of the details it may be."""

_ITEM: Final = [
    (message_details if name in ("metadata", "essential") else inbox_items).c[name]
    for name in ItemRow.__struct_fields__
]
_ITEMS: Final = select(*_ITEM).join(message_details, message_details.c.message_id == inbox_items.c.message_id)
_SEEN: Final[Columns] = {"contact_id": Uuid(), "after": BigInteger()}


def _alive() -> ColumnElement[bool]:
    return or_(inbox_items.c.expires_at.is_(None), inbox_items.c.expires_at > now_ms())


async def workspace_of(connection: AsyncConnection, contact_id: UUID) -> UUID | None:
    """The workspace of a contact; None where there is none, or where it was erased."""
    found: UUID | None = await connection.scalar(
        select(contacts.c.workspace_id).where(contacts.c.id == contact_id, contacts.c.erased_at.is_(None))
    )
    return found


async def summary(connection: AsyncConnection, contact_id: UUID) -> Summary:
    """Where the inbox stands; what is read after it is at least as new."""
    cursor = await connection.scalar(select(inboxes.c.last_change).where(inboxes.c.contact_id == contact_id))
    return Summary(int(cursor or 0), (await unread(connection, [contact_id])).get(contact_id, 0))


async def page(
    connection: AsyncConnection, contact_id: UUID, *, archived: bool, before: UUID | None, limit: int
) -> list[ItemRow]:
    """Items that are archived or not, those that came before the item of the message ``before``; the latest first."""
    conditions = [inbox_items.c.contact_id == contact_id, _alive()]
    conditions.append(inbox_items.c.archived_at.is_not(None) if archived else inbox_items.c.archived_at.is_(None))
    if before is not None:
        anchor = select(inbox_items.c.number).where(
            inbox_items.c.contact_id == contact_id, inbox_items.c.message_id == before
        )
        conditions.append(inbox_items.c.number < anchor.scalar_subquery())
    rows = await connection.execute(_ITEMS.where(*conditions).order_by(inbox_items.c.number.desc()).limit(limit))
    return [read(row, ItemRow) for row in rows]


async def everything(connection: AsyncConnection, contact_id: UUID, *, after: int, most: int) -> list[ItemRow]:
    """Items by their latest change, those above ``after``; also what has expired."""
    rows = await connection.execute(
        _ITEMS.where(inbox_items.c.contact_id == contact_id, inbox_items.c.change > after)
        .order_by(inbox_items.c.change)
        .limit(most)
    )
    return [read(row, ItemRow) for row in rows]


async def unread(connection: AsyncConnection, contact_ids: Collection[UUID]) -> dict[UUID, int]:
    """By contact, how many items were neither read nor archived; only of those that have any."""
    rows = await connection.execute(
        select(inbox_items.c.contact_id, func.count().label("number"))
        .where(
            among(inbox_items.c.contact_id, contact_ids, is_sqlite=connection.dialect.name == "sqlite"),
            inbox_items.c.read_at.is_(None),
            inbox_items.c.archived_at.is_(None),
            _alive(),
        )
        .group_by(inbox_items.c.contact_id)
    )
    return {row.contact_id: row.number for row in rows}


async def act(
    connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, message_id: UUID, what: Act
) -> ItemRow | None:
    """Note what the owner did; None where the inbox has no such item. Doing it again changes nothing.

    What may be tracked of it becomes events, for the tracker to apply.
    """
    inbox = await connection.scalar(
        select(inboxes.c.last_change).where(inboxes.c.contact_id == contact_id).with_for_update()
    )
    item = inbox_items.c.message_id == message_id
    row = (
        await connection.execute(
            _ITEMS.add_columns(message_details.c.track_opens, message_details.c.track_clicks).where(
                item, inbox_items.c.contact_id == contact_id, _alive()
            )
        )
    ).first()
    if inbox is None or row is None:
        return None
    news = [column for column in _SETS[what] if row._mapping[column] is None]
    if news:
        await connection.execute(
            update(inboxes).where(inboxes.c.contact_id == contact_id).values(last_change=inbox + 1)
        )
        await connection.execute(
            update(inbox_items).where(item).values(change=inbox + 1, **{column: now_ms() for column in news})
        )
        tracked = [_TELLS[column][0] for column in news if column in _TELLS and row._mapping[_TELLS[column][1]]]
        await events.insert(
            connection,
            workspace_id=workspace_id,
            source_id=workspace_id,
            provider=Provider.WIREROOM.value,
            events_=[_event(type_, message_id, row.run) for type_ in tracked],
        )
        row = (await connection.execute(_ITEMS.where(item))).one()
    return read(row, ItemRow)


def _event(type_: EventType, message_id: UUID, run: int) -> ParsedEvent:
    said = f"inbox {type_.value} {message_id} {run}".encode()
    return ParsedEvent(
        type=type_,
        provider_event=f"inbox.{type_.value}",
        dedupe=hashlib.sha256(said).digest(),
        raw=said,
        at=None,
        message_ref=message_id,
        run=run,
    )


class News(msgspec.Struct, frozen=True):
    """What is new in an inbox: ``items`` in the order of their changes; ``cursor`` stands behind the last."""

    items: list[ItemRow]
    cursor: int
    unread: int


@cache
def _looking(is_sqlite: bool) -> Any:
    seen = recordset("seen", _SEEN, is_sqlite=is_sqlite)
    is_gone = or_(contacts.c.id.is_(None), contacts.c.erased_at.is_not(None))
    return (
        select(seen.c.contact_id, is_gone.label("is_gone"), inboxes.c.last_change)
        .select_from(seen)
        .outerjoin(contacts, contacts.c.id == seen.c.contact_id)
        .outerjoin(inboxes, inboxes.c.contact_id == seen.c.contact_id)
        .where(or_(is_gone, inboxes.c.last_change > seen.c.after))
    )


@cache
def _reading(is_sqlite: bool) -> Any:
    seen = recordset("seen", _SEEN, is_sqlite=is_sqlite)
    return (
        _ITEMS.join(seen, and_(seen.c.contact_id == inbox_items.c.contact_id, inbox_items.c.change > seen.c.after))
        .where(_alive())
        .order_by(inbox_items.c.contact_id, inbox_items.c.change)
    )


async def look(
    connection: AsyncConnection, seen: Mapping[UUID, int], *, most: int
) -> tuple[Mapping[UUID, News], Collection[UUID]]:
    """What is new above these cursors (by contact), up to ``most`` items in all; and which contacts are gone.

    One statement where nothing is new.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    values = parameters("seen", _SEEN, sorted(seen.items()), is_sqlite=is_sqlite)
    found = (await connection.execute(_looking(is_sqlite), values)).all()
    gone = {row.contact_id for row in found if row.is_gone}
    cursors: dict[UUID, int] = {row.contact_id: row.last_change for row in found if not row.is_gone}
    if not cursors:
        return {}, gone
    changed = parameters("seen", _SEEN, [(each, seen[each]) for each in sorted(cursors)], is_sqlite=is_sqlite)
    rows = await connection.execute(_reading(is_sqlite).limit(most), changed)
    items = [read(row, ItemRow) for row in rows]
    counts = await unread(connection, list(cursors))
    return _news(cursors, items, counts, whole=len(items) < most), gone


def _news(
    cursors: Mapping[UUID, int], items: Sequence[ItemRow], counts: Mapping[UUID, int], *, whole: bool
) -> dict[UUID, News]:
    """The items by contact. Where they are not ``whole``, the last contact's end early, and others' are missing."""
    by_contact: dict[UUID, list[ItemRow]] = {} if not whole else {each: [] for each in cursors}
    for item in items:
        by_contact.setdefault(item.contact_id, []).append(item)
    news: dict[UUID, News] = {}
    for contact_id, theirs in by_contact.items():
        cursor = theirs[-1].change if theirs else 0
        if whole or contact_id != items[-1].contact_id:
            cursor = max(cursor, cursors[contact_id])
        news[contact_id] = News(theirs, cursor, counts.get(contact_id, 0))
    return news
