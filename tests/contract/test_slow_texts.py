"""Texts that take long to read and fill: others go on meanwhile."""

import asyncio

import pytest

from models.vocabulary import Channel, Lane, Status
from tests.support.dispatching import dispatching
from tests.support.scene import Scene
from tests.support.waiting import wait_until

_ONE = "{% if firstName == 'Ann' and email contains '@' %}{{ firstName | upcase | append: email }}{% endif %}"
SLOW = [f"{number}{_ONE * 40}" for number in range(39)]


class Others:
    """Whoever else uses the event loop: how long they lived (seconds), and the longest they waited for their turn."""

    def __init__(self) -> None:
        self.lived = 0.0
        self.waited = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        began = last = loop.time()
        while True:
            await asyncio.sleep(0)
            now = loop.time()
            self.waited = max(self.waited, now - last)
            self.lived, last = now - began, now


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_intake_and_worker_let_others_go_on(scene: Scene) -> None:
    contact = await scene.contact()
    drafts = [scene.draft(contact, channel=Channel.EMAIL, body=body) for body in SLOW]
    await scene.intake.submit(scene.draft(contact, body=SLOW[0]))  # reads the library, once
    while_accepted, while_sent = Others(), Others()
    running = asyncio.create_task(while_accepted.run())
    await scene.intake.submit_many(drafts)
    running.cancel()
    async with dispatching(scene) as house:
        running = asyncio.create_task(while_sent.run())

        async def all_are_sent() -> bool:  # a workspace does not get all slots at once
            await house.dispatcher.pull(Lane.TRANSACTIONAL)
            await house.dispatcher.drain(30)
            return {row.status for row in await scene.rows()} == {Status.SENT}

        await wait_until(all_are_sent, timeout=30)
        running.cancel()
    assert [row.status for row in await scene.rows()] == [Status.SENT] * (1 + len(SLOW))
    # Where the loop itself reads them, it stands still for most of the time.
    for others in (while_accepted, while_sent):
        assert others.waited < others.lived / 2
