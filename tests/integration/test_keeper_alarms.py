"""The keeper as a process: it forgets what is old, and says in its log what is amiss."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from models.session import Database
from models.store import clock, counts
from models.tables import message_counts
from tests.support.house import House
from tests.support.message_rows import id_of
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until

DAY_MS = 86_400_000


@pytest.fixture
async def house(tmp_path: Path, database_url: str, redis_url: str, mail_sink: SmtpSink) -> AsyncIterator[House]:
    house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=mail_sink.port)
    yield house
    await asyncio.to_thread(house.close)


def said(house: House, event: str) -> list[dict[str, object]]:
    """What the keeper logged under that name, without time and place."""
    lines = [line for line in house.log("keeper").splitlines() if event in line]
    return [msgspec.json.decode(line, type=dict[str, object]) for line in lines]


async def test_it_says_what_is_amiss(scene: Scene, house: House, database: Database) -> None:
    sent = await scene.send(await scene.contact())
    async with database.read() as connection:
        now = await clock.read(connection)
    await scene.set(sent.id, due_at=now - 100_000)
    async with database.write() as connection:
        await counts.fold(connection, 1000)
        await connection.execute(update(message_counts).values(number=7))
    house.start_keeper()
    await wait_until(
        lambda: said(house, "keeper.conservation_broken") and said(house, "keeper.lane_is_late"), timeout=40
    )
    (broken, *_), (late, *more) = said(house, "keeper.conservation_broken"), said(house, "keeper.lane_is_late")
    assert broken["level"] == "error"
    assert broken["workspace"] == str(scene.workspace_id)
    assert (broken["accepted"], broken["found"], broken["astray"]) == (7, 1, 6)
    assert (late["level"], late["channel"], late["lane"]) == ("warning", "EMAIL", "transactional")
    assert isinstance(late["seconds"], int)
    assert 100 <= late["seconds"] < 200
    assert more == []
    assert "ann@example.org" not in house.log("keeper")


async def test_it_forgets_what_is_old(scene: Scene, house: House) -> None:
    async with scene.database.read() as connection:
        now = await clock.read(connection)
    contact_id = await scene.contact()
    old = await scene.send(contact_id, id=id_of(now - 91 * DAY_MS))
    await scene.set(old.id, state="done", turn=None, ended_at=now - 91 * DAY_MS)
    young = await scene.send(contact_id)
    house.start_keeper()

    async def gone() -> bool:
        return [row.id for row in await scene.rows()] == [young.id]

    await wait_until(gone, timeout=40)
    assert said(house, "broke") == []
