"""Dead letters by the API: listed by whose fault they are, and sent again."""

from typing import Any

from models import ids
from models.ids import Kind
from models.session import Database
from models.tables import messages
from tests.support.api import Api, Tenant

SINCE = "2026-01-15T10:00:00.000Z"
LATER = 1_768_471_200_001


async def fail(tenant: Tenant, database: Database, reason: str, **columns: Any) -> str:
    """The id of a mail that failed."""
    sent = await tenant.send(await tenant.contact())
    over = {"state": "failed", "turn": None, "ended_at": LATER, "failure_reason": reason}
    async with database.write() as connection:
        await connection.execute(
            messages.update().where(messages.c.id == ids.parse(Kind.MESSAGE, sent["id"])).values(**over | columns)
        )
    return str(sent["id"])


async def replay(tenant: Tenant, **more: Any) -> Any:
    return await tenant.post("/messages/replay", {"since": SINCE} | more, 200)


async def test_dead_letters_are_split(tenant: Tenant, database: Database) -> None:
    full = await fail(tenant, database, "mailbox_full")
    policy = await fail(tenant, database, "policy")
    waits = await tenant.send(await tenant.contact())
    assert waits["fault"] is None
    for fault, expected in (("receiver", [full]), ("ours", [policy]), ("sender", [])):
        page = await tenant.get("/messages", status="FAILED", fault=fault)
        assert [(each["id"], each["fault"]) for each in page["data"]] == [(each, fault) for each in expected]
        assert page["pagination"]["total"] == len(expected)
    assert (await tenant.get(f"/messages/{full}"))["fault"] == "receiver"
    why = await tenant.get(f"/messages/{policy}/why")
    assert why["fault"] == "ours"
    assert "this installation's" in why["because"]
    assert (await tenant.call("GET", "/messages?fault=nobody")).status_code == 400


async def test_a_dry_run_counts_and_a_replay_goes_on_until_nothing_is_left(tenant: Tenant, database: Database) -> None:
    for _ in range(3):
        await fail(tenant, database, "exhausted")
    await fail(tenant, database, "exhausted", expires_at=1)
    assert await replay(tenant, dryRun=True) == {"matching": 4, "retried": 0, "refused": {}, "next": None}
    first = await replay(tenant, limit=2)
    assert (first["matching"], first["retried"]) == (None, 2)
    assert await replay(tenant, limit=2, after=first["next"]) == {
        "matching": None,
        "retried": 1,
        "refused": {"expired": 1},
        "next": first["next"] and (await tenant.get("/messages", status="FAILED"))["data"][0]["id"],
    }
    assert await replay(tenant, dryRun=True, reason="policy") == {
        "matching": 0,
        "retried": 0,
        "refused": {},
        "next": None,
    }
    assert (await replay(tenant))["retried"] == 0


async def test_what_cannot_be_understood_is_refused(api: Api, tenant: Tenant) -> None:
    for wrong in ({"since": "yesterday"}, {"since": SINCE, "after": "x"}, {"since": SINCE, "limit": 201}, {}):
        assert (await tenant.call("POST", "/messages/replay", json=wrong)).status_code == 400
    other = await api.tenant()
    theirs = (await other.post("/campaigns", {"name": "Spring"}))["id"]
    for campaign in (theirs, "cmp_1"):
        answer = await tenant.call("POST", "/messages/replay", json={"since": SINCE, "campaignId": campaign})
        assert (answer.status_code, answer.json()["failureReason"]) == (422, "unknown_campaign")


async def test_settings_say_how_long_things_are_kept(tenant: Tenant) -> None:
    assert (await tenant.get("/settings"))["retentionDays"] == 90
    for kept in ({"retentionDays": 30, "inboxRetentionDays": 7}, {"retentionDays": None, "inboxRetentionDays": None}):
        changed = (await tenant.call("PATCH", "/settings", json=kept)).json()
        assert {name: changed[name] for name in kept} == kept
        assert await tenant.get("/settings") == changed
    assert (await tenant.call("PATCH", "/settings", json={"retentionDays": 29})).status_code == 400
