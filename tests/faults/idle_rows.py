"""A million rows that cannot be sent now cost a claim nothing: parked, scheduled, or paused after they had their turn.

Judged by how many rows and pages of the database a claim reads with them and without: that is the same on any machine.
Of those just paused the rows alone are judged: what had a turn leaves entries of the index behind, which the database
itself removes with its next vacuum, and until then whoever reads there passes by them, whatever a claim asks for.
A build that looks for its work by state and time is caught.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from bench.list_plans import Plan
from models import migrate
from models.session import Database, async_url
from models.store import claim_rows
from models.vocabulary import Channel, Lane
from tests.faults.experiment import Found, Place, Size
from tests.support.plans import statements

_SIZES: Final = {Size.SHORT: 6_000, Size.MINUTES: 100_000, Size.FULL: 1_000_000}
_CLAIMED: Final = 200
_WORKSPACE: Final = UUID(int=1)
_MOST_PAGES_MORE: Final = 3 * _CLAIMED
"""Indexes are a level deeper where there are a million rows, and each claimed row is looked up in three."""

_MESSAGES: Final = """
INSERT INTO messages (id, workspace_id, contact_id, channel, lane, state, turn, due_at, queued_at, paused)
SELECT lpad(to_hex(n), 32, '0')::uuid, :workspace, :workspace, :channel, :lane, 'queued',
    CASE WHEN :kind = 'ready' THEN n END, CASE WHEN :kind = 'scheduled' THEN 4000000000000 ELSE 0 END, 0,
    :kind = 'paused'
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
"""
_DETAILS: Final = """
INSERT INTO message_details (message_id, workspace_id, content_id, step, address_digest, on_unknown, track_opens,
    track_clicks, variables, metadata)
SELECT id, workspace_id, id, 1, '', 'retry', false, false, '{}', '{}' FROM messages
"""
_EXPLAIN: Final = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
_PAUSE: Final = "UPDATE messages SET paused = true, turn = NULL WHERE turn <= :last"


class _Cost(msgspec.Struct, frozen=True):
    """What a claim takes of the database."""

    rows: int
    pages: int
    milliseconds: float


async def run(place: Place, size: Size) -> Found:
    """The cost of one claim beside ever more rows that are not ready."""
    url = place.server.url(place.server.create())
    await migrate.upgrade_to_head(database := Database.connect(url, pool_size=1))
    engine = create_async_engine(async_url(url))  # not ours, whose statements may not take that long
    third = _SIZES[size] // 3
    costs: dict[str, _Cost] = {}
    try:
        # Those that had a turn had an earlier one than what waits now: a claim that begins at the first meets them all.
        async with engine.begin() as connection:
            await _insert(connection, "ready", third + 1, third + _CLAIMED)
            await connection.execute(text(_DETAILS))
        await _vacuum(engine)
        costs["alone"] = await _cost(database)
        async with engine.begin() as connection:
            await _insert(connection, "ready", 1, third)
        async with engine.begin() as connection:
            await connection.execute(text(_PAUSE), {"last": third})
        costs["just_paused"] = await _cost(database)
        for number, kind in enumerate(("parked", "scheduled"), 1):
            place.say(kind)
            async with engine.begin() as connection:
                await _insert(connection, kind, (number + 1) * third + 1_000, (number + 2) * third + 999)
        await _vacuum(engine)
        costs["all"] = await _cost(database)
    finally:
        await engine.dispose()
        await database.close()
    faults = _faults(costs, third)
    return Found({"beside": 3 * third, **{name: msgspec.to_builtins(cost) for name, cost in costs.items()}}, faults)


def _faults(costs: Mapping[str, _Cost], third: int) -> list[str]:
    alone, paused, beside = costs["alone"], costs["just_paused"], costs["all"]
    found = []
    if paused.rows > alone.rows + _CLAIMED:
        found.append(f"beside {third:,} just paused a claim reads {paused}, alone {alone}")
    if beside.rows > alone.rows + _CLAIMED or beside.pages > alone.pages + _MOST_PAGES_MORE:
        found.append(f"beside {3 * third:,} rows a claim reads {beside}, alone {alone}")
    return found


async def _insert(connection: AsyncConnection, kind: str, first: int, last: int) -> None:
    values = {"workspace": _WORKSPACE, "channel": Channel.WEBHOOK.value, "lane": Lane.BULK.value}
    await connection.execute(text(_MESSAGES), values | {"kind": kind, "first": first, "last": last})


async def _vacuum(engine: Any) -> None:
    """As autovacuum does by itself after a while."""
    async with engine.connect() as plain:
        outside = await plain.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("messages", "message_details"):
            await outside.execute(text(f"VACUUM ANALYZE {table}"))


async def _cost(database: Database) -> _Cost:
    """One claim's reading, as the database explains it."""
    values = claim_rows.asked(Channel.WEBHOOK, Lane.BULK, _CLAIMED)
    async with database.write() as connection:
        with statements(database) as asked:
            rows = (await connection.execute(claim_rows.of_all(suspects=False), values)).all()
        assert len(rows) == _CLAIMED, len(rows)
        statement, parameters = asked[-1]
        explained = await connection.exec_driver_sql(_EXPLAIN + statement, parameters)
        found = explained.scalar_one()
        (told,) = found if isinstance(found, list) else msgspec.json.decode(found)
        plan = Plan(statement, float(told["Execution Time"]), told["Plan"])
        pages = plan.root["Shared Hit Blocks"] + plan.root["Shared Read Blocks"]
        return _Cost(plan.rows_read, pages, round(plan.milliseconds, 1))
