"""Putting items into inboxes, in the transaction that records their messages as delivered.

Each change of an inbox, a new item too, has a number that is taken under a lock on the inbox's row and kept until the
commit. So numbers become visible in their order, and whoever has seen a number has missed none below it, whichever
message is older.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Uuid, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.progress import InboxItem
from models.store import clock
from models.store.bulk import insert_ignoring
from models.store.recordset import Columns, among, parameters, recordset
from models.store.rows import upsert
from models.tables import contacts, inbox_items, inboxes, messages


class Owner(msgspec.Struct, frozen=True):
    """Whose inbox a message goes to, and until when it is shown there (milliseconds, UTC)."""

    contact_id: UUID
    expires_at: int | None


class Delivery(msgspec.Struct, frozen=True):
    """An item of one run of a message."""

    message_id: UUID
    run: int
    owner: Owner
    item: InboxItem


_GROWN: Final[Columns] = {"contact_id": Uuid(), "by": BigInteger()}


async def hold_owners(connection: AsyncConnection, message_ids: Collection[UUID]) -> Mapping[UUID, Owner]:
    """By message id, the owners that are not erased; they cannot be until this transaction ends.

    Taken before any message is locked: an erasure holds its contact and locks no message.
    """
    rows = await connection.execute(
        select(messages.c.id, contacts.c.id.label("contact_id"), messages.c.expires_at)
        .join(
            contacts,
            and_(contacts.c.id == messages.c.contact_id, contacts.c.workspace_id == messages.c.workspace_id),
        )
        .where(
            among(messages.c.id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
            contacts.c.erased_at.is_(None),
        )
        .order_by(contacts.c.id)
        .with_for_update(read=True, key_share=True, of=contacts)
    )
    return {row.id: Owner(row.contact_id, row.expires_at) for row in rows}


async def deliver(connection: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
    """Put each item into its owner's inbox, unless its message is there already; the messages are locked."""
    known = await _known(connection, [each.message_id for each in deliveries])
    new = [each for each in deliveries if each.message_id not in known]
    if not new:
        return
    now = await clock.read(connection)
    numbers = await _take_numbers(connection, Counter(each.owner.contact_id for each in new))
    rows = []
    for each in sorted(new, key=lambda each: each.message_id):
        number = numbers[each.owner.contact_id] = numbers[each.owner.contact_id] + 1
        rows.append(
            {
                "message_id": each.message_id,
                "contact_id": each.owner.contact_id,
                "run": each.run,
                "number": number,
                "change": number,
                "subject": each.item.subject,
                "body": each.item.body,
                "is_html": each.item.is_html,
                "url": each.item.url,
                "icon": each.item.icon,
                "created_at": now,
                "expires_at": each.owner.expires_at,
            }
        )
    await insert_ignoring(connection, inbox_items, rows)


async def _known(connection: AsyncConnection, message_ids: Sequence[UUID]) -> set[UUID]:
    is_sqlite = connection.dialect.name == "sqlite"
    found = await connection.scalars(
        select(inbox_items.c.message_id).where(among(inbox_items.c.message_id, message_ids, is_sqlite=is_sqlite))
    )
    return set(found)


async def _take_numbers(connection: AsyncConnection, growth: Mapping[UUID, int]) -> dict[UUID, int]:
    """By contact, the number before the first of those that are now its items'; inboxes are locked in id order."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = sorted(growth.items())
    taken = await connection.execute(_growing(is_sqlite), parameters("grown", _GROWN, rows, is_sqlite=is_sqlite))
    return {row.contact_id: row.last_change - growth[row.contact_id] for row in taken}


@cache
def _growing(is_sqlite: bool) -> Any:
    grown = recordset("grown", _GROWN, is_sqlite=is_sqlite)
    # SQLite reads ON CONFLICT after a SELECT without WHERE as part of a join (https://sqlite.org/lang_upsert.html).
    rows = select(grown.c.contact_id, grown.c.by).where(grown.c.by > 0)
    insert = upsert(inboxes, is_sqlite=is_sqlite).from_select(["contact_id", "last_change"], rows)
    return insert.on_conflict_do_update(
        index_elements=[inboxes.c.contact_id],
        set_={"last_change": inboxes.c.last_change + insert.excluded.last_change},
    ).returning(inboxes.c.contact_id, inboxes.c.last_change)
