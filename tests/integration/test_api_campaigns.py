from typing import Any

import pytest

from models import ids
from models.ids import Kind
from models.session import Database
from models.store import campaigns, claims, keeping, turns
from models.tables import messages
from models.vocabulary import Channel, Lane
from tests.support.api import Api, Tenant


async def command(tenant: Tenant, campaign: str, name: str, status: int = 200) -> Any:
    answer = await tenant.call("POST", f"/campaigns/{campaign}/{name}")
    assert answer.status_code == status, answer.text
    return answer.json()


async def claimed(database: Database) -> list[str]:
    """What a worker would be given now."""
    async with database.write() as connection:
        found, _ = await claims.claim(connection, Channel.EMAIL, Lane.BULK, ids.new_id(), 100)
    return [ids.show(Kind.MESSAGE, each.id) for each in found]


async def set_columns(database: Database, shown: str, **columns: Any) -> None:
    message_id = ids.parse(Kind.MESSAGE, shown)
    async with database.write() as connection:
        await connection.execute(messages.update().where(messages.c.id == message_id).values(**columns))


@pytest.fixture
async def campaign(tenant: Tenant) -> str:
    return str((await tenant.post("/campaigns", {"name": "Spring"}))["id"])


async def test_a_campaign_is_made_changed_and_removed(tenant: Tenant, campaign: str) -> None:
    read = await tenant.get(f"/campaigns/{campaign}")
    assert (read["name"], read["state"]) == ("Spring", "running")
    answer = await tenant.call("PATCH", f"/campaigns/{campaign}", json={"name": "Summer"})
    assert answer.json() == read | {"name": "Summer"}
    assert (await tenant.call("PATCH", f"/campaigns/{campaign}", json={})).json()["name"] == "Summer"
    assert (await tenant.call("PATCH", f"/campaigns/{campaign}", json={"state": "paused"})).status_code == 400
    for expected in (204, 404):
        assert (await tenant.call("DELETE", f"/campaigns/{campaign}")).status_code == expected
    assert (await tenant.get("/campaigns"))["pagination"]["total"] == 0
    for method, path in (("GET", ""), ("PATCH", ""), ("GET", "/numbers"), ("POST", "/pause"), ("POST", "/cancel")):
        named: dict[str, Any] = {"json": {"name": "x"}} if method == "PATCH" else {}
        assert (await tenant.call(method, f"/campaigns/{campaign}{path}", **named)).status_code == 404
    body = {"contactId": await tenant.contact(), "channel": "EMAIL", "body": "x", "campaignId": campaign}
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "unknown_campaign"


async def test_a_campaign_with_work_left_is_not_removed(tenant: Tenant, campaign: str, database: Database) -> None:
    sent = await tenant.send(await tenant.contact(), campaignId=campaign)
    for state in ("queued", "sending", "held"):
        await set_columns(database, sent["id"], state=state)
        assert (await tenant.call("DELETE", f"/campaigns/{campaign}")).status_code == 409
    await set_columns(database, sent["id"], state="done", turn=None, sent_at=1)
    assert (await tenant.call("DELETE", f"/campaigns/{campaign}")).status_code == 204
    assert (await tenant.get(f"/messages/{sent['id']}"))["campaign"]["name"] == "Spring"


async def test_pausing_and_resuming(tenant: Tenant, campaign: str, database: Database) -> None:
    contact = await tenant.contact()
    sent = await tenant.send(contact, campaignId=campaign)
    later = await tenant.send(contact, campaignId=campaign, sendAt="2099-01-01T00:00:00Z")
    other = await tenant.send(contact, lane="bulk")
    assert (await command(tenant, campaign, "pause"))["state"] == "paused"
    async with database.read() as connection:
        assert await campaigns.unsettled(connection) == []
    assert await claimed(database) == [other["id"]]
    while_paused = await tenant.send(contact, campaignId=campaign)
    assert (await command(tenant, campaign, "pause"))["state"] == "paused"
    assert await claimed(database) == []
    assert (await command(tenant, campaign, "resume"))["state"] == "running"
    assert (await command(tenant, campaign, "resume"))["state"] == "running"
    await ready(database)
    assert sorted(await claimed(database)) == sorted([sent["id"], while_paused["id"]])
    assert (await tenant.get(f"/messages/{later['id']}"))["status"] == "QUEUED"


async def ready(database: Database) -> None:
    """The keeper's turn."""
    async with database.write() as connection:
        for group in await keeping.groups_due(connection):
            await keeping.ready_due(connection, group, 100)


async def test_cancelling_is_for_good(tenant: Tenant, campaign: str, database: Database) -> None:
    contact = await tenant.contact()
    first = await tenant.send(contact, campaignId=campaign)
    (in_hand,) = await claimed(database)
    assert in_hand == first["id"]
    second = await tenant.send(contact, campaignId=campaign)
    await command(tenant, campaign, "pause")
    later = await tenant.send(contact, campaignId=campaign, sendAt="2099-01-01T00:00:00Z")
    assert (await command(tenant, campaign, "cancel"))["state"] == "cancelled"
    for each in (second, later):
        read = await tenant.get(f"/messages/{each['id']}")
        assert (read["status"], read["failureReason"]) == ("FAILED", "cancelled")
        assert read["failedAt"] is not None
    assert (await tenant.get(f"/messages/{first['id']}"))["status"] == "SENDING"
    assert await claimed(database) == []
    for name in ("pause", "resume"):
        assert (await command(tenant, campaign, name, 409))["type"] == "/problems/conflict"
    await command(tenant, campaign, "cancel")
    body = {"contactId": contact, "channel": "EMAIL", "body": "x", "campaignId": campaign}
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "cancelled"


