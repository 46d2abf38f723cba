"""Campaigns and journeys: what many messages belong to."""

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import fetch_one, fetch_page, insert_one
from models.tables import campaigns, journeys
from models.vocabulary import CampaignState


class CampaignRow(msgspec.Struct, frozen=True):
    """A campaign. ``created_at`` is milliseconds (UTC)."""

    id: UUID
    name: str
    state: CampaignState
    created_at: int


class JourneyRow(msgspec.Struct, frozen=True):
    """A journey. ``created_at`` is milliseconds (UTC)."""

    id: UUID
    name: str
    created_at: int


async def create_campaign(connection: AsyncConnection, workspace_id: UUID, name: str) -> CampaignRow:
    """A new campaign, running."""
    return await insert_one(
        connection, campaigns, CampaignRow, workspace_id=workspace_id, name=name, state=CampaignState.RUNNING
    )


async def get_campaign(connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID) -> CampaignRow | None:
    """The campaign, where it exists in this workspace."""
    conditions = [campaigns.c.workspace_id == workspace_id, campaigns.c.id == campaign_id]
    return await fetch_one(connection, campaigns, CampaignRow, conditions)


async def campaign_page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[CampaignRow], int]:
    """A page of campaigns and their number."""
    conditions = [campaigns.c.workspace_id == workspace_id]
    return await fetch_page(connection, campaigns, CampaignRow, conditions, limit=limit, offset=offset)


async def create_journey(connection: AsyncConnection, workspace_id: UUID, name: str) -> JourneyRow:
    """A new journey."""
    return await insert_one(connection, journeys, JourneyRow, workspace_id=workspace_id, name=name)


async def get_journey(connection: AsyncConnection, workspace_id: UUID, journey_id: UUID) -> JourneyRow | None:
    """The journey, where it exists in this workspace."""
    conditions = [journeys.c.workspace_id == workspace_id, journeys.c.id == journey_id]
    return await fetch_one(connection, journeys, JourneyRow, conditions)


async def journey_page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[JourneyRow], int]:
    """A page of journeys and their number."""
    conditions = [journeys.c.workspace_id == workspace_id]
    return await fetch_page(connection, journeys, JourneyRow, conditions, limit=limit, offset=offset)
