"""Contacts found and tagged, their bounds, their browsers, suppressions, journeys, and the export of a person."""

import asyncio
import base64
import json
from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import select

from api_shim.workspaces.export_types import ContactExport
from channels.standard_webhooks import new_secret
from models import ids
from models.events import ParsedEvent
from models.ids import Kind
from models.session import Database
from models.store import events
from models.tables import contacts
from models.vocabulary import EventType
from tests.support.api import Tenant
from worker.tracker import Tracker

NOBODY: Final = ids.show(Kind.CONTACT, ids.new_id())
POINT: Final = base64.urlsafe_b64encode(b"\x04" + bytes(64)).decode().rstrip("=")
SECRET: Final = base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")


async def names(tenant: Tenant, **query: str) -> list[str]:
    page = await tenant.get("/contacts", **query)
    assert page["pagination"]["total"] == len(page["data"])
    return sorted(each["firstName"] for each in page["data"])


async def test_contacts_are_found_by_the_beginnings_of_their_words(tenant: Tenant) -> None:
    await tenant.contact(firstName="Ann", lastName="Łódź", email="ann.long@example.org", externalId="reader-7")
    await tenant.contact(firstName="Anna", lastName="Straße", email="b@example.net", externalId="100%_done")
    await tenant.contact(firstName="Bob", email=None)
    for asked, found in {
        "ann": ["Ann", "Anna"],
        "ANN łÓ": ["Ann"],
        "strasse": ["Anna"],
        "example": ["Ann", "Anna"],
        "ann.long@example.org": ["Ann"],
        "Reader-7": ["Ann"],
        "100%": ["Anna"],
        "nn": [],
        "%": [],
        "ann bob": [],
        "": ["Ann", "Anna", "Bob"],
    }.items():
        assert await names(tenant, q=asked) == found, asked
    (ann,) = (await tenant.get("/contacts", q="ann łódź"))["data"]
    await tenant.call("PATCH", f"/contacts/{ann['id']}", json={"lastName": "Roe", "email": None})
    assert (await names(tenant, q="łódź"), await names(tenant, q="roe"), await names(tenant, q="long")) == (
        [],
        ["Ann"],
        [],
    )
    for bad in (" ".join("abcdefghi"), "x" * 201):
        answer = await tenant.call("GET", "/contacts", params={"q": bad})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "q")


async def test_nobody_finds_the_contacts_of_another_workspace(api: Any, tenant: Tenant) -> None:
    await tenant.contact(tags=["vip"])
    other = await api.tenant()
    assert (await names(other, q="ann"), await names(other, tag="vip"), await names(tenant, q="ann")) == (
        [],
        [],
        ["Ann"],
    )