@pytest.mark.parametrize("name", ["pause", "cancel"])
async def test_what_slips_in_behind_a_command_is_found(
    tenant: Tenant, campaign: str, database: Database, name: str
) -> None:
    sent = await tenant.send(await tenant.contact(), campaignId=campaign)
    await command(tenant, campaign, name)
    # An intake that had read the state before the command stores its row after it: ready, or scheduled.
    async with database.write() as connection:
        workspace = ids.parse(Kind.WORKSPACE, tenant.workspace)
        assert workspace is not None
        group = (Channel.EMAIL, Lane.BULK, workspace)
        turn = (await turns.allot(connection, {group: 1}))[group]
    slipped = {"state": "queued", "paused": False, "failure_reason": None, "ended_at": None}
    await set_columns(database, sent["id"], turn=turn, **slipped)
    assert await claimed(database) == []
    await set_columns(database, sent["id"], turn=None, due_at=2**52, **slipped)
    async with database.write() as connection:
        (behind,) = await campaigns.unsettled(connection)
        assert ids.show(Kind.CAMPAIGN, behind) == campaign
        assert await campaigns.settle(connection, behind, 10) == 1
        assert await campaigns.unsettled(connection) == []


async def test_numbers_add_up(tenant: Tenant, campaign: str, database: Database) -> None:
    contact = await tenant.contact()
    empty = await tenant.get(f"/campaigns/{campaign}/numbers")
    assert (empty["total"], empty["failedByReason"], set(empty["byStatus"].values())) == (0, {}, {0})
    assert {each["rate"] for each in empty["rates"].values()} == {None}
    columns: list[dict[str, Any]] = [
        {},
        {"state": "done", "turn": None, "sent_at": 1},
        {"state": "done", "turn": None, "sent_at": 1, "delivered_at": 2, "machine_opened_at": 3},
        {"state": "done", "turn": None, "sent_at": 1, "opened_at": 4, "machine_opened_at": 3},
        {"state": "done", "turn": None, "sent_at": 1, "clicked_at": 4, "machine_clicked_at": 3},
        {"state": "done", "turn": None, "sent_at": 1, "clicked_at": 4, "unsubscribed_at": 5},
        {"state": "done", "turn": None, "sent_at": 1, "complained_at": 5},
        {"state": "done", "turn": None, "sent_at": 1, "failed_at": 5},
        {"state": "done", "turn": None, "sent_at": 1, "hard_bounced_at": 5},
        {"state": "failed", "turn": None, "failure_reason": "policy"},
        {"state": "failed", "turn": None, "failure_reason": "policy"},
        {"state": "cancelled", "turn": None, "failure_reason": "cancelled"},
        {"state": "held", "turn": None},
    ]
    for each in columns:
        sent = await tenant.send(contact, campaignId=campaign)
        if each:
            await set_columns(database, sent["id"], **each)
    await tenant.send(contact)
    numbers = await tenant.get(f"/campaigns/{campaign}/numbers")
    assert numbers == {
        "total": 13,
        "byStatus": {
            "QUEUED": 1,
            "SENDING": 1,
            "SENT": 1,
            "DELIVERED": 1,
            "OPENED": 1,
            "CLICKED": 1,
            "BOUNCED": 1,
            "FAILED": 4,
            "UNSUBSCRIBED": 2,
        },
        "ended": 11,
        "sent": 8,
        "delivered": 5,
        "reached": 6,
        "opens": {"human": 3, "machine": 2},
        "clicks": {"human": 2, "machine": 1},
        "unsubscribed": 1,
        "complained": 1,
        "failedByReason": {"policy": 2, "cancelled": 1, "provider_failed": 1},
        "rates": {
            "delivered": {"rate": 0.625, "of": "sent"},
            "bounced": {"rate": 0.0909, "of": "ended"},
            "failed": {"rate": 0.3636, "of": "ended"},
            "opened": {"rate": 0.5, "of": "reached"},
            "clicked": {"rate": 0.3333, "of": "reached"},
            "unsubscribed": {"rate": 0.1667, "of": "reached"},
            "complained": {"rate": 0.1667, "of": "reached"},
        },
    }


async def test_strangers_see_no_campaign(api: Api, tenant: Tenant, campaign: str) -> None:
    stranger = await api.tenant()
    unknown = ids.show(Kind.CAMPAIGN, ids.new_id())
    for method, below in (("DELETE", ""), ("GET", "/numbers"), ("POST", "/pause"), ("POST", "/cancel")):
        answers = [await stranger.call(method, f"/campaigns/{each}{below}") for each in (campaign, unknown, "cmp_1")]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
    assert (await tenant.get(f"/campaigns/{campaign}"))["state"] == "running"
