import asyncio
import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from channels.standard_webhooks import new_secret
from models import ids
from models.ids import Kind
from models.session import Database
from tests.support.api import Tenant
from worker.tracker import Tracker


class Service:
    """A provider: signs by the reference library of Standard Webhooks and reports to a hook."""

    def __init__(self, tenant: Tenant, hook: dict[str, Any]) -> None:
        self._root = tenant.root
        self._key = hook["signingKey"]
        self._path = httpx.URL(hook["url"]).path
        self.deliveries = 0

    async def report(self, *events: Any, **changed: str) -> httpx.Response:
        return await self.raw(json.dumps({"events": events}), **changed)

    async def raw(self, body: str, **changed: str) -> httpx.Response:
        self.deliveries += 1
        now = time.time()
        delivery = f"d{self.deliveries}"
        signature = Webhook(self._key).sign(delivery, datetime.fromtimestamp(int(now), UTC), body)
        headers = {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signature,
            "authorization": "",
        }
        return await self._root.post(self._path, content=body, headers=headers | changed)


@pytest.fixture
async def service(tenant: Tenant) -> Service:
    return Service(tenant, await tenant.post("/hooks", {"provider": "generic"}))


async def test_hooks_keep_their_secrets(tenant: Tenant) -> None:
    made = await tenant.post("/hooks", {"provider": "generic"})
    assert made["signingKey"].startswith("whsec_")
    assert made["url"].endswith(f"/hooks/generic/{made['hookKey']}")
    read = await tenant.get(f"/hooks/{made['id']}")
    assert read == {name: value for name, value in made.items() if name != "signingKey"}
    assert (await tenant.get("/hooks"))["data"] == [read]
    given = await tenant.post("/hooks", {"provider": "generic", "signingKey": made["signingKey"]})
    assert given["signingKey"] == made["signingKey"]
    assert given["hookKey"] != made["hookKey"]
    for bad in (
        {"provider": "fax"},
        {"provider": "generic", "signingKey": "x"},
        {"provider": "generic", "basicAuth": "x"},
    ):
        await tenant.post("/hooks", bad, 400)
    for expected in (204, 404):
        assert (await tenant.call("DELETE", f"/hooks/{made['id']}")).status_code == expected


async def test_events_make_a_messages_life(tenant: Tenant, service: Service, database: Database) -> None:
    message = await tenant.send(await tenant.contact())
    about = {"messageId": message["id"]}
    answer = await service.report(
        {"id": "1", "type": "clicked", "at": "2099-01-01T00:00:00Z"} | about,
        {"id": "2", "type": "delivered"} | about,
        {"id": "3", "type": "deferred", "detail": "busy"} | about,
        {"id": "4", "type": "danced"} | about,
    )
    assert (answer.status_code, answer.json()) == (200, {"stored": 4, "repeated": 0, "unreadable": 1})
    again = await service.report({"id": "1", "type": "clicked"} | about)
    assert again.json() == {"stored": 0, "repeated": 1, "unreadable": 0}
    await Tracker(database).pull()

    read = await tenant.get(f"/messages/{message['id']}")
    assert read["status"] == "CLICKED"
    assert read["queuedAt"] <= read["sentAt"] <= read["deliveredAt"] <= read["openedAt"] <= read["clickedAt"]
    shown = [(event["type"], event["status"]) for event in read["events"]]
    assert shown[0] == ("queued", "QUEUED")
    assert set(shown[1:]) == {
        ("sent", "SENT"),
        ("delivered", "DELIVERED"),
        ("deferred", None),
        ("ignored", None),
        ("clicked", "CLICKED"),
    }
    assert [event["at"] for event in read["events"]] == sorted(event["at"] for event in read["events"])
    assert (await tenant.get("/messages", status="CLICKED"))["pagination"]["total"] == 1


async def test_a_hard_bounce_suppresses_and_a_soft_one_does_not(
    tenant: Tenant, service: Service, database: Database
) -> None:
    contact = await tenant.contact()
    first, second = await tenant.send(contact), await tenant.send(contact)
    await service.report({"type": "bounced", "bounceType": "soft", "messageId": first["id"]})
    await Tracker(database).pull()
    soft = await tenant.get(f"/messages/{first['id']}")
    assert (soft["status"], soft["bounceType"]) == ("BOUNCED", "soft")
    await tenant.send(contact)
    await service.report({"type": "bounced", "messageId": second["id"]})
    await Tracker(database).pull()
    hard = await tenant.get(f"/messages/{second['id']}")
    assert (hard["status"], hard["bounceType"], hard["failedAt"]) == ("BOUNCED", "hard", None)
    body = {"contactId": contact, "channel": "EMAIL", "body": "x"}
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "suppressed"
    (entry,) = (await tenant.get("/suppressions"))["data"]
    assert (entry["kind"], entry["messageId"]) == ("dead", second["id"])


