"""Suppressions by the thousand: taken in, and read from the first to the last."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.store import clock
from models.store.recordset import among
from models.store.rows import columns_of, read, upsert
from models.store.suppressions import NewSuppression, SuppressionFilter, SuppressionRow, conditions_of
from models.tables import suppressions

_AT_ONCE: Final = 500
_KEY: Final = ("workspace_id", "channel", "address_digest", "kind", "topic")


async def take_in(connection: AsyncConnection, workspace_id: UUID, new: Sequence[NewSuppression]) -> int:
    """Store suppressions; returns how many are new. One that stands lasts as long as the longer one."""
    now = await clock.read(connection)
    # In one order everywhere, so that two transactions never wait for each other in a circle.
    in_order = sorted(new, key=attrgetter("channel", "address_digest", "kind", "topic"))
    rows = [
        {
            "id": ids.new_id(),
            "workspace_id": workspace_id,
            "created_at": now,
            "said_at": now,
            **msgspec.structs.asdict(each),
        }
        for each in in_order
    ]
    is_sqlite = connection.dialect.name == "sqlite"
    statement = upsert(suppressions, is_sqlite=is_sqlite)
    given = statement.excluded
    longer = and_(
        suppressions.c.expires_at.is_not(None),
        or_(given.expires_at.is_(None), given.expires_at > suppressions.c.expires_at),
    )
    written = {name: case((longer, given[name]), else_=suppressions.c[name]) for name in ("reason", "note")}
    written["expires_at"] = case((longer, given.expires_at), else_=suppressions.c.expires_at)
    written["created_at"] = case((suppressions.c.expires_at <= now, given.created_at), else_=suppressions.c.created_at)
    written["said_at"] = given.said_at
    # Who was erased, and is entered again, has an address again.
    written["address"] = given.address
    made = 0
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        await connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=written), some)
        own = among(suppressions.c.id, [row["id"] for row in some], is_sqlite=is_sqlite)
        made += int(await connection.scalar(select(func.count()).select_from(suppressions).where(own)) or 0)
    return made


async def some_after(
    connection: AsyncConnection, workspace_id: UUID, wanted: SuppressionFilter, *, after: UUID | None, most: int
) -> list[SuppressionRow]:
    """Up to ``most`` suppressions, the oldest first, those with ids above ``after``."""
    conditions = conditions_of(workspace_id, wanted)
    if after is not None:
        conditions.append(suppressions.c.id > after)
    rows = await connection.execute(
        select(*columns_of(suppressions, SuppressionRow)).where(*conditions).order_by(suppressions.c.id).limit(most)
    )
    return [read(row, SuppressionRow) for row in rows]
