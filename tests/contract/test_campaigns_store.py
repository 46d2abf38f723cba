"""Campaigns against claims, on both databases: nothing is sent after a cancel, and nothing is lost by a pause."""

import asyncio
from uuid import UUID

from sqlalchemy import func, select

from models.ids import new_id
from models.store import campaigns, claims, keeping
from models.tables import messages
from models.vocabulary import CampaignState, Channel, Lane
from tests.support.scene import Scene
from worker.keeper import Keeper

_MESSAGES = 40
_ROUNDS = 10


async def _campaign(scene: Scene) -> UUID:
    async with scene.database.write() as connection:
        return (await campaigns.create_campaign(connection, scene.workspace_id, "news")).id


async def _set_state(scene: Scene, campaign_id: UUID, state: CampaignState) -> None:
    async with scene.database.write() as connection:
        assert await campaigns.set_state(connection, scene.workspace_id, campaign_id, state)


async def _settle(scene: Scene, campaign_id: UUID, most: int = 7) -> None:
    while True:
        async with scene.database.write() as connection:
            settled = await campaigns.settle(connection, campaign_id, most)
        if settled < most:
            return


async def _claim(scene: Scene, most: int) -> set[UUID]:
    async with scene.database.write() as connection:
        claimed, _ = await claims.claim(connection, Channel.EMAIL, Lane.BULK, new_id(), most)
    return {each.id for each in claimed}


async def _states(scene: Scene, campaign_id: UUID) -> dict[str, int]:
    async with scene.database.read() as connection:
        rows = await connection.execute(
            select(messages.c.state, func.count())
            .where(messages.c.campaign_id == campaign_id)
            .group_by(messages.c.state)
        )
        return {row[0]: row[1] for row in rows}


async def test_a_message_is_either_claimed_or_cancelled(scene: Scene) -> None:
    contact = await scene.contact()
    for _ in range(_ROUNDS):
        campaign = await _campaign(scene)
        await scene.intake.submit_many([scene.draft(contact, campaign_id=campaign) for _ in range(_MESSAGES)])

        async def cancel(campaign_id: UUID = campaign) -> None:
            await _set_state(scene, campaign_id, CampaignState.CANCELLED)
            await _settle(scene, campaign_id)

        claimed, more, _ = await asyncio.gather(_claim(scene, 9), _claim(scene, 9), cancel())
        await _settle(scene, campaign)  # what was locked by a claim at that moment
        states = await _states(scene, campaign)
        assert not claimed & more
        assert states.get("sending", 0) == len(claimed | more)
        assert states["cancelled"] == _MESSAGES - len(claimed | more)
        assert await _claim(scene, 100) == set()


async def test_a_pause_loses_nothing(scene: Scene) -> None:
    contact = await scene.contact()
    campaign = await _campaign(scene)
    await scene.intake.submit_many([scene.draft(contact, campaign_id=campaign) for _ in range(_MESSAGES)])
    sent: set[UUID] = set()
    for _ in range(_ROUNDS):
        for state in (CampaignState.PAUSED, CampaignState.RUNNING):
            claimed, _ = await asyncio.gather(_claim(scene, 2), _set_state(scene, campaign, state))
            assert not claimed & sent
            sent |= claimed
            await _settle(scene, campaign)
    async with scene.database.write() as connection:
        for group in await keeping.groups_due(connection):
            await keeping.ready_due(connection, group, _MESSAGES)
    sent |= await _claim(scene, _MESSAGES)
    assert len(sent) == _MESSAGES


async def test_the_keeper_takes_a_large_campaign_further(scene: Scene) -> None:
    contact = await scene.contact()
    campaign = await _campaign(scene)
    await scene.intake.submit_many([scene.draft(contact, campaign_id=campaign) for _ in range(1_200)])
    keeper = Keeper(scene.database, scene.wakeups)
    await _set_state(scene, campaign, CampaignState.PAUSED)
    await keeper.settle()
    assert await _claim(scene, 100) == set()
    await _set_state(scene, campaign, CampaignState.RUNNING)
    await keeper.settle()  # and no other duty's turn
    assert len(await _claim(scene, 100)) == 100
    await _set_state(scene, campaign, CampaignState.CANCELLED)
    await keeper.settle()
    assert await _states(scene, campaign) == {"sending": 100, "cancelled": 1_100}


async def test_campaigns_that_stand_as_they_should_are_left_alone(scene: Scene) -> None:
    contact = await scene.contact()
    standing = [await _campaign(scene) for _ in range(3)]
    for campaign in standing:
        await scene.send(contact, campaign_id=campaign)
    await _set_state(scene, standing[1], CampaignState.PAUSED)
    await _set_state(scene, standing[2], CampaignState.CANCELLED)
    async with scene.database.read() as connection:
        assert set(await campaigns.unsettled(connection)) == {standing[1], standing[2]}
    for campaign in standing:
        await _settle(scene, campaign)
    async with scene.database.read() as connection:
        assert await campaigns.unsettled(connection) == []
