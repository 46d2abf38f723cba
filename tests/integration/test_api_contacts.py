import asyncio
import base64
from typing import Any

import pytest

from models import ids
from models.ids import Kind
from tests.support.api import Tenant

FULL = {
    "externalId": "reader-7",
    "email": "Ann@EXAMPLE.org",
    "phone": "+43 1 0000",
    "firstName": "Ann",
    "lastName": "Łódź",
    "timezone": "Europe/Vienna",
    "locale": "de-AT",
    "attributes": {"shelf": 7, "nested": {"a": [1, "ж"]}},
    "tags": ["vip"],
    "telegramChatId": 12345,
}


async def test_a_contact_is_made_and_read_back(tenant: Tenant) -> None:
    made = await tenant.post("/contacts", FULL)
    for name, value in FULL.items():
        expected = {"email": "Ann@example.org", "telegramChatId": "12345"}.get(name, value)
        assert made[name] == expected, name
    assert made["webhookUrl"] is None
    assert "webhookSecret" not in made
    assert await tenant.get(f"/contacts/{made['id']}") == made
    assert await tenant.get(f"/contacts/{made['id'].replace('ct_', 'cust_')}") == made
    page = await tenant.get("/contacts", email="Ann@Example.ORG", externalId="reader-7")
    assert page == {"data": [made], "pagination": {"page": 1, "limit": 50, "total": 1, "totalPages": 1}}
    assert (await tenant.get("/contacts", email="no mail"))["data"] == []


async def test_an_external_id_is_one_contacts_alone(tenant: Tenant) -> None:
    await tenant.post("/contacts", {"externalId": "a"})
    other = await tenant.post("/contacts", {"externalId": "b"})
    assert (await tenant.post("/contacts", {"externalId": "a"}, 409))["type"] == "/problems/conflict"
    assert (await tenant.call("PATCH", f"/contacts/{other['id']}", json={"externalId": "a"})).status_code == 409
    assert (await tenant.get(f"/contacts/{other['id']}"))["externalId"] == "b"


async def test_a_patch_changes_what_it_names(tenant: Tenant) -> None:
    made = await tenant.post("/contacts", FULL)
    changes = {"firstName": None, "attributes": {"shelf": None, "new": 1}, "tags": None}
    changed = (await tenant.call("PATCH", f"/contacts/{made['id']}", json=changes)).json()
    assert changed["attributes"] == {"nested": {"a": [1, "ж"]}, "new": 1}
    assert (changed["firstName"], changed["lastName"], changed["tags"]) == (None, "Łódź", [])
    assert changed["updatedAt"] >= made["updatedAt"]
    unknown = await tenant.call("PATCH", f"/contacts/{ids.show(Kind.CONTACT, ids.new_id())}", json={})
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"email": "nobody"}, "#/email"),
        ({"email": "a@example.org\r\nX: y"}, "#/email"),
        ({"webhookUrl": "ftp://example.org"}, "#/webhookUrl"),
        ({"webhookUrl": "https://user:pw@example.org"}, "#/webhookUrl"),
        ({"webhookUrl": "https://example.org", "webhookSecret": "short"}, "#/webhookSecret"),
        ({"externalId": ""}, "#/externalId"),
        ({"emial": "a@example.org"}, "#/emial"),
        ({"tags": "vip"}, "#/tags"),
    ],
    ids=str,
)
async def test_what_is_no_contact(tenant: Tenant, fields: dict[str, Any], pointer: str) -> None:
    problem = await tenant.post("/contacts", fields, 400)
    assert problem["errors"][0]["pointer"] == pointer
    assert "example.org" not in str(problem)


async def test_webhook_secrets_are_shown_once_and_change(tenant: Tenant) -> None:
    made = await tenant.post("/contacts", {"webhookUrl": "https://example.org/in"})
    path = f"/contacts/{made['id']}"
    assert made["webhookSecret"].startswith("whsec_")
    assert "webhookSecret" not in await tenant.get(path)
    assert "webhookSecret" not in (await tenant.call("PATCH", path, json={"firstName": "A"})).json()
    rotated = (await tenant.call("PATCH", path, json={"webhookSecret": None})).json()
    assert rotated["webhookSecret"] not in ("", made["webhookSecret"])
    own = await tenant.call("PATCH", path, json={"webhookSecret": made["webhookSecret"]})
    assert "webhookSecret" not in own.json()
    assert "webhookSecret" not in await tenant.post("/contacts", {"webhookSecret": None})


async def test_an_upsert_by_external_id(tenant: Tenant) -> None:
    async def put(external_id: str, body: Any) -> Any:
        return await tenant.call("PUT", f"/contacts/by-external-id/{external_id}", json=body)

    first = await put("a%2Fb", {"email": "a@example.org"})
    assert (first.status_code, first.json()["externalId"]) == (201, "a/b")
    second = await put("a%2Fb", {"firstName": "Ann"})
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])
    assert (second.json()["email"], second.json()["firstName"]) == ("a@example.org", "Ann")
    assert (await put("a", {"externalId": "b"})).status_code == 400
    assert (await put("", {})).status_code == 404
    many = await asyncio.gather(*(put("same", {"firstName": str(number)}) for number in range(8)))
    assert sorted(answer.status_code for answer in many) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in many}) == 1


