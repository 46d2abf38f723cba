"""What is said: stored once for all the messages of a workspace that say the same.

Two meet here. An intake stores a text, or finds it stored, and then a message that refers to it; an eraser removes
texts to which no message refers any more. So an intake holds (``FOR KEY SHARE``) the texts it found until its
messages are committed, and an eraser takes a text for itself (``FOR UPDATE``), which waits for those who hold it,
before it looks whether anything refers to it. On SQLite there is one writer at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.bulk import insert_ignoring
from models.store.recordset import among
from models.tables import contents, message_details, messages
from models.vocabulary import Channel


async def load(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """What is said, in its stored form (``models.content``), by content id. It is never changed, but may be erased."""
    wanted = among(contents.c.id, ids, is_sqlite=connection.dialect.name == "sqlite")
    rows = await connection.execute(select(contents.c.id, contents.c.source).where(wanted))
    return {row.id: row.source for row in rows}


class Said(msgspec.Struct, frozen=True):
    """What a message said, in its stored form, the values that filled it, and whose it is."""

    workspace_id: UUID
    channel: Channel
    content_id: UUID
    source: bytes
    variables: Mapping[str, Any]


async def of_message(connection: AsyncConnection, message_id: UUID) -> Said | None:
    """What the message said; None where there is no such message, or its recipient was erased.

    Of the erased the values are gone that filled it, and with them what its links led to.
    """
    found = await connection.execute(
        select(
            messages.c.workspace_id,
            messages.c.channel,
            contents.c.id,
            contents.c.source,
            message_details.c.variables,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .join(contents, contents.c.id == message_details.c.content_id)
        .where(messages.c.id == message_id, message_details.c.address.is_not(None))
    )
    row = found.first()
    return None if row is None else Said(row.workspace_id, Channel(row.channel), row.id, row.source, row.variables)


async def owner_of_message(connection: AsyncConnection, message_id: UUID) -> UUID | None:
    """Whose the message is; None where there is no such message, or its recipient was erased."""
    owner: UUID | None = await connection.scalar(
        select(messages.c.workspace_id)
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(messages.c.id == message_id, message_details.c.address.is_not(None))
    )
    return owner


async def keep(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store texts, in id order; those stored already stay, and nobody removes them before this transaction ends."""
    missing = rows
    while missing:
        new = await insert_ignoring(connection, contents, missing)
        if new == len(missing) or connection.dialect.name == "sqlite":
            return
        found = await connection.scalars(
            select(contents.c.id)
            .where(among(contents.c.id, [row["id"] for row in missing], is_sqlite=False))
            .order_by(contents.c.id)
            .with_for_update(read=True, key_share=True)
        )
        held = set(found)
        # What an eraser removed between the two statements is stored anew.
        missing = [row for row in missing if row["id"] not in held]


async def hold_to_erase(connection: AsyncConnection, ids: Collection[UUID]) -> None:
    """Keep other erasers from these texts: two that each still see the other's reference would leave a text behind.

    No intake waits for this.
    """
    held = select(contents.c.id).where(contents.c.id.in_(ids)).order_by(contents.c.id)
    await connection.execute(held.with_for_update(key_share=True))


async def remove_unused(connection: AsyncConnection, ids: Collection[UUID]) -> None:
    """Remove those of ``ids``, held by ``hold_to_erase``, to which no message refers."""
    unused = ~exists().where(message_details.c.content_id == contents.c.id)
    # Only these are taken away from intakes: a campaign's text, which thousands share, is not.
    seen = await connection.scalars(
        select(contents.c.id).where(contents.c.id.in_(ids), unused).order_by(contents.c.id).with_for_update()
    )
    # A statement of its own, that sees the messages of all for whom the lock above waited.
    if taken := list(seen):
        await connection.execute(delete(contents).where(contents.c.id.in_(taken), unused))
