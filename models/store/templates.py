"""Templates: every change makes a new version, and a message keeps the version it was accepted with."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.parts import Parts
from models.session import now_ms
from models.store.rows import read
from models.tables import template_versions, templates


class TemplateRow(msgspec.Struct, frozen=True):
    """A template at its current version. Times are milliseconds (UTC); ``changed_at`` is the version's."""

    id: UUID
    name: str
    version: int
    parts: Parts
    created_at: int
    changed_at: int
    deleted_at: int | None


COLUMNS: Final[Sequence[ColumnElement[Any]]] = (
    templates.c.id,
    templates.c.name,
    template_versions.c.version,
    template_versions.c.parts,
    templates.c.created_at,
    template_versions.c.created_at.label("changed_at"),
    templates.c.deleted_at,
)
"""Of a template and one of its versions, as ``TemplateRow`` names them."""


def _rows() -> Select[Any]:
    current = and_(
        template_versions.c.template_id == templates.c.id, template_versions.c.version == templates.c.current_version
    )
    return select(*COLUMNS).join(template_versions, current)


async def create(connection: AsyncConnection, workspace_id: UUID, *, name: str, parts: Parts) -> TemplateRow:
    """A new template, version 1."""
    template_id = ids.new_id()
    await connection.execute(
        insert(templates).values(
            id=template_id, workspace_id=workspace_id, name=name, current_version=1, created_at=now_ms()
        )
    )
    await _add_version(connection, template_id, 1, parts)
    row = (await connection.execute(_rows().where(templates.c.id == template_id))).one()
    return read(row, TemplateRow)


async def get(connection: AsyncConnection, workspace_id: UUID, template_id: UUID) -> TemplateRow | None:
    """The template, deleted or not, where it exists in this workspace."""
    row = (
        await connection.execute(_rows().where(templates.c.workspace_id == workspace_id, templates.c.id == template_id))
    ).first()
    return None if row is None else read(row, TemplateRow)


async def page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[TemplateRow], int]:
    """A page of templates and their number."""
    conditions = [templates.c.workspace_id == workspace_id, templates.c.deleted_at.is_(None)]
    total = await connection.scalar(select(func.count()).select_from(templates).where(*conditions))
    rows = await connection.execute(
        _rows().where(*conditions).order_by(templates.c.id.desc()).limit(limit).offset(offset)
    )
    return [read(row, TemplateRow) for row in rows], int(total or 0)


async def lock(connection: AsyncConnection, workspace_id: UUID, template_id: UUID) -> TemplateRow | None:
    """The template for a change in the same transaction: nobody else changes it until the end; None if deleted."""
    held = await connection.execute(
        select(templates.c.id)
        .where(
            templates.c.workspace_id == workspace_id, templates.c.id == template_id, templates.c.deleted_at.is_(None)
        )
        .with_for_update()
    )
    return None if held.first() is None else await get(connection, workspace_id, template_id)


async def change(
    connection: AsyncConnection, workspace_id: UUID, old: TemplateRow, *, name: str, parts: Parts
) -> TemplateRow:
    """Rename a locked template and, where its parts differ, give it a new version."""
    version = old.version
    if parts != old.parts:
        version += 1
        await _add_version(connection, old.id, version, parts)
    await connection.execute(
        update(templates)
        .where(templates.c.workspace_id == workspace_id, templates.c.id == old.id)
        .values(name=name, current_version=version)
    )
    row = (await connection.execute(_rows().where(templates.c.id == old.id))).one()
    return read(row, TemplateRow)


async def remove(connection: AsyncConnection, workspace_id: UUID, template_id: UUID) -> bool:
    """Take a template out of use; what refers to it still finds it. False where there is none in use."""
    result = await connection.execute(
        update(templates)
        .where(
            templates.c.workspace_id == workspace_id, templates.c.id == template_id, templates.c.deleted_at.is_(None)
        )
        .values(deleted_at=now_ms())
    )
    return result.rowcount > 0


async def _add_version(connection: AsyncConnection, template_id: UUID, version: int, parts: Parts) -> None:
    await connection.execute(
        insert(template_versions).values(
            id=ids.new_id(), template_id=template_id, version=version, parts=parts, created_at=now_ms()
        )
    )
