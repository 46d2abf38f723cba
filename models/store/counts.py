"""How many messages there are, exactly, without counting them.

The database's triggers keep ``message_counts`` and, on PostgreSQL, the changes that are not yet folded into it
(migration 0002): both together are right in every snapshot. A message without a campaign counts under ``NO_CAMPAIGN``.
"""

from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Table, delete, func, insert, literal, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import upsert
from models.store.sandbox_sql import in_sandbox
from models.tables import (
    campaign_count_changes,
    campaign_counts,
    message_count_changes,
    message_counts,
    messages,
)
from models.vocabulary import Channel, State, Status

NO_CAMPAIGN: Final = UUID(int=0)

_GROUP: Final = ("workspace_id", "campaign_id", "channel", "status", "held")

MEASURED_BY: Final = ("workspace_id", "campaign_id", "measure")
"""What tells the counts of campaigns alone from each other."""


class Count(NamedTuple):
    """How many messages of a workspace have all this in common."""

    workspace_id: UUID
    campaign_id: UUID
    channel: Channel
    status: Status
    held: bool
    number: int


class Sum(NamedTuple):
    """How many messages of any workspace have all this in common."""

    channel: Channel
    status: Status
    held: bool
    number: int


async def total(
    connection: AsyncConnection,
    workspace_id: UUID,
    *,
    campaign_id: UUID | None = None,
    channel: Channel | None = None,
    status: Status | None = None,
    held: bool | None = None,
) -> int:
    """How many messages a workspace has, of those asked for."""
    wanted = {"campaign_id": campaign_id, "channel": channel, "status": status, "held": held}
    parts = (
        select(func.sum(number).label("number")).where(
            table.c.workspace_id == workspace_id,
            *(table.c[name] == value for name, value in wanted.items() if value is not None),
        )
        for table, number in _BOTH
    )
    both = union_all(*parts).subquery()
    return int(await connection.scalar(select(func.sum(both.c.number))) or 0)


async def by_status(connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID) -> dict[Status, int]:
    """A campaign's messages, by the statuses that any of them has."""
    kept = _kept(message_counts.c.workspace_id == workspace_id, message_counts.c.campaign_id == campaign_id)
    changed = _changed(
        message_count_changes.c.workspace_id == workspace_id, message_count_changes.c.campaign_id == campaign_id
    )
    both = union_all(kept, changed).subquery()
    number = func.sum(both.c.number)
    rows = await connection.execute(select(both.c.status, number).group_by(both.c.status).having(number != 0))
    return {Status(status): int(count) for status, count in rows}


async def by_channel(connection: AsyncConnection, workspace_id: UUID) -> dict[tuple[Channel, Status], int]:
    """A workspace's messages, by the channels and statuses that any of them has."""
    parts = (
        select(table.c.channel, table.c.status, number.label("number")).where(table.c.workspace_id == workspace_id)
        for table, number in _BOTH
    )
    both = union_all(*parts).subquery()
    number = func.sum(both.c.number)
    group = (both.c.channel, both.c.status)
    rows = await connection.execute(select(*group, number).group_by(*group).having(number != 0))
    return {(Channel(channel), Status(status)): int(count) for channel, status, count in rows}


async def channels_with(
    connection: AsyncConnection, workspace_id: UUID, status: Status, *, campaign_id: UUID | None = None
) -> frozenset[Channel]:
    """The channels by which any message of a workspace, or of one of its campaigns, has that status."""
    parts = (
        select(table.c.channel, number.label("number")).where(
            table.c.workspace_id == workspace_id,
            table.c.status == status.value,
            *([] if campaign_id is None else [table.c.campaign_id == campaign_id]),
        )
        for table, number in _BOTH
    )
    both = union_all(*parts).subquery()
    found = await connection.scalars(
        select(both.c.channel).group_by(both.c.channel).having(func.sum(both.c.number) > 0)
    )
    return frozenset(map(Channel, found))


async def unended(connection: AsyncConnection, workspace_id: UUID) -> dict[Channel, int]:
    """The messages that wait to be sent or are being sent, by the channels that any of them has; held ones do not."""
    open_ones = [Status.QUEUED.value, Status.SENDING.value]
    parts = (
        select(table.c.channel, number.label("number")).where(
            table.c.workspace_id == workspace_id, table.c.status.in_(open_ones), ~table.c.held
        )
        for table, number in _BOTH
    )
    both = union_all(*parts).subquery()
    number = func.sum(both.c.number)
    rows = await connection.execute(select(both.c.channel, number).group_by(both.c.channel).having(number != 0))
    return {Channel(channel): int(count) for channel, count in rows}


