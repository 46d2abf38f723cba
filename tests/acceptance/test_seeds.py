"""The examples of the two documents that the API was built from, in their own words; ids replaced by real ones."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from models import ids
from models.ids import Kind
from models.session import Database
from models.tables import messages
from models.timestamps import parse, show
from tests.support.api import Api, Tenant
from tests.support.no_tls import NO_TLS

ITEMS_OF_THE_FIRST = ["id", "channel", "status", "subject", "sentAt", "openedAt", "contactId", "campaignId"]


def stored(message_id: str) -> Any:
    return messages.update().where(messages.c.id == ids.parse(Kind.MESSAGE, message_id))


async def send_many(tenant: Tenant, contact: str, number: int, **fields: Any) -> list[str]:
    body = {"contactId": contact, "channel": "EMAIL", "subject": "Hi", "body": "Hi"} | fields
    answer = await tenant.post("/messages/batch", [body] * number, 200)
    return [item["message"]["id"] for item in answer["data"]]


async def test_list_messages(tenant: Tenant, database: Database) -> None:
    """``GET /api/workspaces/{workspaceId}/messages``."""
    contact = await tenant.contact()
    campaign = (await tenant.post("/campaigns", {"name": "Welcome"}))["id"]
    await send_many(tenant, contact, 5)
    message = (await tenant.send(contact, subject="Welcome to Acme!", campaignId=campaign))["id"]
    sent_at, opened_at = "2026-01-15T10:00:00.000Z", "2026-01-15T10:05:00.000Z"
    async with database.write() as connection:
        await connection.execute(
            stored(message).values(state="done", sent_at=parse(sent_at), delivered_at=parse(sent_at))
        )
    expected = {
        "id": message,
        "channel": "EMAIL",
        "status": "DELIVERED",
        "subject": "Welcome to Acme!",
        "sentAt": sent_at,
        "openedAt": None,
        "contactId": contact,
        "campaignId": campaign,
    }
    page = await tenant.get("/messages")
    assert list(page) == ["data", "pagination"]
    assert {name: page["data"][0][name] for name in ITEMS_OF_THE_FIRST} == expected
    assert page["pagination"] == {"page": 1, "limit": 50, "total": 6, "totalPages": 1}
    asked: dict[str, Any] = {
        "page": 1,
        "limit": 2,
        "channel": "EMAIL",
        "status": "DELIVERED",
        "contactId": contact,
        "campaignId": campaign,
    }
    narrow = await tenant.get("/messages", **asked)
    assert [each["id"] for each in narrow["data"]] == [message]
    assert narrow["pagination"] == {"page": 1, "limit": 2, "total": 1, "totalPages": 1}
    # The example's own message is DELIVERED and has an openedAt: here an opened one says OPENED.
    async with database.write() as connection:
        await connection.execute(stored(message).values(opened_at=parse(opened_at)))
    opened = await tenant.get("/messages", status="OPENED")
    assert {name: opened["data"][0][name] for name in ITEMS_OF_THE_FIRST} == expected | {
        "status": "OPENED",
        "openedAt": opened_at,
    }
    assert (await tenant.get("/messages", limit=4, page=2))["pagination"] == {
        "page": 2,
        "limit": 4,
        "total": 6,
        "totalPages": 2,
    }


async def test_filters_of_the_list(tenant: Tenant) -> None:
    for status in ["QUEUED", "SENDING", "SENT", "DELIVERED", "OPENED", "CLICKED", "BOUNCED", "FAILED", "UNSUBSCRIBED"]:
        assert (await tenant.get("/messages", status=status))["data"] == []
    for channel in ("EMAIL", "PUSH", "TELEGRAM", "ONSITE", "WEBHOOK"):
        assert (await tenant.get("/messages", channel=channel))["data"] == []
    for unknown in ({"contactId": "ct_1"}, {"campaignId": "cmp_1"}):
        assert (await tenant.get("/messages", **unknown))["pagination"]["total"] == 0


async def test_send_message(tenant: Tenant) -> None:
    """``POST /api/workspaces/{workspaceId}/messages``."""
    contact = await tenant.contact(firstName="Ann")
    template = (await tenant.post("/templates", {"name": "Digest", "subject": "s", "body": "b"}))["id"]
    campaign = (await tenant.post("/campaigns", {"name": "Digests"}))["id"]
    request = {
        "contactId": contact,
        "channel": "EMAIL",
        "subject": "Your weekly digest",
        "body": "<h1>Hello {{firstName}}</h1><p>Here is your update...</p>",
        "templateId": template,
        "campaignId": campaign,
        "metadata": {"category": "digest"},
    }
    sent = await tenant.post("/messages", request, 200)
    assert {name: sent[name] for name in request if name != "body"} == {
        name: value for name, value in request.items() if name != "body"
    }
    assert sent["status"] == "QUEUED"
    smallest = {"contactId": contact, "channel": "EMAIL", "body": "Hi"}
    assert (await tenant.post("/messages", smallest, 200))["subject"] is None
    for name in ("contactId", "channel"):
        await tenant.post("/messages", {key: value for key, value in smallest.items() if key != name}, 400)
    failed = await tenant.post("/messages", smallest | {"contactId": await tenant.contact(email=None)}, 422)
    assert failed["failureReason"] == "no_address"


async def test_get_message(tenant: Tenant) -> None:
    """``GET /api/workspaces/{workspaceId}/messages/{messageId}``: with contact, template and campaign."""
    contact = await tenant.contact()
    template = (await tenant.post("/templates", {"name": "Digest", "subject": "s", "body": "b"}))["id"]
    campaign = (await tenant.post("/campaigns", {"name": "Digests"}))["id"]
    sent = await tenant.send(contact, templateId=template, campaignId=campaign)
    shown = await tenant.get(f"/messages/{sent['id']}")
    assert shown["contact"]["id"] == contact
    assert (shown["template"]["id"], shown["template"]["name"]) == (template, "Digest")
    assert (shown["campaign"]["id"], shown["campaign"]["name"]) == (campaign, "Digests")
    assert [event["status"] for event in shown["events"]] == ["QUEUED"]


async def test_retrieve_a_list_of_messages(api: Api, tenant: Tenant, database: Database) -> None:
    """``curl -G …/messages -H "Authorization: Bearer {token}"``."""
    contact = await tenant.contact()
    journey = (await tenant.post("/journeys", {"name": "Welcome"}))["id"]
    await send_many(tenant, contact, 30)
    newest = (await tenant.send(contact, journeyId=journey, step=3))["id"]
    at = "2026-02-02T13:48:05.683Z"
    async with database.write() as connection:
        await connection.execute(stored(newest).values(state="done", sent_at=parse(at), delivered_at=parse(at)))
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as curl:
        answer = await curl.get(f"{api.url}/messages", headers={"Authorization": f"Bearer {tenant.token}"})
    assert answer.status_code == 200
    page = answer.json()
    assert list(page) == ["items", "next", "prev"]
    assert len(page["items"]) == 25
    item = page["items"][0]
    assert item.pop("customer_id") == contact.replace("ct_", "cust_")  # the model's; the example leaves it out
    assert item == {
        "id": newest.replace("msg_", "mesg_"),
        "journey_id": journey,
        "campaign_id": None,
        "medium": "EMAIL",
        "step": 3,
        "sent": at,
        "delivered": at,
        "bounced": None,
        "opened": None,
        "clicked": None,
        "complained": None,
    }
    assert re.fullmatch(re.escape(f"{api.url}/messages?limit=25&page=2") + r"&before=mesg_[0-9a-z]{26}", page["next"])
    assert page["prev"] is None
    second = (await tenant.root.get(page["next"])).json()
    assert (len(second["items"]), second["next"]) == (6, None)
    assert parse_qs(urlsplit(second["prev"]).query)["page"] == ["1"]
    assert show(parse(at)) == at


async def test_query_of_the_list(tenant: Tenant) -> None:
    contact = await tenant.contact()
    campaign = (await tenant.post("/campaigns", {"name": "c"}))["id"]
    journey = (await tenant.post("/journeys", {"name": "j"}))["id"]
    message = (await tenant.send(contact, campaignId=campaign, journeyId=journey))["id"]
    await send_many(tenant, await tenant.contact(), 2)
    customer, camp = contact.replace("ct_", "cust_"), campaign.replace("cmp_", "camp_")
    for query in (f"cu:{customer}", f"j:{journey}", f"c:{camp}", f"cu:{customer} j:{journey} c:{camp} m:EMAIL"):
        items = (await tenant.root.get("/messages", params={"query": query})).json()["items"]
        assert [item["id"] for item in items] == [message.replace("msg_", "mesg_")]


async def test_unauthorized(api: Api) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
        answer = await client.get(f"{api.url}/messages", headers={"Authorization": "Bearer {token}"})
    assert (answer.status_code, answer.json()) == (401, {"internal_code": None, "message": "Unauthorized"})
