"""A workspace at one look."""

from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.tables import channel_pauses, messages
from tests.support.api import Api, Tenant


async def change(database: Database, message: dict[str, str], **values: object) -> None:
    async with database.write() as connection:
        row = messages.update().where(messages.c.id == ids.parse(Kind.MESSAGE, message["id"]))
        await connection.execute(row.values(**values))


async def test_what_waits_and_what_became_of_the_latest(api: Api, tenant: Tenant, database: Database) -> None:
    nothing = await tenant.get("/lanes")
    assert (nothing["statuses"], nothing["held"], nothing["undelivered"], nothing["resting"]) == ([], 0, {}, [])
    assert len(nothing["lanes"]) == 10
    contact = await tenant.contact()
    sent = [await tenant.send(contact) for _ in range(4)]
    await tenant.send(contact, sendAt="2999-01-01T00:00:00Z")
    await tenant.send(contact, lane="bulk")
    other = await api.tenant()
    await other.send(await other.contact())

    over = {"turn": None, "ended_at": 1}
    await change(database, sent[0], state="failed", failure_reason="exhausted", **over)
    await change(database, sent[1], state="held", **over)
    await change(database, sent[2], due_at=now_ms() - 90_000)
    async with database.write() as connection:
        await connection.execute(
            channel_pauses.insert().values(channel="EMAIL", until=now_ms() + 60_000, detail="no login")
        )
    found = await tenant.get("/lanes", minutes=60)
    first, second = found["lanes"][:2]
    assert 90 <= first.pop("oldestSeconds") < 120
    assert first == {"channel": "EMAIL", "lane": "transactional", "ready": 2, "later": 1, "inFlight": 0}
    assert (second["lane"], second["ready"]) == ("bulk", 1)
    assert second["oldestSeconds"] is not None
    assert {each["status"]: (each["total"], each["recent"]) for each in found["statuses"]} == {
        "QUEUED": (4, 4),
        "SENDING": (1, 1),
        "FAILED": (1, 1),
    }
    assert {each["channel"] for each in found["statuses"]} == {"EMAIL"}
    assert (found["held"], found["resting"], found["minutes"]) == (1, ["EMAIL"], 60)
    assert sum(found["undelivered"].values()) == 1
    assert [(await other.get("/lanes"))[name] for name in ("held", "undelivered")] == [0, {}]
    assert (await tenant.call("GET", "/lanes?minutes=0")).status_code == 400
