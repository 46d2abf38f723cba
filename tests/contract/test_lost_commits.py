"""The database commits and the answer gets lost: nobody knows, and still nothing is lost, doubled or stuck."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.intake import Intake
from channels import registry
from channels.contract import Content, Envelope, Receipt
from models.coalesce import Coalescer
from models.errors import StorageUnavailable
from models.session import Database
from models.store import in_hand, keeping, outcomes
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Channel, Lane, OnUnknown, Status
from tests.support.scene import Scene
from tests.support.waiting import wait_until
from worker.dispatch import Dispatcher
from worker.hand import Hand
from worker.leases import Lease
from worker.services import Services


class Forgetful(Database):
    """A database behind a line that breaks after the COMMIT, ``losses`` times."""

    losses = 0

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that happens; whether its answer arrives is another matter."""
        async with super().write() as connection:
            yield connection
        if self.losses:
            self.losses -= 1
            raise StorageUnavailable("the answer to COMMIT got lost")


class Drum:
    """A channel that counts what it is given."""

    name = Channel.EMAIL

    def __init__(self) -> None:
        self.sent: list[str] = []

    def prepare(self, content: Content) -> Content:
        """Nothing to prepare."""
        return content

    async def send(self, envelope: Envelope, prepared: Content) -> Receipt:
        """Accept."""
        envelope.proceed()
        self.sent.append(envelope.message_id)
        return Receipt()

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def forgetful(database: Database) -> Forgetful:
    return Forgetful(database.engine)


async def test_an_accepted_message_is_accepted_once(scene: Scene, forgetful: Forgetful) -> None:
    intake = Intake(forgetful, scene.keyring, scene.wakeups, registry.configured(scene.settings))
    draft = scene.draft(await scene.contact())
    forgetful.losses = 2
    accepted = await intake.submit(draft)
    assert (accepted.message.id, accepted.replayed) == (draft.id, False)
    assert [row.id for row in await scene.rows()] == [draft.id]


async def test_a_claim_whose_answer_got_lost_is_sent_once(scene: Scene, forgetful: Forgetful, tmp_path: Path) -> None:
    contact = await scene.contact()
    await scene.intake.submit_many(
        [scene.draft(contact, on_unknown=OnUnknown.HOLD if number % 2 else OnUnknown.RETRY) for number in range(20)]
    )

    async def record(chunk: Sequence[Ended]) -> Sequence[None]:
        async with forgetful.write() as connection:
            await outcomes.record(connection, chunk)
        return [None] * len(chunk)

    async def begin(chunk: Sequence[Claim]) -> Sequence[set[UUID]]:
        async with forgetful.write() as connection:
            ours = await in_hand.mark_begun(connection, chunk)
        return [ours] * len(chunk)

    hand = Hand()
    lease = Lease(scene.database, hand.ids, on_lost=lambda: None)
    await lease.begin()
    recorder: Coalescer[Ended, None] = Coalescer(record, most=100, patience_s=60)
    beginner: Coalescer[Claim, set[UUID]] = Coalescer(begin, most=100, patience_s=60)
    services = Services(forgetful, lease, scene.keyring, scene.wakeups, hand, recorder, beginner)
    drum = Drum()
    dispatcher = Dispatcher(drum, services, most=40, per_second=None)
    forgetful.losses = 1
    await dispatcher.pull(Lane.TRANSACTIONAL)
    assert drum.sent == []
    forgetful.losses = 1  # the recording of the outcomes meets the same fate

    async def all_sent() -> bool:
        async with scene.database.write() as connection:
            await in_hand.give_back_strays(connection, lease.worker_id, hand.ids, older_than_ms=-1)
            for group in await keeping.groups_due(connection):
                await keeping.ready_due(connection, group, 100)
        await dispatcher.pull(Lane.TRANSACTIONAL)
        return {row.status for row in await scene.rows()} == {Status.SENT}

    await wait_until(all_sent, timeout=10)
    assert len(drum.sent) == len(set(drum.sent)) == 20
    await dispatcher.drain(5)
    await lease.end()
