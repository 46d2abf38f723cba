import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from models import ids, timestamps
from models.ids import Kind
from models.vocabulary import Scope
from tests.support.api import Api, Tenant
from tests.support.waiting import wait_until


async def test_a_message_is_accepted_and_read_back(tenant: Tenant) -> None:
    contact = await tenant.contact()
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    journey = (await tenant.post("/journeys", {"name": "Welcome"}))["id"]
    sent = await tenant.send(
        contact,
        subject="Hello {{firstName}}",
        body="Dear {{nickname}}",
        campaignId=campaign,
        journeyId=journey,
        step=3,
        metadata={"category": "digest"},
        topic="news",
    )
    assert (sent["status"], sent["subject"], sent["lane"], sent["step"]) == ("QUEUED", "Hello Ann", "bulk", 3)
    assert sent["metadata"] == {"category": "digest"}
    assert sent["held"] is False
    (warning,) = sent.pop("warnings")
    assert "nickname" in warning
    assert timestamps.show(timestamps.parse(sent["queuedAt"])) == sent["queuedAt"]

    read = await tenant.get(f"/messages/{sent['id']}")
    assert {name: read[name] for name in sent} == sent
    assert (read["contact"]["id"], read["campaign"]["name"], read["journey"]["name"]) == (contact, "Spring", "Welcome")
    assert read["template"] is None
    assert read["attempts"] == []
    (event,) = read["events"]
    assert (event["type"], event["status"], event["at"]) == ("queued", "QUEUED", sent["queuedAt"])


async def test_a_scheduled_message_shows_its_time(tenant: Tenant) -> None:
    sent = await tenant.send(
        await tenant.contact(), sendAt="2099-01-15T11:00:00+01:00", expiresAt="2099-01-16T00:00:00Z"
    )
    assert (sent["sendAt"], sent["expiresAt"]) == ("2099-01-15T10:00:00.000Z", "2099-01-16T00:00:00.000Z")


async def test_templates_are_pinned_and_overridden(tenant: Tenant) -> None:
    contact = await tenant.contact()
    made = await tenant.post("/templates", {"name": "Welcome", "subject": "One {{firstName}}", "body": "<p>1</p>"})
    template = made["id"]
    assert made["version"] == 1
    first = await tenant.post("/messages", {"contactId": contact, "channel": "EMAIL", "templateId": template}, 200)
    changed = (await tenant.call("PATCH", f"/templates/{template}", json={"subject": "Two"})).json()
    assert (changed["version"], changed["body"]) == (2, "<p>1</p>")
    unchanged = (await tenant.call("PATCH", f"/templates/{template}", json={"name": "Hello"})).json()
    assert (unchanged["version"], unchanged["name"]) == (2, "Hello")
    second = await tenant.send(contact, templateId=template, subject="Three", body="own")
    assert (first["subject"], second["subject"]) == ("One Ann", "Three")
    assert (await tenant.get(f"/messages/{first['id']}"))["template"]["id"] == template
    assert (await tenant.get(f"/templates/{template}"))["subject"] == "Two"
    assert [each["id"] for each in (await tenant.get("/templates"))["data"]] == [template]


