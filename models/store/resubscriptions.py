"""What providers report of readers who opted out and subscribed again: the latest word counts, however late it comes.

Each opt-out, and each new subscription, has the time at which it was said. Reports of both about one address take turns
(an advisory lock on PostgreSQL; on SQLite all writers do), since neither would see what the other has not committed.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, column, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import releases
from models.store.recordset import among
from models.store.releases import Key, Lift
from models.store.rows import upsert
from models.store.suppressions import Address, at_addresses, key_of
from models.tables import resubscriptions
from models.vocabulary import SuppressionKind

_KEY: Final = ("workspace_id", "channel", "address_digest", "topic")


async def weigh(
    connection: AsyncConnection, called_for: Sequence[tuple[int, dict[str, Any]]], resubscribed: Mapping[Key, int]
) -> None:
    """Suppress what is called for, and lift the opt-outs that readers took back at the provider.

    ``called_for``: rows of suppressions, each with the time of its report; ``resubscribed``: what was taken back, and
    when (milliseconds, UTC). What was released since a report happened is not suppressed by it. Of an opt-out and a
    subscription of the same time the opt-out stands. Dead addresses and complaints stay.
    """
    keys = {key_of(row) for _, row in called_for}
    opt_outs = {key for key in keys if key[3] == SuppressionKind.OPT_OUT.value} | resubscribed.keys()
    await _take_turns(connection, opt_outs)
    await _keep(connection, resubscribed)
    released = await releases.released_at(connection, keys)
    back = await _said(connection, opt_outs)
    stopped = [
        row | {"said_at": at if row["kind"] == SuppressionKind.OPT_OUT.value else None}
        for at, row in called_for
        if at > released.get(key_of(row), -1) and at >= back.get(key_of(row), 0)
    ]
    standing = {key_of(row) for row in stopped}
    lifted = [Lift(key, back[key]) for key in resubscribed if key not in standing]
    await releases.stop_and_lift(connection, stopped, lifted, by=releases.PROVIDER)


async def _take_turns(connection: AsyncConnection, keys: Collection[Key]) -> None:
    if not keys or connection.dialect.name == "sqlite":
        return
    numbers = sorted({_number(key) for key in keys})  # in one order everywhere
    given = bindparam("numbers", numbers, ARRAY(BigInteger))
    each = func.unnest(given).table_valued(column("number", BigInteger), name="each").render_derived()
    await connection.execute(select(func.count(func.pg_advisory_xact_lock(each.c.number))))


def _number(key: Key) -> int:
    workspace_id, channel, digest, _, topic = key
    named = b"|".join((workspace_id.bytes, digest, str(channel).encode(), topic.encode()))
    return int.from_bytes(hashlib.sha256(named).digest()[:8], signed=True)


async def _keep(connection: AsyncConnection, resubscribed: Mapping[Key, int]) -> None:
    if not resubscribed:
        return
    statement = upsert(resubscriptions, is_sqlite=connection.dialect.name == "sqlite")
    later = statement.on_conflict_do_update(
        index_elements=_KEY,
        set_={"said_at": statement.excluded.said_at},
        where=statement.excluded.said_at > resubscriptions.c.said_at,
    )
    rows = [
        {"workspace_id": key[0], "channel": key[1], "address_digest": key[2], "topic": key[4], "said_at": at}
        for key, at in sorted(resubscribed.items())
    ]
    await connection.execute(later, rows)


async def _said(connection: AsyncConnection, keys: Collection[Key]) -> dict[Key, int]:
    """When readers last took these opt-outs back, of those that they did."""
    if not keys:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    rows = await connection.execute(
        select(*(resubscriptions.c[name] for name in (*_KEY, "said_at"))).where(
            among(resubscriptions.c.workspace_id, {key[0] for key in keys}, is_sqlite=is_sqlite),
            among(resubscriptions.c.address_digest, {key[2] for key in keys}, is_sqlite=is_sqlite),
        )
    )
    kind = SuppressionKind.OPT_OUT.value
    found: dict[Key, int] = {(row[0], row[1], row[2], kind, row[3]): row[4] for row in rows}
    return {key: at for key, at in found.items() if key in keys}


async def forget(connection: AsyncConnection, workspace_id: UUID, addresses: Sequence[Address]) -> None:
    """Remove what is kept of these addresses."""
    await connection.execute(
        delete(resubscriptions).where(
            resubscriptions.c.workspace_id == workspace_id, at_addresses(addresses, resubscriptions)
        )
    )