async def test_tags_are_replaced_put_on_and_taken_off(tenant: Tenant) -> None:
    contact = await tenant.contact(tags=["vip", "old", "vip"])
    path = f"/contacts/{contact}"
    changed = await tenant.post(f"{path}/tags", {"add": ["new", "vip"], "remove": ["old", "never"]}, 200)
    assert changed["tags"] == ["vip", "new"]
    assert (await names(tenant, tag="new"), await names(tenant, tag="old"), await names(tenant, tag="NEW")) == (
        ["Ann"],
        [],
        [],
    )
    assert (await names(tenant, tag="vip", q="ann"), await names(tenant, tag="vip", q="bob")) == (["Ann"], [])
    assert (await tenant.call("PATCH", path, json={"tags": ["only"]})).json()["tags"] == ["only"]
    assert (await names(tenant, tag="vip"), await names(tenant, tag="only")) == ([], ["Ann"])
    many = {"add": [f"tag {number}" for number in range(200)]}
    problem = await tenant.post(f"{path}/tags", many, 400)
    assert problem["errors"][0]["pointer"] == "#/add"
    assert (await tenant.get(path))["tags"] == ["only"]
    await asyncio.gather(*(tenant.post(f"{path}/tags", {"add": [str(number)]}, 200) for number in range(8)))
    assert sorted((await tenant.get(path))["tags"]) == [*map(str, range(8)), "only"]
    await tenant.post(f"/contacts/{NOBODY}/tags", {}, 404)
    assert (await tenant.call("DELETE", path)).status_code == 204
    assert await names(tenant, tag="only") == []
    await tenant.post(f"{path}/tags", {}, 404)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"firstName": "Ann\r\nBcc: eve@example.org"}, "#/firstName"),
        ({"lastName": "x" * 201}, "#/lastName"),
        ({"phone": "1\n"}, "#/phone"),
        ({"timezone": "Europe/Vienna; x"}, "#/timezone"),
        ({"locale": "<b>"}, "#/locale"),
        ({"externalId": "a\u2028b"}, "#/externalId"),
        ({"externalId": "x" * 256}, "#/externalId"),
        ({"telegramChatId": 1 << 70}, "#/telegramChatId"),
        ({"telegramChatId": "a\u0085b"}, "#/telegramChatId"),
        ({"tags": ["a\nb"]}, "#/tags/0"),
        ({"tags": [str(number) for number in range(201)]}, "#/tags"),
        ({"attributes": {f"a{number}": 1 for number in range(201)}}, "#/attributes"),
        ({"attributes": {"a": "x" * 65_536}}, "#/attributes"),
        ({"attributes": {"a\nb": 1}}, "#/attributes"),
        ({"attributes": {"": 1}}, "#/attributes"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_every_field_has_its_bounds(tenant: Tenant, fields: dict[str, Any], pointer: str) -> None:
    problem = await tenant.post("/contacts", fields, 400)
    assert problem["errors"][0]["pointer"] == pointer
    assert (await tenant.get("/contacts"))["pagination"]["total"] == 0


@pytest.mark.parametrize("body", [rb'{"tags": ["\ud800"]}', rb'{"attributes": {"a": "\u0000"}}', b'{"phone": "\xff"}'])
async def test_what_no_database_takes(tenant: Tenant, body: bytes) -> None:
    answer = await tenant.call("POST", "/contacts", content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-json")


async def test_attributes_are_merged_however_deep(tenant: Tenant) -> None:
    contact = await tenant.contact(attributes={"plan": {"name": "gold", "seats": 3}, "x": 1})
    path = f"/contacts/{contact}"
    changes = {"plan": {"seats": None, "since": 2026}, "x": [None], "new": {"a": None, "b": {}}}
    merged = (await tenant.call("PATCH", path, json={"attributes": changes})).json()["attributes"]
    assert merged == {"plan": {"name": "gold", "since": 2026}, "x": [None], "new": {"b": {}}}
    filling = {f"a{number}": "x" * 60_000 for number in range(2)}
    assert (await tenant.call("PATCH", path, json={"attributes": filling})).status_code == 400
    assert (await tenant.call("PATCH", path, json={"attributes": None})).json()["attributes"] == {}


async def test_the_former_webhook_secret_is_valid_for_a_while(tenant: Tenant) -> None:
    made = await tenant.post("/contacts", {"webhookUrl": "https://example.org/in"})
    assert made["webhookSecretPreviousUntil"] is None
    rotated = (await tenant.call("PATCH", f"/contacts/{made['id']}", json={"webhookSecret": None})).json()
    assert rotated["webhookSecretPreviousUntil"] > rotated["updatedAt"]


async def test_a_webhook_secret_that_is_always_sent_is_rotated_once(tenant: Tenant, database: Database) -> None:
    secrets = [new_secret(), new_secret()]
    rows = []
    for given in (secrets[0], secrets[0], secrets[1], secrets[1]):
        body = {"webhookUrl": "https://example.org/in", "webhookSecret": given}
        answer = await tenant.call("PUT", "/contacts/by-external-id/reader-7", json=body)
        assert answer.status_code in (200, 201)
        async with database.read() as connection:
            found = await connection.execute(select(contacts.c.webhook_secret, contacts.c.webhook_secret_previous))
        rows.append(found.one())
    assert rows[0] == rows[1]
    assert rows[0].webhook_secret_previous is None
    assert rows[2] == rows[3]
    assert rows[2].webhook_secret_previous == rows[0].webhook_secret


async def test_browsers_are_listed_changed_and_forgotten(tenant: Tenant) -> None:
    contact, other = await tenant.contact(), await tenant.contact()
    browser = {"contactId": contact, "endpoint": "https://push.example.org/1", "p256dh": POINT, "auth": SECRET}
    first = await tenant.post("/push", browser)
    second = await tenant.post("/push", browser | {"contactId": other, "endpoint": "https://push.example.org/2"})
    assert (await tenant.get("/push"))["data"] == [second, first]
    assert (await tenant.get("/push", contactId=contact))["data"] == [first]
    assert (await tenant.get("/push", contactId="ct_1"))["data"] == []
    path = f"/push/{first['id']}"
    assert await tenant.get(path) == first
    changed = await tenant.call("PATCH", path, json={"topic": "news"})
    assert changed.json() == first | {"topic": "news"}
    assert (await tenant.call("PATCH", path, json={})).json()["topic"] == "news"
    for status in (204, 404):
        assert (await tenant.call("DELETE", path)).status_code == status
    assert (await tenant.call("GET", path)).status_code == 404
    assert (await tenant.call("PATCH", path, json={"topic": None})).status_code == 404


async def test_a_contacts_address_is_suppressed(tenant: Tenant) -> None:
    contact = await tenant.contact(email="Ann@example.org")
    made = await tenant.post("/suppressions", {"channel": "EMAIL", "contactId": contact, "topic": "news"})
    assert (made["address"], made["kind"]) == ("Ann@example.org", "opt_out")
    dead = await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"})
    onsite = await tenant.post("/suppressions", {"channel": "ONSITE", "contactId": contact})
    assert onsite["address"] is not None
    assert (await tenant.get("/suppressions", kind="opt_out"))["data"] == [made]
    assert (await tenant.get("/suppressions", address="ANN@example.org"))["data"] == [dead, made]
    assert (await tenant.get("/suppressions", address="ann@example.org", kind="dead"))["data"] == [dead]
    assert (await tenant.get("/suppressions", address="nobody"))["data"] == []
    for body, status, pointer in (
        ({"channel": "TELEGRAM", "contactId": contact}, 400, "#/contactId"),
        ({"channel": "EMAIL", "contactId": contact, "address": "a@example.org"}, 400, "#/address"),
        ({"channel": "EMAIL"}, 400, "#/address"),
        ({"channel": "EMAIL", "contactId": NOBODY}, 404, None),
        ({"channel": "EMAIL", "address": "a@example.org", "note": "a\r\nb"}, 400, "#/note"),
        ({"channel": "EMAIL", "address": "a@example.org", "reason": "by phone"}, 400, "#/reason"),
    ):
        problem = await tenant.post("/suppressions", body, status)
        assert problem.get("errors", [{"pointer": None}])[0]["pointer"] == pointer


async def test_a_suppression_is_changed(tenant: Tenant) -> None:
    made = await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"})
    path = f"/suppressions/{made['id']}"
    assert (await tenant.call("PATCH", path, json={})).json() == made
    change = {"note": "by phone", "expiresAt": "2020-01-01T00:00:00Z"}
    assert (await tenant.call("PATCH", path, json=change)).json()["note"] == "by phone"
    await tenant.send(await tenant.contact())
    lasting = (await tenant.call("PATCH", path, json={"expiresAt": None})).json()
    assert (lasting["expiresAt"], lasting["note"]) == (None, "by phone")
    body = {"contactId": await tenant.contact(), "channel": "EMAIL", "body": "x"}
    await tenant.post("/messages", body, 422)
    assert (await tenant.call("PATCH", f"/suppressions/{made['id'][:-1]}", json={})).status_code == 404


async def test_a_suppression_asked_for_again_lasts_as_long_as_the_longer_one(tenant: Tenant) -> None:
    body = {"channel": "EMAIL", "address": "ann@example.org"}
    later = {"expiresAt": "2096-01-01T00:00:00.000Z"}
    first = await tenant.post("/suppressions", body | {"expiresAt": "2095-01-01T00:00:00.000Z", "note": "on leave"})

    async def again(fields: dict[str, Any]) -> tuple[str | None, str]:
        row = await tenant.post("/suppressions", body | fields, 200)
        assert (row["id"], row["createdAt"]) == (first["id"], first["createdAt"])
        assert row == await tenant.get(f"/suppressions/{row['id']}")
        return row["expiresAt"], row["note"]

    for sooner in ({"expiresAt": "2094-01-01T00:00:00.000Z"}, {"expiresAt": first["expiresAt"]}):
        assert await again(sooner | {"note": "no"}) == (first["expiresAt"], "on leave")
    assert await again(later | {"note": "moved"}) == (later["expiresAt"], "moved")
    assert await again({"note": "by phone"}) == (None, "by phone")
    assert await again(later | {"note": "no"}) == (None, "by phone")
    assert await again({"note": "no"}) == (None, "by phone")
    assert (await tenant.post("/suppressions", body | {"topic": "news"}))["id"] != first["id"]


async def test_a_journey_that_is_removed_keeps_its_messages(tenant: Tenant) -> None:
    journey = await tenant.post("/journeys", {"name": "Onboarding"})
    path = f"/journeys/{journey['id']}"
    renamed = (await tenant.call("PATCH", path, json={"name": "Welcome"})).json()
    assert (renamed["name"], renamed["id"]) == ("Welcome", journey["id"])
    message = await tenant.send(await tenant.contact(), journeyId=journey["id"])
    for status in (204, 404):
        assert (await tenant.call("DELETE", path)).status_code == status
    assert (await tenant.call("GET", path)).status_code == 404
    assert (await tenant.call("PATCH", path, json={"name": "x"})).status_code == 404
    assert (await tenant.get("/journeys"))["pagination"]["total"] == 0
    read = await tenant.get(f"/messages/{message['id']}")
    assert (read["status"], read["journeyId"], read["journey"]["name"]) == ("QUEUED", journey["id"], "Welcome")
    body = {"contactId": await tenant.contact(), "channel": "EMAIL", "body": "x", "journeyId": journey["id"]}
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "unknown_journey"


async def test_everything_of_a_person_is_exported(tenant: Tenant) -> None:
    contact = await tenant.contact(email="Ann@example.org", externalId="reader-7", tags=["vip"])
    other = await tenant.contact(email="bob@example.org", firstName="Bob")
    browser = {"contactId": contact, "endpoint": "https://push.example.org/1", "p256dh": POINT, "auth": SECRET}
    await tenant.post("/push", browser)
    sent = [await tenant.send(contact, body=f"Body {number}", metadata={"n": number}) for number in range(45)]
    elsewhere = await tenant.send(contact, to="ann.other@example.org", body="Hello {{firstName}}")
    await tenant.send(other, body="Not for Ann")
    await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann.other@example.org"})
    await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@EXAMPLE.org", "topic": "x"})
    await tenant.post("/suppressions", {"channel": "EMAIL", "address": "bob@example.org"})

    answer = await tenant.call("GET", f"/contacts/{contact}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    whole = msgspec.json.decode(answer.content, type=ContactExport)
    assert (whole.contact.external_id, whole.contact.tags) == ("reader-7", ["vip"])
    assert next((each.channel, each.address) for each in whole.addresses) == ("EMAIL", "Ann@example.org")
    assert [(each.endpoint, each.auth) for each in whole.browsers] == [(browser["endpoint"], SECRET)]
    assert [each.id for each in whole.messages] == [each["id"] for each in [*sent, elsewhere]]
    bodies = [each.content and each.content.body for each in whole.messages]
    assert bodies == [*(f"Body {number}" for number in range(45)), "Hello {{firstName}}"]
    last = whole.messages[-1]
    assert (last.address, last.variables) == ("ann.other@example.org", {"firstName": "Ann"})
    assert [each.address for each in whole.suppressions] == ["ann.other@example.org", "ann@example.org"]
    assert "bob" not in answer.text.lower()
    assert "Not for Ann" not in answer.text
    assert (await tenant.call("GET", f"/contacts/{NOBODY}/export")).status_code == 404
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    assert (await tenant.call("GET", f"/contacts/{contact}/export")).status_code == 404


async def test_the_events_of_an_exported_message_are_its_own_and_all_there(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact(email="Ann@example.org")
    sent = [(await tenant.send(contact))["id"] for _ in range(3)]
    reported = [
        ParsedEvent(
            type=EventType.OPENED,
            provider_event=str(number),
            dedupe=number.to_bytes(32, "big"),
            raw=b"{}",
            at=None,
            message_ref=ids.parse(Kind.MESSAGE, sent[0 if number % 3 else 2]) if number < 120 else None,
            recipient="ann@EXAMPLE.org" if number < 180 else "bob@example.org",
        )
        for number in range(182)
    ]
    workspace_id = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert workspace_id is not None
    async with database.write() as connection:
        await events.insert(
            connection, workspace_id=workspace_id, source_id=workspace_id, provider="generic", events_=reported
        )
    await Tracker(database).pull()
    answer = await tenant.call("GET", f"/contacts/{contact}/export")
    whole = msgspec.json.decode(answer.content, type=ContactExport)
    numbers = [sorted(int(event.provider_event) for event in each.events) for each in whole.messages]
    assert numbers == [[n for n in range(120) if n % 3], [], [n for n in range(120) if not n % 3]]
    assert sorted(int(event.provider_event) for event in whole.unmatched_events) == list(range(120, 180))


NAMES = ("JÖRG_ÅNGSTRÖM", "jörg_ångström", "JÖrg_ånGSTRÖM", "Jorg_Angstrom", "JÜRG_ÅNGSTRÖM")


async def test_reports_about_a_person_are_found_in_any_case_of_any_letter(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact(email="Jörg_Ångström@example.org")
    said = [f"{name}@example.org" for name in NAMES]
    reported = [
        ParsedEvent(
            type=EventType.OPENED,
            provider_event=str(number),
            dedupe=number.to_bytes(32, "big"),
            raw=b"{}",
            at=None,
            recipient=recipient,
        )
        for number, recipient in enumerate(said)
    ]
    workspace_id = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert workspace_id is not None
    async with database.write() as connection:
        await events.insert(
            connection, workspace_id=workspace_id, source_id=workspace_id, provider="generic", events_=reported
        )
    whole = (await tenant.call("GET", f"/contacts/{contact}/export")).json()
    assert [each["recipient"] for each in whole["unmatchedEvents"]] == said[:3]
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    left = {each["recipient"] for each in (await tenant.get("/events"))["data"]}
    assert left == {None, *said[3:]}


async def test_the_export_of_a_contact_of_whom_nothing_is_known(tenant: Tenant) -> None:
    made = await tenant.post("/contacts", {})
    whole = (await tenant.call("GET", f"/contacts/{made['id']}/export")).json()
    assert whole["contact"] == made
    assert (whole["messages"], whole["suppressions"], whole["unmatchedEvents"]) == ([], [], [])


async def test_the_last_of_many_messages_is_erased_too(tenant: Tenant) -> None:
    contact = await tenant.contact(firstName="canary")
    item = {"contactId": contact, "channel": "EMAIL", "subject": "Dear canary", "body": "x"}
    reply = await tenant.call("POST", "/messages/batch", content=json.dumps([item] * 450))
    assert {each["status"] for each in reply.json()["data"]} == {200}
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    shown = await tenant.get("/messages", limit="200", page="3")
    assert shown["pagination"]["total"] == 450
    assert "canary" not in str(shown)
    assert {each["failureReason"] for each in shown["data"]} == {"erased"}