async def of_all(connection: AsyncConnection) -> list[Sum]:
    """The messages of all workspaces together, without those of sandboxes."""
    is_sqlite = connection.dialect.name == "sqlite"
    kept = _kept(~in_sandbox(message_counts.c.workspace_id, is_sqlite=is_sqlite))
    changed = _changed(~in_sandbox(message_count_changes.c.workspace_id, is_sqlite=is_sqlite))
    both = union_all(kept, changed).subquery()
    group = [both.c.channel, both.c.status, both.c.held]
    number = func.sum(both.c.number)
    rows = await connection.execute(select(*group, number).group_by(*group).having(number != 0))
    return [Sum(Channel(row[0]), Status(row[1]), bool(row[2]), int(row[3])) for row in rows]


async def fold(connection: AsyncConnection, most: int) -> int:
    """Fold up to ``most`` changes into the counts, and as many into those of campaigns (``campaign_numbers``).

    Returns how many counts that moved. Safe to run twice at once. On SQLite the triggers count at once.
    """
    if connection.dialect.name == "sqlite":
        return 0
    moved = await _fold(connection, message_counts, message_count_changes, _GROUP, most)
    return moved + await _fold(connection, campaign_counts, campaign_count_changes, MEASURED_BY, most)


async def _fold(
    connection: AsyncConnection, kept: Table, changes: Table, grouped_by: tuple[str, ...], most: int
) -> int:
    return int((await connection.execute(_folding(kept, changes, grouped_by, most))).rowcount)


@cache
def _folding(kept: Table, changes: Table, grouped_by: tuple[str, ...], most: int) -> Any:
    oldest = select(changes.c.id).order_by(changes.c.id).limit(most).with_for_update(skip_locked=True)
    gone = delete(changes).where(changes.c.id.in_(oldest)).returning(*changes.c).cte("gone")
    group = [gone.c[name] for name in grouped_by]
    folded = select(*group, func.sum(gone.c.change)).group_by(*group).order_by(*group)
    statement = upsert(kept, is_sqlite=False).from_select([*grouped_by, "number"], folded)
    return statement.on_conflict_do_update(
        index_elements=list(grouped_by), set_={"number": kept.c.number + statement.excluded.number}
    )


async def differences(connection: AsyncConnection) -> list[tuple[Count, int]]:
    """Where the counts are not what counting the rows gives: each with the right number. Reads every message."""
    both = union_all(_kept(), _changed(), _counted(-1)).subquery()
    number, right = func.sum(both.c.number), func.sum(both.c.counted)
    group = [both.c[name] for name in _GROUP]
    rows = await connection.execute(select(*group, number + right, right).group_by(*group).having(number != 0))
    return [
        (Count(row[0], row[1], Channel(row[2]), Status(row[3]), bool(row[4]), int(row[5])), int(row[6])) for row in rows
    ]


async def rebuild(connection: AsyncConnection) -> None:
    """Count anew. No message can be written meanwhile."""
    if connection.dialect.name != "sqlite":
        await connection.execute(text("LOCK TABLE messages IN SHARE MODE"))
    await connection.execute(delete(message_count_changes))
    await connection.execute(delete(message_counts))
    rows = _counted(1).subquery()
    await connection.execute(
        insert(message_counts).from_select(
            [*_GROUP, "number"], select(*(rows.c[name] for name in _GROUP), rows.c.number)
        )
    )


_BOTH: Final = (
    (message_counts, message_counts.c.number),
    (message_count_changes, message_count_changes.c.change),
)
_NOTHING: Final = literal(0, BigInteger).label("counted")


def _kept(*conditions: ColumnElement[bool]) -> Any:
    return select(*(message_counts.c[name] for name in _GROUP), message_counts.c.number, _NOTHING).where(*conditions)


def _changed(*conditions: ColumnElement[bool]) -> Any:
    table = message_count_changes
    return select(*(table.c[name] for name in _GROUP), table.c.change.label("number"), _NOTHING).where(*conditions)


def _counted(sign: int) -> Any:
    """What the rows say: ``number`` under ``sign``, ``counted`` plain."""
    rows = select(
        messages.c.workspace_id,
        func.coalesce(messages.c.campaign_id, literal(NO_CAMPAIGN)).label("campaign_id"),
        messages.c.channel,
        messages.c.status,
        (messages.c.state == State.HELD.value).label("held"),
    ).subquery()
    group = [rows.c[name] for name in _GROUP]
    return select(*group, (func.count() * sign).label("number"), func.count().label("counted")).group_by(*group)
