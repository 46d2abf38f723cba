"""How the keeper's questions are answered: as long as a house stands, on the plan that was made on its first day.

A connection keeps the plan of a statement until the database gathers what it knows of the table anew; a plan made while
the table was empty must not read all of it.
"""

import pytest

from tests.support.plans import explain, statements, whole_reads
from tests.support.scene import Scene
from worker.alarms import Alarms
from worker.folding import Folder
from worker.keeper import Keeper

GROWING = ("messages", "message_details", "attempts", "events", "contents", "contacts", "inbox_items", "status_events")


@pytest.mark.parametrize("duty", ["rescue", "wake", "ready", "expire", "settle", "offer", "count", "late_lanes"])
async def test_nothing_that_is_asked_every_second_reads_all_messages(scene: Scene, duty: str) -> None:
    doers = (Keeper(scene.database, scene.wakeups), Folder(scene.database), Alarms(scene.database))
    with statements(scene.database) as asked:
        await next(getattr(doer, duty) for doer in doers if hasattr(doer, duty))()
    plans = await explain(scene.database, asked)
    assert plans
    for plan in plans:
        assert [line for line in whole_reads(plan) if any(f" {table}" in f"{line} " for table in GROWING)] == [], plan
