"""The database commits and the answer gets lost: nobody knows, and still nothing is lost, doubled or stuck."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.intake import Intake
from channels import registry
from models.errors import StorageUnavailable
from models.session import Database
from models.store import in_hand, keeping
from models.vocabulary import Lane, OnUnknown, Status
from tests.support.dispatching import dispatching
from tests.support.scene import Scene
from tests.support.waiting import wait_until


class Forgetful(Database):
    """A database behind a line that breaks after the COMMIT, ``losses`` times."""

    losses = 0

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that happens; whether its answer arrives is another matter."""
        async with super().write() as connection:
            yield connection
        self._forget()

    @asynccontextmanager
    async def write_at_once(self) -> AsyncIterator[AsyncConnection]:
        """The same of one statement."""
        async with super().write_at_once() as connection:
            yield connection
        self._forget()

    def _forget(self) -> None:
        if self.losses:
            self.losses -= 1
            raise StorageUnavailable("the answer to COMMIT got lost")


@pytest.fixture
def forgetful(database: Database) -> Forgetful:
    return Forgetful(database.engine)


async def test_an_accepted_message_is_accepted_once(scene: Scene, forgetful: Forgetful) -> None:
    intake = Intake(forgetful, scene.keyring, scene.wakeups, registry.configured(scene.settings))
    draft = scene.draft(await scene.contact())
    forgetful.losses = 2
    accepted = await intake.submit(draft)
    assert forgetful.losses == 1  # the second try finds it
    assert (accepted.message.id, accepted.replayed) == (draft.id, False)
    assert [row.id for row in await scene.rows()] == [draft.id]


async def test_a_claim_whose_answer_got_lost_is_sent_once(scene: Scene, forgetful: Forgetful) -> None:
    contact = await scene.contact()
    await scene.intake.submit_many(
        [scene.draft(contact, on_unknown=OnUnknown.HOLD if number % 2 else OnUnknown.RETRY) for number in range(20)]
    )

    async with dispatching(scene, forgetful) as house:
        forgetful.losses = 1
        await house.dispatcher.pull(Lane.TRANSACTIONAL)
        assert (house.drum.sent, forgetful.losses) == ([], 0)
        forgetful.losses = 1  # the recording of the outcomes meets the same fate

        async def all_sent() -> bool:
            async with scene.database.write() as connection:
                await in_hand.give_back_strays(connection, house.lease.worker_id, house.hand.ids, older_than_ms=-1)
                for group in await keeping.groups_due(connection):
                    await keeping.ready_due(connection, group, 100)
            await house.dispatcher.pull(Lane.TRANSACTIONAL)
            return {row.status for row in await scene.rows()} == {Status.SENT}

        await wait_until(all_sent)
        assert len(house.drum.sent) == len(set(house.drum.sent)) == 20
