"""What a dispatcher does with texts that it cannot have or read, and with faults that no peer is to blame for."""

from uuid import UUID

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from channels.contract import Envelope, Receipt
from channels.errors import Misconfigured
from channels.rendering import Texts
from models import ids
from models.ids import new_id
from models.secrets import Keyring
from models.store import erasing, pauses
from models.tables import contacts, contents, failing_endpoints, message_details
from models.vocabulary import Channel, FailureReason, Lane, State, Status
from tests.support.dispatching import Drum, dispatching
from tests.support.scene import Scene

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Refusing(Drum):
    """A channel whose every send ends so."""

    def __init__(self, name: Channel, error: Exception, *, proceeds: bool = False) -> None:
        super().__init__(name)
        self.error = error
        self.proceeds = proceeds

    async def send(self, envelope: Envelope, prepared: Texts) -> Receipt:
        """Break."""
        if self.proceeds:
            envelope.proceed()
        raise self.error


async def endpoints_that_fail(scene: Scene) -> int:
    async with scene.database.read() as connection:
        return len((await connection.execute(select(failing_endpoints.c.failures))).all())


async def rests(scene: Scene) -> dict[Channel, pauses.Rest]:
    async with scene.database.read() as connection:
        return await pauses.standing(connection)


@pytest.mark.parametrize("proceeds", [False, True])
async def test_an_error_of_ours_is_not_the_endpoints(scene: Scene, proceeds: bool) -> None:
    someone = await scene.contact(webhook_url="https://hooks.example/a", webhook_secret=SECRET)
    message = await scene.send(someone, channel=Channel.WEBHOOK)
    broken = Refusing(Channel.WEBHOOK, KeyError("ours"), proceeds=proceeds)
    async with dispatching(scene, drum=broken) as house:
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        await house.dispatcher.drain(5)
    assert await scene.column(message.id, "tries") == 1
    assert await endpoints_that_fail(scene) == 0


async def test_a_secret_that_does_not_open_puts_off_its_own_contacts_messages_alone(scene: Scene) -> None:
    lost = await scene.contact(webhook_url="https://hooks.example/a", webhook_secret=SECRET)
    kept = await scene.contact(webhook_url="https://hooks.example/b", webhook_secret=SECRET)
    sealed = Keyring([b"a key that nobody kept, 32 bytes"], bytes(32)).seal(SECRET.encode(), "webhook-secret")
    async with scene.database.write() as connection:
        await connection.execute(update(contacts).values(webhook_secret=sealed).where(contacts.c.id == lost))
    waiting = await scene.send(lost, channel=Channel.WEBHOOK)
    goes = await scene.send(kept, channel=Channel.WEBHOOK)
    with capture_logs() as logs:
        async with dispatching(scene, drum=Drum(Channel.WEBHOOK)) as house:
            await house.dispatcher.pull(Lane.TRANSACTIONAL)
            await house.dispatcher.drain(5)
            assert house.drum.sent == [ids.show(ids.Kind.MESSAGE, goes.id)]
    assert (await scene.row(goes.id)).status is Status.SENT
    assert (await scene.row(waiting.id)).state is State.QUEUED
    assert await scene.column(waiting.id, "tries") == 0
    assert 200_000 < await scene.column(waiting.id, "due_at") - waiting.queued_at < 400_000
    assert (await rests(scene), await endpoints_that_fail(scene)) == ({}, 0)
    (said,) = [line for line in logs if line["log_level"] == "error"]
    assert said["message"] == ids.show(ids.Kind.MESSAGE, waiting.id)
    assert said["contact"] == ids.show(ids.Kind.CONTACT, lost)
    assert "example" not in str(said)


async def test_nobody_is_told_what_a_peer_said_of_whom(scene: Scene) -> None:
    await scene.send(await scene.contact())
    error = Misconfigured("550 5.7.1 Ann may not send", code="550 5.7.1", summary="the server refused us at MAIL FROM")
    with capture_logs() as logs:
        async with dispatching(scene, drum=Refusing(Channel.EMAIL, error)) as house:
            await house.dispatcher.pull(Lane.TRANSACTIONAL)
            await house.dispatcher.drain(5)
    (said,) = [line for line in logs if line["event"] == "send.misconfigured"]
    assert (said["code"], said["summary"]) == (error.code, error.summary)
    assert (await rests(scene))[Channel.EMAIL].detail == error.summary
    assert "Ann" not in str(logs)


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
