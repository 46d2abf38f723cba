"""A contact's inbox as its owner reads it, and what the owner does in it.

Every answer about an inbox goes with its cursor, the number of its latest change: whoever asks for the changes above
it misses none (``inbox_deliveries`` says why).
"""

import hashlib
from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Uuid,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.evidence import Provider
from models.session import now_ms
from models.store import events
from models.store.recordset import Columns, among, parameters, recordset
from models.store.rows import read
from models.tables import contacts, inbox_items, inboxes, message_details
from models.vocabulary import EventType


class ItemRow(msgspec.Struct, frozen=True):
    """An item. ``number``: its place in the list. Times are milliseconds (UTC)."""

    message_id: UUID
    contact_id: UUID
    run: int
    number: int
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
_HIGHEST: Final = 2**63 - 1


def _alive(items: FromClause = inbox_items) -> ColumnElement[bool]:
    return or_(items.c.expires_at.is_(None), items.c.expires_at > now_ms())


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
    """Items by their numbers, which nothing changes, those above ``after``; also what has expired."""
    rows = await connection.execute(
        _ITEMS.where(inbox_items.c.contact_id == contact_id, inbox_items.c.number > after)
        .order_by(inbox_items.c.number)
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
    """What is new in an inbox: ``items`` in the order of their changes; ``cursor`` stands behind the last.

    ``is_whole``: there is no more.
    """

    items: list[ItemRow]
    cursor: int
    unread: int
    is_whole: bool


class Look(msgspec.Struct, frozen=True):
    """What there is to tell, by contact. ``gone``: the contacts that are no more; ``last``: the last one served.

    ``left_out``: how many have news that are not told of.
    """

    news: Mapping[UUID, News]
    gone: Collection[UUID]
    last: UUID | None
    left_out: int


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
    theirs = inbox_items.alias("theirs")
    # The change of the first item too many: found in the index, so a long inbox costs what its share does.
    beyond = (
        select(theirs.c.change)
        .where(theirs.c.contact_id == seen.c.contact_id, theirs.c.change > seen.c.after, _alive(theirs))
        .order_by(theirs.c.change)
        .limit(1)
        .offset(bindparam("of_each", type_=Integer))
        .scalar_subquery()
    )
    return (
        _ITEMS.join(seen, and_(seen.c.contact_id == inbox_items.c.contact_id, inbox_items.c.change > seen.c.after))
        .where(inbox_items.c.change < func.coalesce(beyond, _HIGHEST), _alive())
        .order_by(inbox_items.c.contact_id, inbox_items.c.change)
    )


async def look(connection: AsyncConnection, seen: Mapping[UUID, int], *, most: int, behind: UUID | None = None) -> Look:
    """What is new above these cursors (by contact), up to ``most`` items in all; one statement where nothing is.

    Whoever has news gets an equal share, however much waits for others. Where they are too many for that, those that
    follow the contact ``behind`` in the order of ids come first, then the others from the lowest on.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    values = parameters("seen", _SEEN, sorted(seen.items()), is_sqlite=is_sqlite)
    found = (await connection.execute(_looking(is_sqlite), values)).all()
    gone = {row.contact_id for row in found if row.is_gone}
    cursors: dict[UUID, int] = {row.contact_id: row.last_change for row in found if not row.is_gone}
    if not cursors:
        return Look({}, gone, behind, 0)
    in_turn = sorted(cursors, key=lambda each: (behind is not None and each <= behind, each))[:most]
    of_each = most // len(in_turn)
    shares = parameters("seen", _SEEN, [(each, seen[each]) for each in in_turn], is_sqlite=is_sqlite)
    items: dict[UUID, list[ItemRow]] = {each: [] for each in in_turn}
    for row in await connection.execute(_reading(is_sqlite), {**shares, "of_each": of_each}):
        items[row.contact_id].append(read(row, ItemRow))
    counts = await unread(connection, in_turn)
    news = {
        each: _news(theirs, cursors[each], counts.get(each, 0), is_cut=len(theirs) == of_each)
        for each, theirs in items.items()
    }
    return Look(news, gone, in_turn[-1], len(cursors) - len(in_turn))


def _news(items: list[ItemRow], latest: int, unread_: int, *, is_cut: bool) -> News:
    """``latest``: the inbox's cursor, seen before the items were, so that what they show may be newer."""
    last = items[-1].change if items else 0
    is_whole = last >= latest or not is_cut
    return News(items, max(last, latest) if is_whole else last, unread_, is_whole)
