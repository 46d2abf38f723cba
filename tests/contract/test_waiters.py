"""Waiting for messages: one look for everybody, and nobody waits longer than they asked or than they are there."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import event
from starlette.requests import Request

from api_shim.waiting import Waiters
from models.store.message_views import MessageRow
from models.vocabulary import State, Status
from tests.support.scene import Scene
from tests.support.waiting import wait_until


class Client:
    """The other end of a request."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """What uvicorn says once the body has been read."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def request(self) -> Request:
        """Its request."""
        return Request({"type": "http", "headers": []}, self.receive)


class Looks:
    """Counts the statements on ``messages``."""

    def __init__(self, scene: Scene) -> None:
        self.count = 0
        event.listen(scene.database.engine.sync_engine, "before_cursor_execute", self._see)

    def _see(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.count += "FROM messages" in statement


async def sent(scene: Scene, number: int) -> list[MessageRow]:
    contact = await scene.contact()
    results = await scene.intake.submit_many([scene.draft(contact) for _ in range(number)])
    return [result.message for result in results if not isinstance(result, Exception)]


async def test_all_who_wait_share_one_look(scene: Scene) -> None:
    rows = await sent(scene, 40)
    waiters = Waiters(scene.database)
    looks = Looks(scene)
    began = time.monotonic()
    waits = [asyncio.create_task(waiters.outcome(row, 30, Client().request)) for row in rows]
    waits += [asyncio.create_task(waiters.outcome(rows[0], 30, Client().request)) for _ in range(20)]
    await wait_until(lambda: looks.count >= 3)
    assert looks.count <= (time.monotonic() - began) / 0.05 + 1
    assert not any(wait.done() for wait in waits)
    await scene.set(rows[0].id, state=State.DONE.value, turn=None, sent_at=1)
    firsts = await asyncio.gather(waits[0], *waits[40:])
    assert {row.status for row in firsts if row is not None} == {Status.SENT}
    assert len(firsts) == 21
    assert not any(wait.done() for wait in waits[1:40])
    waiters.close()
    await asyncio.gather(*waits)
    await waiters.drain()
    at_the_end = looks.count
    assert await waiters.outcome(rows[1], 30, Client().request) is None
    assert looks.count == at_the_end  # nobody waits, nobody looks


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"state": State.DONE.value, "sent_at": 1}, Status.SENT),
        ({"state": State.DONE.value, "sent_at": 1, "delivered_at": 2}, Status.DELIVERED),
        ({"state": State.FAILED.value, "ended_at": 1}, Status.FAILED),
        ({"state": State.FAILED.value, "ended_at": 1, "hard_bounced_at": 1}, Status.BOUNCED),
        ({"state": State.CANCELLED.value, "ended_at": 1}, Status.FAILED),
    ],
)
async def test_what_ends_a_wait(scene: Scene, columns: dict[str, Any], status: Status) -> None:
    (row,) = await sent(scene, 1)
    waiters = Waiters(scene.database)
    wait = asyncio.create_task(waiters.outcome(row, 30, Client().request))
    await scene.set(row.id, turn=None, **columns)
    ended = await asyncio.wait_for(wait, 10)
    assert ended is not None
    assert ended.status is status
    assert await waiters.outcome(ended, 30, Client().request) == ended  # at once
    await waiters.drain()


async def test_a_held_message_has_no_end_yet(scene: Scene) -> None:
    (row,) = await sent(scene, 1)
    await scene.set(row.id, state=State.HELD.value, turn=None)
    waiters = Waiters(scene.database)
    ended = await waiters.outcome(row, 0.3, Client().request)
    assert ended is not None
    assert (ended.status, ended.state) == (Status.SENDING, State.HELD)
    await waiters.drain()


async def test_a_client_that_leaves_waits_no_longer(scene: Scene) -> None:
    (row,) = await sent(scene, 1)
    waiters = Waiters(scene.database, most=1)
    client = Client()
    wait = asyncio.create_task(waiters.outcome(row, 30, client.request))
    await asyncio.sleep(0)
    assert await waiters.outcome(row, 30, Client().request) is None  # there is room for one alone
    client.gone.set()
    assert await asyncio.wait_for(wait, 10) == row
    assert await waiters.outcome(row, 0.01, Client().request) == row  # the room is free again
    await waiters.drain()