@pytest.mark.parametrize(
    ("fields", "status", "kind", "reason"),
    [
        ({"channel": "WEBHOOK"}, 422, "no-address", "no_address"),
        ({"channel": "TELEGRAM"}, 422, "channel-not-configured", "channel_not_configured"),
        ({"to": "nobody"}, 422, "invalid-address", "invalid_address"),
        ({"templateId": "tpl_00000000000000000000000000"}, 422, "unknown-template", "unknown_template"),
        ({"campaignId": "cmp_00000000000000000000000000"}, 422, "unknown-campaign", "unknown_campaign"),
        ({"journeyId": "nothing"}, 422, "unknown-journey", "unknown_journey"),
        ({"body": "Dear {% if"}, 422, "render-error", "render_error"),
        ({"subject": "a\r\nBcc: b"}, 422, "header-injection", "header_injection"),
        ({"headers": {"X-A": "a\nb"}}, 422, "header-injection", "header_injection"),
        ({"channel": "WEBHOOK", "headers": {"X-A": "1", "x-a": "2"}}, 422, "header-injection", "header_injection"),
        ({"contactId": "ct_00000000000000000000000000"}, 404, "not-found", None),
        ({"contactId": "ct_1"}, 404, "not-found", None),
        ({"channel": "FAX"}, 400, "invalid-body", None),
        ({"nobody": 1}, 400, "unknown-field", None),
        ({"body": None}, 400, "missing-field", None),
    ],
    ids=str,
)
async def test_refusals(tenant: Tenant, fields: dict[str, Any], status: int, kind: str, reason: str | None) -> None:
    body = {"contactId": await tenant.contact(), "channel": "EMAIL", "subject": "Hello", "body": "Hi"} | fields
    answer = await tenant.call("POST", "/messages", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"], problem.get("failureReason")) == (f"/problems/{kind}", status, reason)
    assert (await tenant.get("/messages"))["pagination"]["total"] == 0


@pytest.mark.parametrize("channel", ["EMAIL", "WEBHOOK"])
async def test_the_pointer_to_a_header_can_be_followed(tenant: Tenant, channel: str) -> None:
    contact = await tenant.contact(webhookUrl="https://example.org/in")
    body = {"contactId": contact, "channel": channel, "body": "Hi", "headers": {"X~a%41": "a\nb"}}
    problem = await tenant.post("/messages", body, 422)
    assert problem["errors"][0]["pointer"] == "#/headers/X~0a%2541"


async def test_suppressed_and_opted_out(tenant: Tenant) -> None:
    contact = await tenant.contact()
    await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@EXAMPLE.org", "topic": "news"})
    body = {"contactId": contact, "channel": "EMAIL", "body": "Hi", "topic": "news"}
    assert (await tenant.post("/messages", body, 422))["failureReason"] == "opted_out"
    await tenant.post("/messages", body | {"topic": "receipts"}, 200)
    await tenant.post("/messages", body | {"essential": True}, 200)
    dead = await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"})
    assert (await tenant.post("/messages", body | {"essential": True}, 422))["failureReason"] == "suppressed"
    assert (await tenant.call("DELETE", f"/suppressions/{dead['id']}")).status_code == 204
    await tenant.post("/messages", body | {"topic": "receipts"}, 200)


async def test_idempotency(tenant: Tenant) -> None:
    contact = await tenant.contact()
    body = {"contactId": contact, "channel": "EMAIL", "subject": "Hello", "body": "Hi"}

    async def send(key: str, **fields: Any) -> Any:
        return await tenant.call("POST", "/messages", json=body | fields, headers={"Idempotency-Key": key})

    together = await asyncio.gather(*(send('"k1"') for _ in range(10)), send("k1"))
    assert {answer.status_code for answer in together} <= {200, 409}
    answers = [answer for answer in together if answer.status_code == 200] + [await send("k1")]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    other = await send("k1", body="Bye")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-mismatch")
    assert (await send("")).status_code == 400
    assert (await send("k2")).json()["id"] != answers[0].json()["id"]
    refused = await send("k3", channel="WEBHOOK")
    assert refused.status_code == 422
    assert (await send("k3")).status_code == 200  # refusals are not kept


async def test_a_batch_in_both_forms(tenant: Tenant) -> None:
    contact = await tenant.contact()
    good = {"contactId": contact, "channel": "EMAIL", "body": "Hi"}
    items: list[Any] = [good, good | {"channel": "FAX"}, good | {"contactId": "ct_1"}, good | {"subject": "x"}, 5]
    as_array = await tenant.call("POST", "/messages/batch", json=items)
    lines = "\n".join(json.dumps(item) for item in items) + "\n\n"
    as_lines = await tenant.call(
        "POST", "/messages/batch", content=lines + "{nonsense", headers={"content-type": "application/x-ndjson"}
    )
    for answer, statuses in ((as_array, [200, 400, 404, 200, 400]), (as_lines, [200, 400, 404, 200, 400, 400])):
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert [entry["status"] for entry in data] == statuses
        assert data[3]["message"]["subject"] == "x"
        assert data[1]["problem"]["errors"][0]["pointer"] == "#/channel"
    assert (await tenant.get("/messages"))["pagination"]["total"] == 4


async def test_a_batch_repeated_under_its_key_sends_nothing_twice(tenant: Tenant) -> None:
    contact = await tenant.contact()
    items = [{"contactId": contact, "channel": "EMAIL", "body": str(number)} for number in range(300)]
    first, second = [
        await tenant.call("POST", "/messages/batch", json=items, headers={"Idempotency-Key": "b1"}) for _ in range(2)
    ]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    ids_of = [[entry["message"]["id"] for entry in answer.json()["data"]] for answer in (first, second)]
    assert ids_of[0] == ids_of[1]
    assert len(set(ids_of[0])) == 300


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[1,", b"\xff", b"[" * 100_000], ids=lambda body: body[:8])
async def test_what_is_no_batch(tenant: Tenant, body: bytes) -> None:
    answer = await tenant.call("POST", "/messages/batch", content=body)
    assert answer.status_code == 400, answer.text


async def test_an_empty_batch_and_one_that_is_too_long(tenant: Tenant) -> None:
    assert (await tenant.call("POST", "/messages/batch", content=b"[]")).json() == {"data": []}
    too_long = await tenant.call("POST", "/messages/batch", content=b"[" + b",".join([b"1"] * 10_001) + b"]")
    assert too_long.status_code == 413


async def test_pages_and_filters(tenant: Tenant) -> None:
    ann, bob = (
        await tenant.contact(),
        await tenant.contact(email="bob@example.org", webhookUrl="https://example.org/in"),
    )
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    sent = [(await tenant.send(ann))["id"] for _ in range(3)]
    sent += [(await tenant.send(bob, campaignId=campaign))["id"], (await tenant.send(bob, channel="WEBHOOK"))["id"]]

    async def found(**query: Any) -> list[str]:
        page = await tenant.get("/messages", **query)
        assert page["pagination"]["total"] == len(page["data"])
        return [each["id"] for each in page["data"]]

    newest = sent[::-1]
    assert await found() == newest
    assert await found(channel="WEBHOOK") == newest[:1]
    assert await found(contactId=ann) == newest[2:]
    assert await found(contactId=ann.replace("ct_", "cust_")) == newest[2:]
    assert await found(campaignId=campaign) == [sent[3]]
    assert await found(status="QUEUED", channel="EMAIL") == newest[1:]
    assert await found(status="SENT") == await found(held="true") == await found(contactId="x") == []
    assert await found(held="false") == newest

    second = await tenant.get("/messages", page=2, limit=2)
    assert [each["id"] for each in second["data"]] == newest[2:4]
    assert second["pagination"] == {"page": 2, "limit": 2, "total": 5, "totalPages": 3}
    beyond = await tenant.get("/messages", page=1_000_000_000, limit=200)
    assert (beyond["data"], beyond["pagination"]["total"]) == ([], 5)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=1e2", "page=0", "page=x", "channel=FAX", "status=sent", "contactId=%00", "limt=5"],
)
async def test_bad_parameters(tenant: Tenant, query: str) -> None:
    answer = await tenant.call("GET", f"/messages?{query}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-parameter")


async def test_an_unknown_message(tenant: Tenant) -> None:
    answers = [
        await tenant.call("GET", f"/messages/{each}") for each in (ids.show(Kind.MESSAGE, ids.new_id()), "msg_1", "%00")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_bodies_are_limited_while_they_are_read(tenant: Tenant) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 65_536

    announced = await tenant.call("POST", "/messages", content=b" " * (1 << 20) + b"{}")
    assert (announced.status_code, announced.json()["type"]) == (413, "/problems/request-too-large")
    unannounced = await tenant.call("POST", "/messages", content=endless())
    assert unannounced.status_code == 413
    packed = await tenant.call("POST", "/messages", content=b"x", headers={"content-encoding": "gzip"})
    assert packed.status_code == 415


async def test_one_workspace_never_sees_anothers(api: Api, tenant: Tenant) -> None:
    contact = await tenant.contact()
    message = await tenant.send(contact)
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    template = (await tenant.post("/templates", {"name": "T", "body": "x"}))["id"]
    stranger = await api.tenant()
    own = await stranger.contact()
    unknown = await stranger.call("GET", f"/messages/{ids.show(Kind.MESSAGE, ids.new_id())}")
    theirs = await stranger.call("GET", f"/messages/{message['id']}")
    assert (theirs.status_code, theirs.content) == (404, unknown.content)
    assert (await stranger.get("/messages", contactId=contact))["pagination"]["total"] == 0
    send = {"contactId": own, "channel": "EMAIL", "body": "x"}
    assert (await stranger.call("POST", "/messages", json=send | {"contactId": contact})).status_code == 404
    await stranger.post("/messages", send | {"campaignId": campaign}, 422)
    await stranger.post("/messages", send | {"templateId": template}, 422)
    for path in (f"/contacts/{contact}", f"/templates/{template}", f"/campaigns/{campaign}"):
        assert (await stranger.call("GET", path)).status_code == 404


async def test_a_scope_for_each_thing(api: Api, tenant: Tenant) -> None:
    reader = await api.tenant([Scope.MESSAGES_READ], of=tenant)
    body = {"contactId": "ct_1", "channel": "EMAIL", "body": "x"}
    for method, path, status in (
        ("GET", "/messages", 200),
        ("GET", "/events", 200),
        ("POST", "/messages", 403),
        ("GET", "/contacts", 403),
        ("GET", "/hooks", 403),
        ("GET", "/keys", 403),
    ):
        answer = await reader.call(method, path, json=body if method == "POST" else None)
        assert answer.status_code == status, path


async def test_a_short_text_that_asks_for_a_long_value_is_refused(tenant: Tenant) -> None:
    contact = await tenant.contact(attributes={"a": "x" * 30_000, "b": "y" * 998})
    for fields, pointer in (({"body": "{{a}}" * 70}, "#/body"), ({"subject": "{{b}}{{ b }}"}, "#/subject")):
        body = {"contactId": contact, "channel": "EMAIL", "subject": "Hello", "body": "Hi"} | fields
        refused = await tenant.post("/messages", body, 422)
        assert (refused["type"], refused["failureReason"]) == ("/problems/render-error", "render_error")
        assert refused["errors"][0]["pointer"] == pointer
    assert (await tenant.send(contact, subject="{{b}}", body="{{a}}" * 60))["subject"] == "y" * 998


async def test_an_item_of_a_batch_is_as_large_as_a_message(tenant: Tenant) -> None:
    good = {"contactId": await tenant.contact(), "channel": "EMAIL", "body": "Hi"}
    large = good | {"metadata": {"a": "x" * (1 << 20)}}
    lines = "\n".join(json.dumps(item) for item in (good, large, good))
    as_lines = await tenant.call(
        "POST", "/messages/batch", content=lines, headers={"content-type": "application/x-ndjson"}
    )
    as_array = await tenant.call("POST", "/messages/batch", json=[good, large, good])
    for answer in (as_lines, as_array):
        assert [entry["status"] for entry in answer.json()["data"]] == [200, 413, 200]


async def test_a_key_ends_in_the_future(tenant: Tenant) -> None:
    refused = await tenant.post("/keys", {"name": "x", "expiresAt": "2020-01-01T00:00:00Z"}, 400)
    assert refused["errors"] == [{"detail": "lies in the past", "pointer": "#/expiresAt"}]
    assert (await tenant.post("/keys", {"name": "x", "expiresAt": "2100-01-01T00:00:00Z"}))["token"]


async def test_unknown_parameters_are_refused_wherever_a_key_is_asked_for(tenant: Tenant) -> None:
    message = await tenant.send(await tenant.contact())
    for path, parameter, nearest in (
        (f"/messages/{message['id']}?page=1", "page", ""),
        ("/contacts?externalid=1", "externalid", "; did you mean externalId?"),
        ("/messages?limt=5", "limt", "; did you mean limit?"),
    ):
        answer = await tenant.call("GET", path)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-parameter")
        assert answer.json()["errors"] == [{"detail": f"unknown parameter{nearest}", "parameter": parameter}]
    assert (await tenant.root.get("/health/live?x=1")).status_code == 200


async def test_a_client_that_leaves_is_no_error_of_ours(tenant: Tenant) -> None:
    url = tenant.root.base_url
    head = f"POST /api/workspaces/{tenant.workspace}/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    with capture_logs() as logged:
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"{head}Authorization: Bearer {tenant.token}\r\n\r\n".encode() + b"{}")
        await writer.drain()
        writer.close()
        left = await wait_until(lambda: [line for line in logged if "client left" in line["event"]])
    assert [line["log_level"] for line in left] == ["info"]
    assert not [line for line in logged if line["log_level"] in ("warning", "error", "critical")]