async def test_a_person_is_erased(tenant: Tenant) -> None:
    canary = "canary"
    contact = await tenant.contact(email=f"{canary}@example.org", firstName=canary, attributes={"a": canary})
    message = await tenant.send(contact, subject=f"Dear {canary}", metadata={"who": canary})
    blocked = await tenant.post("/suppressions", {"channel": "EMAIL", "address": f"{canary}@example.org"})
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204

    assert (await tenant.call("GET", f"/contacts/{contact}")).status_code == 404
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 404
    assert (await tenant.call("PATCH", f"/contacts/{contact}", json={})).status_code == 404
    assert (await tenant.get("/contacts"))["data"] == []
    read = await tenant.get(f"/messages/{message['id']}")
    assert (read["subject"], read["metadata"], read["contact"]["email"]) == (None, {}, None)
    assert read["contact"]["erasedAt"] is not None
    assert canary not in str([read, await tenant.get("/messages"), await tenant.get("/suppressions")])
    # The address stays blocked, for whoever comes with it.
    again = await tenant.contact(email=f"{canary}@example.org")
    body = {"contactId": again, "channel": "EMAIL", "body": "x"}
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "suppressed"
    assert (await tenant.get(f"/suppressions/{blocked['id']}"))["address"] is None


async def test_a_browser_is_one_row(tenant: Tenant) -> None:
    contact, other = await tenant.contact(), await tenant.contact()
    point = base64.urlsafe_b64encode(b"\x04" + bytes(64)).decode().rstrip("=")
    secret = base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")
    browser = {"contactId": contact, "endpoint": "https://push.example.org/1", "p256dh": point, "auth": secret}
    made = await tenant.post("/push", browser)
    again = await tenant.post("/push", browser | {"contactId": other, "topic": "news"}, 200)
    assert (again["id"], again["contactId"], again["topic"]) == (made["id"], other, "news")
    for field, value in (("p256dh", secret), ("auth", "!"), ("endpoint", "push.example.org")):
        problem = await tenant.post("/push", browser | {field: value}, 400)
        assert problem["errors"][0]["pointer"] == f"#/{field}"
    await tenant.post("/push", browser | {"contactId": "ct_1"}, 404)


async def test_a_browser_may_be_given_as_a_page_has_it(tenant: Tenant) -> None:
    point = base64.urlsafe_b64encode(b"\x04" + bytes(64)).decode().rstrip("=")
    secret = base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")
    place = {"contactId": await tenant.contact(), "endpoint": "https://push.example.org/1"}
    keys = {"p256dh": point, "auth": secret}
    made = await tenant.post("/push", place | {"expirationTime": None, "keys": keys})
    flat: dict[str, object] = {**keys}
    for same in ({"expirationTime": 1.5e12, "keys": keys}, flat, flat | {"keys": None}):
        assert await tenant.post("/push", place | same, 200) == made
    wrong: dict[str, dict[str, object]] = {
        "#/keys": {},
        "#/p256dh": {"auth": secret},
        "#/auth": {"p256dh": point},
        "#/keys/auth": {"keys": {"p256dh": point}},
        "#/keys/p256dh": {"keys": keys | {"p256dh": secret}},
    }
    both: dict[str, dict[str, object]] = {f"#/{name}": {"keys": keys, name: value} for name, value in keys.items()}
    for pointer, given in [*wrong.items(), *both.items(), ("#/p256dh", flat | {"keys": keys})]:
        problem = await tenant.post("/push", place | given, 400)
        assert [error["pointer"] for error in problem["errors"]] == [pointer], problem


async def test_suppressions(tenant: Tenant) -> None:
    entry = {"channel": "EMAIL", "address": "Ann@Example.org", "topic": "news", "note": "asked by phone"}
    made = await tenant.post("/suppressions", entry)
    assert (made["kind"], made["address"], made["topic"]) == ("opt_out", "Ann@example.org", "news")
    assert (await tenant.post("/suppressions", entry, 200))["id"] == made["id"]
    contact = await tenant.contact()
    onsite = await tenant.post("/suppressions", {"channel": "ONSITE", "address": contact})
    assert (onsite["kind"], onsite["topic"]) == ("dead", None)
    listed = await tenant.get("/suppressions", address="ann@EXAMPLE.org")
    assert [each["id"] for each in listed["data"]] == [made["id"]]
    assert (await tenant.get("/suppressions", channel="ONSITE"))["data"] == [onsite]
    for bad, pointer in (
        ({"channel": "EMAIL", "address": "x"}, "#/address"),
        ({"channel": "PUSH", "address": "x"}, "#/address"),
        (entry | {"kind": "dead"}, "#/topic"),
    ):
        assert (await tenant.post("/suppressions", bad, 400))["errors"][0]["pointer"] == pointer
    for expected in (204, 404):
        assert (await tenant.call("DELETE", f"/suppressions/{made['id']}")).status_code == expected
    assert (await tenant.call("GET", f"/suppressions/{made['id']}")).status_code == 404


async def test_a_suppression_that_has_expired_is_replaced(tenant: Tenant) -> None:
    entry = {"channel": "EMAIL", "address": "ann@example.org"}
    past = await tenant.post("/suppressions", entry | {"expiresAt": "2020-01-01T00:00:00Z"})
    await tenant.send(await tenant.contact())
    present = await tenant.post("/suppressions", entry)
    assert present["id"] != past["id"]
    assert present["expiresAt"] is None
