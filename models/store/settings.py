"""What a workspace has set for itself: one JSON document in its row."""

from collections.abc import Callable, Collection
from uuid import UUID

import msgspec
from sqlalchemy import Text, cast, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.recordset import among
from models.tables import workspaces


class WorkspaceSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings; what a workspace has not set is as it stands here.

    ``default_locale`` and ``default_timezone`` are those of contacts that have none of their own. ``retention_days``:
    so long after its end a message is kept, None for ever; ``inbox_retention_days``: so long an inbox item is kept
    after it came, None as long as its message, which it never outlives. ``endpoint_rate``: WEBHOOK messages a second
    to one endpoint, None without a limit.
    """

    track_opens: bool = True
    track_clicks: bool = True
    allowed_origins: tuple[str, ...] = ()
    default_locale: str | None = None
    default_timezone: str | None = None
    retention_days: int | None = 90
    inbox_retention_days: int | None = None
    endpoint_rate: float | None = None


async def get_many(connection: AsyncConnection, workspace_ids: Collection[UUID]) -> dict[UUID, WorkspaceSettings]:
    """The settings of those workspaces that exist."""
    rows = await connection.execute(
        select(workspaces.c.id, workspaces.c.settings).where(
            among(workspaces.c.id, workspace_ids, is_sqlite=connection.dialect.name == "sqlite")
        )
    )
    return {row.id: msgspec.convert(row.settings, WorkspaceSettings) for row in rows}


async def retentions(connection: AsyncConnection) -> dict[UUID, WorkspaceSettings]:
    """The settings of the workspaces that do not keep everything."""
    rows = await connection.execute(select(workspaces.c.id, workspaces.c.settings))
    found = {row.id: msgspec.convert(row.settings, WorkspaceSettings) for row in rows}
    return {own: each for own, each in found.items() if each.retention_days or each.inbox_retention_days}


async def every_origin(connection: AsyncConnection) -> frozenset[str]:
    """The sites that any workspace allows."""
    found = await connection.scalars(
        select(workspaces.c.settings).where(cast(workspaces.c.settings, Text).contains("allowed_origins"))
    )
    return frozenset(origin for each in found for origin in msgspec.convert(each, WorkspaceSettings).allowed_origins)


async def endpoint_rates(connection: AsyncConnection) -> dict[UUID, float]:
    """The messages a second to one endpoint, of those workspaces that set it."""
    rows = await connection.execute(
        select(workspaces.c.id, workspaces.c.settings).where(
            cast(workspaces.c.settings, Text).contains("endpoint_rate")
        )
    )
    found = {row.id: msgspec.convert(row.settings, WorkspaceSettings).endpoint_rate for row in rows}
    return {each: per_second for each, per_second in found.items() if per_second is not None}


async def change(
    connection: AsyncConnection, workspace_id: UUID, changed: Callable[[WorkspaceSettings], WorkspaceSettings]
) -> WorkspaceSettings:
    """Exchange the settings for what ``changed`` makes of them; nobody else changes them meanwhile."""
    found = await connection.scalar(
        select(workspaces.c.settings).where(workspaces.c.id == workspace_id).with_for_update(key_share=True)
    )
    new = changed(msgspec.convert(found, WorkspaceSettings))
    await connection.execute(
        update(workspaces).where(workspaces.c.id == workspace_id).values(settings=msgspec.to_builtins(new))
    )
    return new
