"""The conservation law: no message is lost by ourselves.

What was accepted and is still kept (the counts, which the database's triggers keep with every row that is written or
removed) is what is queued, being sent, held, done, failed or cancelled (the rows). Both are read in one statement,
which is one snapshot; the rows by the index of the lists alone.

A row that a statement deletes is subtracted as well: only retention deletes any, which the tests of pruning watch.
"""

from uuid import UUID

import msgspec
from sqlalchemy import Integer, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from models.tables import message_count_changes, message_counts, messages, workspaces


class Balance(msgspec.Struct, frozen=True):
    """A workspace's messages. ``astray``: how many there are too many or too few, of any channel and status."""

    workspace_id: UUID
    accepted: int
    found: int
    astray: int

    @property
    def is_kept(self) -> bool:
        """Whether nothing is astray."""
        return self.astray == 0


async def workspace_ids(connection: AsyncConnection) -> list[UUID]:
    """Every workspace."""
    return list(await connection.scalars(select(workspaces.c.id).order_by(workspaces.c.id)))


async def balance(connection: AsyncConnection, workspace_id: UUID) -> Balance:
    """Count the messages of a workspace, and compare. Takes a second for ten million."""
    nothing = literal(0, Integer())
    rows = messages.c
    parts = [
        select(rows.channel, rows.status, nothing.label("accepted"), func.count().label("found"))
        .where(rows.workspace_id == workspace_id)
        .group_by(rows.channel, rows.status)
    ]
    for table, number in (
        (message_counts, message_counts.c.number),
        (message_count_changes, message_count_changes.c.change),
    ):
        parts.append(
            select(table.c.channel, table.c.status, func.sum(number), nothing)
            .where(table.c.workspace_id == workspace_id)
            .group_by(table.c.channel, table.c.status)
        )
    both = union_all(*parts).subquery()
    groups = await connection.execute(
        select(func.sum(both.c.accepted), func.sum(both.c.found)).group_by(both.c.channel, both.c.status)
    )
    numbers = [(int(accepted), int(found)) for accepted, found in groups]
    return Balance(
        workspace_id,
        accepted=sum(accepted for accepted, _ in numbers),
        found=sum(found for _, found in numbers),
        astray=sum(abs(accepted - found) for accepted, found in numbers),
    )
