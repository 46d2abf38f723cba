"""Campaigns: what many messages belong to."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, exists, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Conflict
from models.session import now_ms
from models.store.ending import without_a_send
from models.store.recordset import among
from models.store.rows import columns_of, fetch_one, fetch_page, insert_one, read
from models.tables import campaigns, messages
from models.vocabulary import CampaignState, FailureReason, State


class CampaignRow(msgspec.Struct, frozen=True):
    """A campaign; a removed one is still shown with its messages. Times are milliseconds (UTC)."""

    id: UUID
    name: str
    state: CampaignState
    created_at: int
    deleted_at: int | None


async def create_campaign(connection: AsyncConnection, workspace_id: UUID, name: str) -> CampaignRow:
    """A new campaign, running."""
    return await insert_one(
        connection, campaigns, CampaignRow, workspace_id=workspace_id, name=name, state=CampaignState.RUNNING
    )


async def get_campaign(connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID) -> CampaignRow | None:
    """The campaign, also a removed one, where it exists in this workspace."""
    conditions = [campaigns.c.workspace_id == workspace_id, campaigns.c.id == campaign_id]
    return await fetch_one(connection, campaigns, CampaignRow, conditions)


async def campaign_page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[CampaignRow], int]:
    """A page of campaigns and their number, without the removed ones."""
    conditions = [campaigns.c.workspace_id == workspace_id, campaigns.c.deleted_at.is_(None)]
    return await fetch_page(connection, campaigns, CampaignRow, conditions, limit=limit, offset=offset)


async def rename_campaign(
    connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID, name: str
) -> CampaignRow | None:
    """Give a campaign another name; None where there is none."""
    return await _change(connection, _standing(workspace_id, campaign_id), name=name)


async def set_state(
    connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID, state: CampaignState
) -> CampaignRow | None:
    """Pause, resume or cancel a campaign; its messages follow by ``settle``. None where there is none.

    Raises Conflict where it was cancelled: that is for good. Asking for the state that it has changes nothing.
    """
    standing = _standing(workspace_id, campaign_id)
    present = await connection.scalar(select(campaigns.c.state).where(*standing).with_for_update())
    if present is None:
        return None
    if present == CampaignState.CANCELLED and state is not CampaignState.CANCELLED:
        raise Conflict("The campaign was cancelled, for good.")
    return await _change(connection, standing, state=state.value)


async def remove_campaign(connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID) -> bool:
    """Remove a campaign that has no message left to send; False where there is none. Raises Conflict."""
    standing = _standing(workspace_id, campaign_id)
    locked = await connection.scalar(select(campaigns.c.id).where(*standing).with_for_update())
    if locked is None:
        return False
    for state in (State.QUEUED, State.SENDING, State.HELD):
        if await connection.scalar(select(_one_in(workspace_id, campaign_id, state))):
            raise Conflict("The campaign has messages that are neither sent nor given up: cancel it first.")
    await connection.execute(update(campaigns).where(*standing).values(deleted_at=now_ms()))
    return True


def _standing(workspace_id: UUID, campaign_id: UUID) -> list[ColumnElement[bool]]:
    return [
        campaigns.c.workspace_id == workspace_id,
        campaigns.c.id == campaign_id,
        campaigns.c.deleted_at.is_(None),
    ]


def _one_in(workspace_id: UUID, campaign_id: UUID, state: State) -> ColumnElement[bool]:
    """Whether the campaign has a message in a state: each is read from the partial index of that state."""
    return exists().where(messages.c.workspace_id == workspace_id, messages.c.campaign_id == campaign_id, _is(state))


def _is(state: State) -> ColumnElement[bool]:
    # Spelled out in the statement: a parameter would hide from the planner which partial index holds the rows.
    return messages.c.state == literal(state.value, literal_execute=True)


async def _change(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]], **values: str
) -> CampaignRow | None:
    row = (
        await connection.execute(
            update(campaigns).where(*conditions).values(**values).returning(*columns_of(campaigns, CampaignRow))
        )
    ).first()
    return None if row is None else read(row, CampaignRow)


_UNSETTLED: Final[Mapping[CampaignState, Sequence[ColumnElement[bool]]]] = {
    CampaignState.RUNNING: (messages.c.paused,),
    CampaignState.PAUSED: (~messages.c.paused,),
    CampaignState.CANCELLED: (),
}
"""Which queued messages do not stand as their campaign does."""


async def unsettled(connection: AsyncConnection) -> list[UUID]:
    """Campaigns with a queued message that does not stand as the campaign does: one index probe each."""
    return list(await connection.scalars(_unsettled()))


@cache
def _unsettled() -> Any:
    probes = [
        and_(
            campaigns.c.state == state.value,
            # A scalar subquery, which is always probed: EXISTS may become a join that reads every queued message.
            select(messages.c.id)
            .where(messages.c.campaign_id == campaigns.c.id, _is(State.QUEUED), *conditions)
            .limit(1)
            .scalar_subquery()
            .is_not(None),
        )
        for state, conditions in _UNSETTLED.items()
    ]
    return select(campaigns.c.id).where(or_(*probes))


async def settle(connection: AsyncConnection, campaign_id: UUID, most: int) -> int:
    """Let up to ``most`` queued messages stand as their campaign does; returns how many.

    Those of a paused campaign wait, of a running one are readied by the keeper, of a cancelled one end. What is
    claimed at this moment is left out: a claim reads the campaign's state itself.
    """
    found = await connection.scalar(select(campaigns.c.state).where(campaigns.c.id == campaign_id))
    if found is None:
        return 0
    state = CampaignState(found)
    rows = await connection.scalars(
        select(messages.c.id)
        .where(messages.c.campaign_id == campaign_id, _is(State.QUEUED), *_UNSETTLED[state])
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    ids = rows.all()
    if not ids:
        return 0
    wanted = among(messages.c.id, ids, is_sqlite=connection.dialect.name == "sqlite")
    result = await connection.execute(update(messages).where(wanted).values(**_settled(state)))
    return result.rowcount


def _settled(state: CampaignState) -> dict[str, Any]:
    if state is CampaignState.RUNNING:
        return {"paused": False}
    if state is CampaignState.PAUSED:
        return {"paused": True, "turn": null()}
    return without_a_send(State.CANCELLED, FailureReason.CANCELLED)