async def test_what_the_provider_gave_up_says_so(tenant: Tenant, service: Service, database: Database) -> None:
    message = (await tenant.send(await tenant.contact()))["id"]
    await service.report({"type": "failed", "messageId": message})
    await Tracker(database).pull()
    for path in (f"/messages/{message}", f"/messages/{message}/why"):
        read = await tenant.get(path)
        assert (read["status"], read["failureReason"], read["fault"]) == ("FAILED", "provider_failed", "ours")


async def test_what_is_not_proved_is_not_stored(tenant: Tenant, service: Service) -> None:
    event = {"type": "opened", "messageId": ids.show(Kind.MESSAGE, ids.new_id())}
    for changed in (
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": "other"},
        {"webhook-timestamp": str(int(time.time()) - 600)},
        {"webhook-signature": ""},
    ):
        answer = await service.report(event, **changed)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
    assert (await tenant.get("/events"))["pagination"]["total"] == 0


async def test_unknown_hooks_are_all_alike(tenant: Tenant) -> None:
    made = await tenant.post("/hooks", {"provider": "generic"})
    answers = [
        await tenant.root.post(path, content=b"{}")
        for path in ("/hooks/generic/x", f"/hooks/sendgrid/{made['hookKey']}", "/hooks/wireroom/x")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_what_came_in_is_listed(tenant: Tenant, service: Service, database: Database) -> None:
    message = await tenant.send(await tenant.contact())
    stranger = ids.show(Kind.MESSAGE, ids.new_id())
    event = {"id": "1", "type": "opened", "messageId": message["id"], "detail": "a\x00b"}
    await service.report(
        event, {"id": "2", "type": "failed", "messageId": stranger}, {"type": "opened", "messageId": "x"}
    )
    await service.raw("no json \x00")
    await Tracker(database).pull()

    page = await tenant.get("/events")
    assert page["pagination"]["total"] == 4
    opened = next(each for each in page["data"] if each["messageId"] == message["id"])
    assert json.loads(opened["raw"]) == event
    assert (opened["type"], opened["provider"], opened["reason"], opened["machine"]) == (
        "opened",
        "generic",
        "a b",
        False,
    )
    assert (await tenant.get("/events", matched="true"))["data"] == [opened]
    parked = (await tenant.get("/events", matched="false"))["data"]
    assert {(each["type"], each["messageId"]) for each in parked} == {
        ("failed", stranger),
        ("opened", None),
        ("ignored", None),
    }
    assert (await tenant.get("/events", type="failed"))["pagination"]["total"] == 1
    assert (await tenant.get("/events", hookId=opened["hookId"], provider="generic"))["pagination"]["total"] == 4
    assert (await tenant.get("/events", messageId=message["id"]))["data"] == [opened]
    assert (await tenant.get("/events", hookId="x"))["data"] == []


async def test_a_bad_signature_is_answered_with_what_would_be_taken(service: Service) -> None:
    wrong = Webhook(new_secret()).sign("d1", datetime.now(UTC), "{}")
    answer = await service.raw("{}", **{"webhook-signature": wrong})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Webhook-Signature realm="hook"')


async def test_one_workspaces_hook_says_nothing_of_anothers_messages(
    tenant: Tenant, service: Service, database: Database, api: Any
) -> None:
    other = await api.tenant()
    message = await other.send(await other.contact())
    await service.report({"type": "complained", "messageId": message["id"]})
    await Tracker(database).pull()
    assert (await other.get(f"/messages/{message['id']}"))["status"] == "QUEUED"
    assert (await other.get("/events"))["data"] == []


async def test_basic_credentials_where_a_hook_asks_for_them(tenant: Tenant) -> None:
    service = Service(tenant, await tenant.post("/hooks", {"provider": "generic", "basicAuth": "ann:pässword"}))
    for wrong in ("", "Basic", "Basic !!", "Basic YW5uOm5v", f"Bearer {tenant.token}"):
        answer = await service.report({"type": "opened"}, authorization=wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
    good = "Basic " + base64.b64encode("ann:pässword".encode()).decode()
    assert (await service.report({"type": "opened"}, authorization=good)).status_code == 200
    assert (await tenant.get("/events"))["pagination"]["total"] == 1


async def test_an_erased_person_is_gone_from_what_was_reported(
    tenant: Tenant, service: Service, database: Database
) -> None:
    contact = await tenant.contact()
    message = await tenant.send(contact)
    await service.report({"type": "bounced", "messageId": message["id"], "detail": "no ann@example.org here"})
    await Tracker(database).pull()
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    everything = [await tenant.get(path) for path in ("/events", f"/messages/{message['id']}", "/suppressions")]
    assert "ann@" not in str(everything)


async def test_many_events_are_stored_in_parts_and_too_many_not_at_all(tenant: Tenant, service: Service) -> None:
    answer = await service.raw('{"events":[' + ",".join(["5"] * 10_001) + "]}")
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/request-too-large")
    assert (await tenant.get("/events"))["pagination"]["total"] == 0
    many = [{"id": number, "type": "opened"} for number in range(2_500)]
    assert (await service.report(*many)).json() == {"stored": 2_500, "repeated": 0, "unreadable": 0}
    assert (await service.report(*many, 5)).json() == {"stored": 1, "repeated": 2_500, "unreadable": 1}


async def test_long_requests_at_once_are_all_applied_once(tenant: Tenant, service: Service) -> None:
    contact = await tenant.contact()
    made = [(await tenant.send(contact))["id"] for _ in range(3)]
    requests = [
        [{"id": f"{kind}{number}", "type": kind, "messageId": made[number % 3]} for number in range(250)]
        for kind in ("delivered", "opened", "clicked", "opened")
    ]
    answers = await asyncio.gather(*(service.report(*each) for each in requests))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sum(answer.json()["stored"] for answer in answers) == 750
    assert {(await tenant.get(f"/messages/{each}"))["status"] for each in made} == {"CLICKED"}
    assert (await tenant.get("/events?matched=true"))["pagination"]["total"] == 750


async def test_a_long_request_that_breaks_holds_up_no_other(
    tenant: Tenant, service: Service, database: Database
) -> None:
    message = await tenant.send(await tenant.contact())
    first, second = (
        [{"id": f"{part}{number}", "type": "opened", "messageId": message["id"]} for number in range(250)]
        for part in "ab"
    )
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE message_details RENAME TO elsewhere"))
    with capture_logs() as logs:
        assert (await service.report(*first)).json()["stored"] == 250
    assert "events.not_applied" in {entry["event"] for entry in logs}
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO message_details"))
    assert (await service.report(*second)).json()["stored"] == 250
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "OPENED"
    await Tracker(database).pull()
    assert (await tenant.get("/events?matched=true"))["pagination"]["total"] == 500


async def test_a_hooks_address_may_carry_parameters_and_its_key_any_character(tenant: Tenant) -> None:
    hook = await tenant.post("/hooks", {"provider": "generic"})
    path = httpx.URL(hook["url"]).path
    assert (await tenant.root.post(f"{path}?from=provider", content=b"{}")).status_code == 401
    unknown = [
        await tenant.root.post(f"/hooks/{each}", content=b"{}") for each in ("generic/x", "generic/%00", "%00/x")
    ]
    assert {answer.status_code for answer in unknown} == {404}
    assert len({answer.content for answer in unknown}) == 1


async def test_a_bad_secret_is_not_repeated(tenant: Tenant) -> None:
    contact = await tenant.contact()
    canary = "whsec_canary"
    for method, path, body in (
        ("POST", "/hooks", {"provider": "generic", "signingKey": canary}),
        ("POST", "/hooks", {"provider": "generic", "basicAuth": canary}),
        ("POST", "/contacts", {"webhookSecret": canary}),
        ("PATCH", f"/contacts/{contact}", {"webhookSecret": canary + "é"}),
        ("PATCH", f"/contacts/{contact}", {"webhookSecret": [canary]}),
    ):
        answer = await tenant.call(method, path, json=body)
        assert answer.status_code == 400, (path, body)
        assert "canary" not in answer.text
