"""The lists that people page through, each read along an index and counted by nobody."""

from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.campaigns import CampaignRow
from models.store.keys import KeyRow, governed
from models.store.rows import columns_of
from models.store.slices import Listing, Place, Slice, read_slice
from models.store.suppressions import SuppressionFilter, SuppressionRow, conditions_of
from models.store.users import MemberRow
from models.tables import api_keys, campaigns, memberships, suppressions, template_versions, templates, users

ROWS: Final = 50
"""Of a page."""


class TemplateName(msgspec.Struct, frozen=True):
    """A template without its texts. Times are milliseconds (UTC); ``changed_at`` is the current version's."""

    id: UUID
    name: str
    version: int
    created_at: int
    changed_at: int


async def of_campaigns(connection: AsyncConnection, workspace_id: UUID, at: Place | None) -> Slice[CampaignRow]:
    """A page of campaigns, without the removed ones."""
    listing = Listing(
        CampaignRow,
        select(*columns_of(campaigns, CampaignRow)),
        campaigns.c.id,
        [campaigns.c.workspace_id == workspace_id],
        [campaigns.c.deleted_at.is_(None)],
    )
    return await read_slice(connection, listing, most=ROWS, at=at)


async def of_templates(connection: AsyncConnection, workspace_id: UUID, at: Place | None) -> Slice[TemplateName]:
    """A page of templates, without the removed ones."""
    current = and_(
        template_versions.c.template_id == templates.c.id, template_versions.c.version == templates.c.current_version
    )
    columns: Any = select(
        templates.c.id,
        templates.c.name,
        templates.c.current_version.label("version"),
        templates.c.created_at,
        template_versions.c.created_at.label("changed_at"),
    ).join(template_versions, current)
    own, wanted = templates.c.workspace_id == workspace_id, templates.c.deleted_at.is_(None)
    return await read_slice(
        connection, Listing(TemplateName, columns, templates.c.id, [own], [wanted]), most=ROWS, at=at
    )


async def of_suppressions(
    connection: AsyncConnection, workspace_id: UUID, wanted: SuppressionFilter, at: Place | None
) -> Slice[SuppressionRow]:
    """A page of the suppressions that are wanted; those of an address are found by their index."""
    own, *rest = conditions_of(workspace_id, wanted)
    listing = Listing(
        SuppressionRow,
        select(*columns_of(suppressions, SuppressionRow)),
        suppressions.c.id,
        [own] if wanted.addresses is None else [own, *rest],
        rest if wanted.addresses is None else [],
    )
    return await read_slice(connection, listing, most=ROWS, at=at)


async def of_keys(connection: AsyncConnection, workspace_id: UUID, at: Place | None) -> Slice[KeyRow]:
    """A page of keys, the revoked ones and the sandbox's too."""
    columns: Any = select(*columns_of(api_keys, KeyRow))
    listing = Listing(KeyRow, columns, api_keys.c.id, [governed(workspace_id)])
    return await read_slice(connection, listing, most=ROWS, at=at)


async def of_people(connection: AsyncConnection, workspace_id: UUID, at: Place | None) -> Slice[MemberRow]:
    """A page of a workspace's people."""
    columns: Any = select(users.c.id, users.c.email, memberships.c.role, users.c.created_at).join(
        memberships, memberships.c.user_id == users.c.id
    )
    listing = Listing(MemberRow, columns, memberships.c.user_id, [memberships.c.workspace_id == workspace_id])
    return await read_slice(connection, listing, most=ROWS, at=at)
