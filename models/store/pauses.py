"""Channels at rest: a sender that is misconfigured is not tried by anybody for a while."""

from sqlalchemy import BigInteger, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.rows import upsert
from models.tables import channel_pauses
from models.vocabulary import Channel


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
