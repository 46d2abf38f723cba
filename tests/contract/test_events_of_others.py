"""Events that name what is another workspace's: they move nothing there, and nobody there waits for them."""

import asyncio
import hashlib

import pytest
from sqlalchemy import select

from models.events import ParsedEvent
from models.ids import new_id
from models.store import events
from models.tables import messages
from models.vocabulary import EventType, Status
from tests.support.scene import Scene
from worker.tracker import Tracker


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_names_a_message_of_others_does_not_wait_for_it(scene: Scene) -> None:
    message = await scene.send(await scene.contact())
    stranger = await scene.workspace()
    named = ParsedEvent(
        type=EventType.BOUNCED,
        provider_event="bounced",
        dedupe=hashlib.sha256(b"stranger").digest(),
        raw=b"{}",
        at=None,
        message_ref=message.id,
    )
    async with scene.database.write() as connection:
        await events.insert(connection, workspace_id=stranger, source_id=new_id(), provider="generic", events_=[named])
    async with scene.database.write() as busy:
        await busy.execute(select(messages.c.id).where(messages.c.id == message.id).with_for_update())
        async with asyncio.timeout(10):
            await Tracker(scene.database).pull()
    assert (await scene.row(message.id)).status is Status.QUEUED
