from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.tables import messages
from tests.support.api import Api, Tenant

NAMES = [
    "id",
    "journey_id",
    "campaign_id",
    "customer_id",
    "medium",
    "step",
    "sent",
    "delivered",
    "bounced",
    "opened",
    "clicked",
    "complained",
]


async def listing(tenant: Tenant, url: str = "/messages", **query: Any) -> Any:
    answer = await tenant.root.get(url, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_second(message_id: str) -> str:
    return message_id.replace("msg_", "mesg_")


async def test_a_message_under_its_other_names(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    sent = await tenant.send(contact, campaignId=campaign, step=3)
    page = await listing(tenant)
    (item,) = page["items"]
    assert list(item) == NAMES
    assert item == dict.fromkeys(NAMES) | {
        "id": as_second(sent["id"]),
        "campaign_id": campaign.replace("cmp_", "camp_"),
        "customer_id": contact.replace("ct_", "cust_"),
        "medium": "EMAIL",
        "step": 3,
    }
    assert (page["next"], page["prev"]) == (None, None)
    async with database.write() as connection:
        await connection.execute(messages.update().values(opened_at=now_ms(), soft_bounced_at=now_ms()))
    for form in (item["id"], sent["id"]):
        read = (await tenant.root.get(f"/messages/{form}")).json()
        assert read["sent"] == read["delivered"] == read["opened"] is not None
        assert read["bounced"] is not None
        assert (read["clicked"], read["complained"]) == (None, None)


async def test_following_next_meets_each_message_once(tenant: Tenant) -> None:
    contact = await tenant.contact()
    sent = [as_second((await tenant.send(contact))["id"]) for _ in range(7)]
    seen: list[str] = []
    backwards: list[str] = []
    page = await listing(tenant, limit=3)
    seen += [item["id"] for item in page["items"]]
    number = 1
    while page["next"]:
        await tenant.send(contact)  # new ones arrive while it is read
        number += 1
        query = parse_qs(urlsplit(page["next"]).query)
        assert (query["limit"], query["page"]) == (["3"], [str(number)])
        assert ids.parse(Kind.MESSAGE, query["before"][0]) is not None
        page = await listing(tenant, page["next"])
        seen += [item["id"] for item in page["items"]]
    assert seen == sent[::-1]
    while page["prev"]:
        page = await listing(tenant, page["prev"])
        backwards = [item["id"] for item in page["items"]] + backwards
    assert backwards == seen[:6]
    assert number == 3


async def test_pages_by_number(tenant: Tenant) -> None:
    contact = await tenant.contact()
    sent = [as_second((await tenant.send(contact))["id"]) for _ in range(5)][::-1]
    second = await listing(tenant, limit=2, page=2)
    assert [item["id"] for item in second["items"]] == sent[2:4]
    first = await listing(tenant, second["prev"])
    assert [item["id"] for item in first["items"]] == sent[:2]
    assert first["prev"] is None
    assert (await listing(tenant, limit=2, page=9))["items"] == []


async def test_filters(tenant: Tenant) -> None:
    ann, bob = await tenant.contact(), await tenant.contact(webhookUrl="https://example.org/in")
    campaign = (await tenant.post("/campaigns", {"name": "c"}))["id"]
    journey = (await tenant.post("/journeys", {"name": "j"}))["id"]
    one = as_second((await tenant.send(ann, subject="Spring 100% sale", campaignId=campaign))["id"])
    two = as_second((await tenant.send(bob, subject="Welcome", journeyId=journey))["id"])
    three = as_second((await tenant.send(bob, channel="WEBHOOK", subject="Spring again"))["id"])

    async def found(query: str) -> list[str]:
        return [item["id"] for item in (await listing(tenant, query=query))["items"]]

    assert await found("") == [three, two, one]
    assert await found(f"cu:{ann.replace('ct_', 'cust_')}") == await found(f"cu:{ann}") == [one]
    assert await found(f"c:{campaign.replace('cmp_', 'camp_')}") == [one]
    assert await found(f"j:{journey}") == [two]
    assert await found("m:WEBHOOK") == [three]
    assert await found(f"  cu:{bob}   m:EMAIL ") == [two]
    assert await found("spring") == [three, one]
    assert await found("spring m:EMAIL") == await found("100%") == [one]
    assert await found("%") == [one]
    assert (
        await found("_")
        == await found("cu:x")
        == await found(f"cu:{ann} cu:{bob}")
        == await found("m:EMAIL m:PUSH")
        == []
    )
    assert (await listing(tenant, before="x"))["items"] == []
    linked = await listing(tenant, query="spring", limit=1)
    assert [item["id"] for item in (await listing(tenant, linked["next"]))["items"]] == [one]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=1e2", "page=0", "page=x", "limt=5", "query=m:FAX", "query=%00"]
)
async def test_bad_parameters(tenant: Tenant, query: str) -> None:
    answer = await tenant.root.get(f"/messages?{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"internal_code", "message"}
    assert answer.json()["internal_code"] is None
    if query == "limt=5":
        assert answer.json()["message"] == "unknown parameter; did you mean limit?"


async def test_errors_in_their_short_form(api: Api, tenant: Tenant) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{api.url}/messages")
    assert (answer.status_code, answer.json()) == (401, {"internal_code": None, "message": "Unauthorized"})
    other = await api.tenant()
    message = await other.send(await other.contact())
    for path in (message["id"], "mesg_1", ids.show(Kind.MESSAGE, ids.new_id())):
        unknown = await tenant.root.get(f"/messages/{path}")
        assert (unknown.status_code, unknown.json()) == (404, {"internal_code": None, "message": "Not found"})
    assert (await listing(tenant))["items"] == []
