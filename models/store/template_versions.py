"""What templates said before: every version stays, for the messages that were accepted with it."""

from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import read
from models.store.templates import COLUMNS, TemplateRow
from models.tables import template_versions, templates


class VersionRow(msgspec.Struct, frozen=True):
    """A version without its texts. ``created_at`` is milliseconds (UTC)."""

    version: int
    created_at: int


async def page(
    connection: AsyncConnection, workspace_id: UUID, template_id: UUID, *, below: int | None, most: int
) -> list[VersionRow]:
    """Up to ``most`` versions of a template, the latest first; ``below``: those with lower numbers."""
    query = (
        select(template_versions.c.version, template_versions.c.created_at)
        .join(templates, templates.c.id == template_versions.c.template_id)
        .where(templates.c.workspace_id == workspace_id, template_versions.c.template_id == template_id)
    )
    if below is not None:
        query = query.where(template_versions.c.version < below)
    rows = await connection.execute(query.order_by(template_versions.c.version.desc()).limit(most))
    return [read(row, VersionRow) for row in rows]


async def get(connection: AsyncConnection, workspace_id: UUID, template_id: UUID, version: int) -> TemplateRow | None:
    """The template as it was at that version, deleted or not; None where there is none."""
    row = (
        await connection.execute(
            select(*COLUMNS)
            .join(template_versions, template_versions.c.template_id == templates.c.id)
            .where(
                templates.c.workspace_id == workspace_id,
                templates.c.id == template_id,
                template_versions.c.version == version,
            )
        )
    ).first()
    return None if row is None else read(row, TemplateRow)
