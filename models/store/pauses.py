"""Channels at rest: a sender that is misconfigured is not tried by anybody for a while."""

import msgspec
from sqlalchemy import BigInteger, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.rows import upsert
from models.tables import channel_pauses
from models.vocabulary import Channel


class Rest(msgspec.Struct, frozen=True):
    """A rest: until when (milliseconds, UTC), and what the sender said."""

    until: int
    detail: str


async def standing(connection: AsyncConnection) -> dict[Channel, Rest]:
    """The channels that rest now."""
    pauses = channel_pauses.c
    rows = await connection.execute(select(pauses.channel, pauses.until, pauses.detail).where(pauses.until > now_ms()))
    return {Channel(row.channel): Rest(row.until, row.detail) for row in rows}


async def rest(connection: AsyncConnection, channel: Channel, rest_ms: int, detail: str) -> None:
    """Let a channel that is misconfigured rest, for all workers, for ``rest_ms`` from now."""
    until = now_ms() + bindparam("rest_ms", rest_ms, BigInteger())
    insert = upsert(channel_pauses, is_sqlite=connection.dialect.name == "sqlite")
    statement = insert.values(channel=channel.value, until=until, detail=detail)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[channel_pauses.c.channel],
            set_={"until": statement.excluded.until, "detail": statement.excluded.detail},
        )
    )
