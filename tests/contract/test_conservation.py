"""The conservation law is kept whatever is done, and seen where it is broken; on both databases."""

from sqlalchemy import delete, insert, update

from models.store import commands, conservation, counts
from models.store.conservation import Balance
from models.tables import message_counts, messages
from models.vocabulary import Channel
from tests.support.scene import Scene


async def balance(scene: Scene) -> Balance:
    async with scene.database.read() as connection:
        return await conservation.balance(connection, scene.workspace_id)


async def test_it_is_kept_from_the_first_message_to_the_last(scene: Scene) -> None:
    assert await balance(scene) == Balance(scene.workspace_id, 0, 0, 0)
    contact_id = await scene.contact(webhook_url="https://www.example.org/in", webhook_secret="whsec_c2VjcmV0")
    sent = [await scene.send(contact_id) for _ in range(3)]
    await scene.send(contact_id, channel=Channel.WEBHOOK)
    async with scene.database.write() as connection:
        await commands.cancel(connection, scene.workspace_id, sent[0].id)
    await scene.set(sent[1].id, state="held")
    assert await balance(scene) == Balance(scene.workspace_id, 4, 4, 0)
    async with scene.database.write() as connection:
        await counts.fold(connection, 1000)
        await connection.execute(delete(messages).where(messages.c.id == sent[2].id))
    assert await balance(scene) == Balance(scene.workspace_id, 3, 3, 0)
    async with scene.database.read() as connection:
        assert await conservation.workspace_ids(connection) == [scene.workspace_id]


async def test_what_is_astray_is_seen_even_where_the_sums_agree(scene: Scene) -> None:
    other = await scene.workspace()
    await scene.send(await scene.contact())
    async with scene.database.write() as connection:
        await counts.fold(connection, 1000)
        await connection.execute(update(message_counts).values(status="SENT"))
    assert await balance(scene) == Balance(scene.workspace_id, 1, 1, 2)
    async with scene.database.write() as connection:
        wrong = {"campaign_id": counts.NO_CAMPAIGN, "channel": "PUSH", "status": "SENT", "held": False, "number": 5}
        await connection.execute(insert(message_counts).values(workspace_id=scene.workspace_id, **wrong))
    found = await balance(scene)
    assert (found.accepted, found.found, found.astray, found.is_kept) == (6, 1, 7, False)
    async with scene.database.read() as connection:
        assert (await conservation.balance(connection, other)).is_kept
