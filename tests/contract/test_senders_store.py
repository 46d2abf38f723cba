"""Senders in the store, on both databases: rests that grow, versions that count, and what waits is let loose."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models.resealing import reseal
from models.sealing import SealedFor
from models.secrets import Keyring, SealBroken
from models.session import Database, now_ms
from models.store import claims, pauses, sender_rests, senders, suppressions, why
from models.store.sealed import SENDERS
from models.store.sender_rests import RESTS_MS
from models.store.senders import SenderRow
from models.store.suppressions import NewSuppression, SuppressionFilter
from models.tables import messages
from models.tables import senders as table
from models.vocabulary import Channel, FailureReason, Lane, State, SuppressionKind
from models.why import Gate, explain
from tests.support.scene import Scene
from tests.support.sending import mail_credentials, mail_sender


async def one(scene: Scene, row: SenderRow) -> SenderRow:
    async with scene.database.read() as connection:
        found = await senders.get(connection, row.workspace_id, row.channel, row.id)
    assert found is not None
    return found


async def change(scene: Scene, row: SenderRow, **values: Any) -> None:
    async with scene.database.write() as connection:
        await connection.execute(update(table).where(table.c.id == row.id).values(**values))


async def rest(scene: Scene, row: SenderRow, ms: int | None = None) -> int:
    """Let it rest; returns for how long it does from now."""
    async with scene.database.write() as connection:
        await sender_rests.rest(connection, row.id, row.version, "535 no", ms=ms)
        usable = await senders.usable(connection, Channel.EMAIL, [row.workspace_id])
    return next(each.rests_ms for each in usable if each.id == row.id)


async def test_a_rest_grows_until_it_works_again(scene: Scene) -> None:
    row = await mail_sender(scene, mail_credentials(25))
    for expected in (*RESTS_MS, RESTS_MS[-1]):
        rested = await rest(scene, row)
        assert expected - 5000 < rested <= expected
        assert await rest(scene, row) <= rested  # what many learn at once makes it no longer
        await change(scene, row, resting_until=1)
    assert (await one(scene, row)).failures == len(RESTS_MS) + 1
    async with scene.database.write() as connection:
        await sender_rests.recover(connection, row.id, row.version)
    mended = await one(scene, row)
    assert (mended.failures, mended.resting_until, mended.last_error) == (0, None, None)
    assert 8000 < await rest(scene, row, 10_000) <= 10_000
    assert (await one(scene, row)).failures == 0


async def suppress(scene: Scene, workspace_id: UUID, channel: Channel, reason: FailureReason) -> None:
    digest = scene.keyring.address_digest(channel, reason)
    new = NewSuppression(channel, digest, SuppressionKind.DEAD, "", None, reason.value, None)
    async with scene.database.write() as connection:
        await suppressions.create(connection, workspace_id, new)


async def suppressed(scene: Scene, workspace_id: UUID) -> set[tuple[Channel, str]]:
    async with scene.database.read() as connection:
        wanted = SuppressionFilter()
        found, _ = await suppressions.page(connection, workspace_id, wanted, limit=50, offset=0)
    return {(each.channel, each.reason) for each in found}


async def test_another_bot_may_write_to_those_who_blocked_the_former_one(scene: Scene) -> None:
    other = await scene.workspace()
    kept = {(Channel.TELEGRAM, FailureReason.ADDRESS_DEAD), (Channel.WEBHOOK, FailureReason.BLOCKED)}
    blocked = (Channel.TELEGRAM, FailureReason.BLOCKED)
    for workspace_id in (scene.workspace_id, other):
        for channel, reason in kept:
            await suppress(scene, workspace_id, channel, reason)
    await suppress(scene, other, *blocked)

    async def lifted(**values: Any) -> bool:
        """Whether it lifts what says that chats blocked the bot; of anything else, it lifts nothing."""
        await suppress(scene, scene.workspace_id, *blocked)
        async with scene.database.write() as connection:
            await senders.change(connection, scene.workspace_id, Channel.TELEGRAM, bot.id, lambda _: values)
        found = await suppressed(scene, scene.workspace_id)
        assert found - {blocked} == kept
        return blocked not in found

    await suppress(scene, scene.workspace_id, *blocked)
    bot = await mail_sender(scene, mail_credentials(25), channel=Channel.TELEGRAM, hint={"botId": "1"})
    assert await suppressed(scene, scene.workspace_id) == kept
    assert not await lifted(name="another")
    assert not await lifted(credentials=b"a newer token", hint={"botId": "1"})
    assert await lifted(credentials=b"another bot", hint={"botId": "2"})
    assert await lifted(paused=True)  # then they go by the operator's bot
    assert not await lifted(credentials=b"one more", hint={"botId": "3"})
    assert await lifted(paused=False)
    await suppress(scene, scene.workspace_id, *blocked)
    async with scene.database.write() as connection:
        assert await senders.remove(connection, scene.workspace_id, Channel.TELEGRAM, bot.id)
    assert await suppressed(scene, scene.workspace_id) == kept
    assert await suppressed(scene, other) == {*kept, blocked}


async def test_what_was_learnt_of_old_credentials_says_nothing_of_new_ones(scene: Scene) -> None:
    old = await mail_sender(scene, mail_credentials(25))
    await rest(scene, old)
    async with scene.database.write() as connection:
        new = await senders.change(
            connection, old.workspace_id, Channel.EMAIL, old.id, lambda _: {"credentials": b"new", "hint": {}}
        )
    assert new is not None
    assert (new.version, new.failures, new.resting_until, new.last_error) == (2, 0, None, None)
    assert await rest(scene, old) == 0
    assert await rest(scene, new) > 0
    async with scene.database.write() as connection:
        await sender_rests.recover(connection, old.id, old.version)
    assert (await one(scene, new)).last_error == "535 no"


async def test_who_sends_by_itself(scene: Scene) -> None:
    other = await scene.workspace()
    await mail_sender(scene, mail_credentials(25), position=2)
    first = await mail_sender(scene, mail_credentials(25), position=1)
    paused = await mail_sender(scene, mail_credentials(25), workspace_id=other, paused=True)
    both = {scene.workspace_id, other}
    async with scene.database.read() as connection:
        assert await senders.owners(connection) == {(scene.workspace_id, Channel.EMAIL)}
        assert await senders.configured(connection, both) == {
            scene.workspace_id: {Channel.EMAIL},
            other: frozenset(),
        }
        usable = await senders.usable(connection, Channel.EMAIL, both)
        assert [row.position for row in usable] == [1, 2]
        assert await senders.usable(connection, Channel.TELEGRAM, both) == []
        for workspace_id, channel in ((scene.workspace_id, Channel.EMAIL), (other, Channel.TELEGRAM)):
            assert await senders.get(connection, workspace_id, channel, paused.id) is None
    async with scene.database.write() as connection:
        assert not await senders.remove(connection, other, Channel.EMAIL, first.id)
        assert await senders.remove(connection, scene.workspace_id, Channel.EMAIL, first.id)
    async with scene.database.write() as connection:
        await connection.execute(update(table).where(table.c.id == paused.id).values(channel=Channel.PUSH.value))
        assert (other, Channel.PUSH) in await senders.owners(connection)


async def claimed(scene: Scene) -> set[UUID]:
    async with scene.database.write() as connection:
        found, _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, scene.workspace_id, 10)
    return {each.id for each in found}


async def test_the_operators_rest_is_not_that_of_a_workspaces_own_sender(scene: Scene) -> None:
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "535 no")
    waits = await scene.send(await scene.contact())
    assert await claimed(scene) == set()
    other = await scene.workspace()
    await mail_sender(scene, mail_credentials(25), workspace_id=other)
    contact = await scene.contact(workspace_id=other)
    goes = await scene.intake.submit(scene.draft(contact, workspace_id=other))
    assert await claimed(scene) == {goes.message.id}
    async with scene.database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, -1, "over")
    assert await claimed(scene) == {waits.id}


async def test_why_says_that_the_senders_rest(scene: Scene) -> None:
    row = await mail_sender(scene, mail_credentials(25))
    spare = await mail_sender(scene, mail_credentials(25))
    message = await scene.send(await scene.contact())
    await rest(scene, row)

    async def said() -> Any:
        async with scene.database.read() as connection:
            found = await why.situation(connection, scene.workspace_id, message.id)
        assert found is not None
        return explain(found)

    assert (await said()).gate is Gate.LANE
    await rest(scene, spare, 10_000)
    assert "all 2 senders of the workspace cannot work" in (await said()).because
    await change(scene, row, paused=True)
    explained = await said()
    assert (explained.gate, "workspace's sender cannot work" in explained.because) == (Gate.CHANNEL, True)
    assert explained.next_attempt_at == (await one(scene, spare)).resting_until
    # Given back, and due a moment after the rest's end.
    await scene.set(message.id, sending_at=1, turn=None, due_at=now_ms() + 10_500)
    assert (await said()).gate is Gate.CHANNEL
    await change(scene, spare, paused=True)
    assert (await said()).gate is Gate.LIMIT


async def test_what_waits_for_a_sender_is_let_loose(scene: Scene) -> None:
    contact = await scene.contact()
    waits, scheduled, retries, far = [(await scene.send(contact)).id for _ in range(4)]
    other = await scene.workspace()
    soon = {"turn": None, "due_at": now_ms() + 60_000}
    await scene.set(waits, sending_at=1, **soon)
    await scene.set(scheduled, **soon)
    await scene.set(retries, sending_at=1, tries=1, **soon)
    await scene.set(far, sending_at=1, turn=None, due_at=now_ms() + 2 * RESTS_MS[-1])
    async with scene.database.write() as connection:
        await sender_rests.wake(connection, scene.workspace_id, Channel.TELEGRAM)
        await sender_rests.wake(connection, other, Channel.EMAIL)
        due = select(messages.c.id).where(messages.c.due_at <= now_ms(), messages.c.state == State.QUEUED.value)
        assert set(await connection.scalars(due)) == set()
        await sender_rests.wake(connection, scene.workspace_id, Channel.EMAIL)
        assert set(await connection.scalars(due)) == {waits}


async def test_credentials_are_sealed_anew_under_a_new_key(scene: Scene, database: Database) -> None:
    old = await mail_sender(scene, mail_credentials(25, user="shop", password="pass"))
    lost = await mail_sender(scene, mail_credentials(25))
    await change(scene, lost, credentials=Keyring([b"a key that is gone"], b"d" * 32).seal(b"{}", SealedFor.SENDER))
    assert scene.keyring.open(old.credentials, SealedFor.SENDER)
    former = Keyring([b"former"], b"d" * 32)
    await change(scene, old, credentials=former.seal(b"words", SealedFor.SENDER))
    both = Keyring([b"newest", b"former"], b"d" * 32)
    await reseal(database, both, [SENDERS])
    changed = await one(scene, old)
    assert Keyring([b"newest"], b"d" * 32).open(changed.credentials, SealedFor.SENDER) == b"words"
    assert changed.version == old.version
    with pytest.raises(SealBroken):
        former.open(changed.credentials, SealedFor.SENDER)
    await reseal(database, both, [SENDERS])
    assert (await one(scene, old)).credentials == changed.credentials
