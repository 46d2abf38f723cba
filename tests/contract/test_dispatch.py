"""What a dispatcher does with texts that it cannot have, or cannot read."""

from uuid import UUID

from sqlalchemy import select, update

from models.ids import new_id
from models.store import erasing
from models.tables import contents, message_details
from models.vocabulary import FailureReason, Lane, Status
from tests.support.dispatching import dispatching
from tests.support.scene import Scene


async def content_of(scene: Scene, message_id: UUID) -> UUID:
    async with scene.database.read() as connection:
        statement = select(message_details.c.content_id).where(message_details.c.message_id == message_id)
        found: UUID = (await connection.execute(statement)).scalar_one()
        return found


async def test_an_erased_text_may_be_said_again(scene: Scene) -> None:
    gone, other = await scene.contact(), await scene.contact(email="bob@example.org")
    erased = await scene.send(gone)
    content_id = await content_of(scene, erased.id)
    async with scene.database.write() as connection:  # as if it were erased between the claim and the reading
        await connection.execute(
            update(message_details).values(content_id=new_id()).where(message_details.c.message_id == erased.id)
        )
        await connection.execute(contents.delete())
        await connection.execute(
            update(message_details).values(content_id=content_id).where(message_details.c.message_id == erased.id)
        )
    async with dispatching(scene) as house:
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        await house.dispatcher.drain(5)
        assert (await scene.row(erased.id)).failure_reason is FailureReason.ERASED
        again = await scene.send(other)
        assert await content_of(scene, again.id) == content_id
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        await house.dispatcher.drain(5)
        assert (await scene.row(again.id)).status is Status.SENT
        assert len(house.drum.sent) == 1


async def test_a_text_that_cannot_be_read_fails_alone(scene: Scene) -> None:
    contact = await scene.contact()
    damaged, whole = await scene.send(contact, body="one"), await scene.send(contact, body="another")
    async with scene.database.write() as connection:
        await connection.execute(
            update(contents)
            .where(contents.c.id == await content_of(scene, damaged.id))
            .values(source=b'{"attachments": 5}')
        )
    async with dispatching(scene) as house:
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        await house.dispatcher.drain(5)
    assert (await scene.row(damaged.id)).status is Status.FAILED
    assert (await scene.row(damaged.id)).failure_reason is FailureReason.RENDER_ERROR
    assert (await scene.row(whole.id)).status is Status.SENT


async def test_an_erased_persons_message_is_not_sent_and_its_words_go(scene: Scene) -> None:
    gone = await scene.contact()
    late = await scene.send(gone)
    async with scene.database.write() as connection:
        await erasing.erase(connection, scene.workspace_id, gone, lambda _: [])
    async with dispatching(scene) as house:
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        await house.dispatcher.drain(5)
        assert house.drum.sent == []
    async with scene.database.write() as connection:
        await erasing.wipe(connection, scene.workspace_id, gone, after=None, most=10)
    row = await scene.row(late.id)
    assert (row.failure_reason, row.subject) == (FailureReason.ERASED, None)
