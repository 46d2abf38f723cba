"""One trace for each message, as a collector of OpenTelemetry gets it: from the request to the last report."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from standardwebhooks import Webhook

from tests.support import collector, http_sink
from tests.support.api import Api, Tenant, serving
from tests.support.api_process import api_process
from tests.support.collector import Span
from tests.support.dispatching import dispatching
from tests.support.house import House
from tests.support.http_sink import HttpSink
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, PARENT = CALLER.split("-")[1:3]
POST = "POST /api/workspaces/{workspaceId}/messages"
OURS = ("create", "claim", "send", "record")
SENT = {"wireroom.outcome": "accepted", "wireroom.attempt": 1, "server.address": "127.0.0.1"}


@pytest.fixture
async def collecting() -> AsyncIterator[HttpSink]:
    """A collector."""
    async with http_sink.running() as sink:
        yield sink


async def report(tenant: Tenant, hook: dict[str, Any], *events: dict[str, str]) -> None:
    """Report by a hook as a provider does."""
    body, now = json.dumps({"events": events}), int(time.time())
    signature = Webhook(hook["signingKey"]).sign("d1", datetime.fromtimestamp(now, UTC), body)
    headers = {"webhook-id": "d1", "webhook-timestamp": str(now), "webhook-signature": signature}
    answer = await tenant.root.post(httpx.URL(hook["url"]).path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def sent(tenant: Tenant, message: dict[str, Any]) -> bool:
    return bool((await tenant.get(f"/messages/{message['id']}"))["sentAt"])


def of_message(found: list[Span], message: dict[str, Any]) -> list[Span]:
    """All spans of the trace that tells of a message, of which there is one."""
    traces = {span.trace for span in found if span.attributes.get("messaging.message.id") == message["id"]}
    assert len(traces) == 1
    return collector.by_trace(found)[traces.pop()]


def check_whole(found: list[Span], expected: set[str]) -> dict[str, Span]:
    """The spans by name: each once, and each that comes of the message's creation below it."""
    by_name = {span.name: span for span in found}
    assert set(by_name) == expected
    assert len(found) == len(expected)
    (served,) = [span for span in found if span.kind == "SERVER"]
    (created,) = [span for span in found if span.kind == "PRODUCER"]
    assert created.parent == served.id
    assert {span.parent for span in found if span not in (served, created)} == {created.id}
    assert all(span.began <= span.ended for span in found)
    assert not any(span.failed for span in found)
    return by_name


@dataclass(frozen=True)
class Lived:
    """The messages of a house that traces, what its collector got, and what the webhook's request said."""

    mail: dict[str, Any]
    webhook: dict[str, Any]
    spans: list[Span]
    exported: bytes
    traceparent: str


async def live(tenant: Tenant, mail_sink: SmtpSink, web_sink: HttpSink, collecting: HttpSink) -> Lived:
    """A mail, by a request that is traced, and a webhook: each sent and reported on, and the mail unsubscribed from."""
    contact = await tenant.contact(webhookUrl=web_sink.url("/hook"))
    hook = await tenant.post("/hooks", {"provider": "generic"})
    tenant.root.headers["traceparent"] = CALLER
    mail = await tenant.send(contact)
    del tenant.root.headers["traceparent"]
    webhook = await tenant.send(contact, channel="WEBHOOK")
    for message in (mail, webhook):
        await wait_until(partial(sent, tenant, message), timeout=40)
    delivered = {"id": "1", "type": "delivered", "messageId": mail["id"]}
    await report(tenant, hook, delivered, {"id": "2", "type": "opened", "messageId": webhook["id"]})
    link = str(mail_sink.mails[0].parsed()["List-Unsubscribe"]).strip("<>")
    assert (await tenant.root.post(f"/u/{link.rpartition('/u/')[2]}")).status_code == 200

    def told() -> bool:
        names = {span.name for span in collector.spans(collecting)}
        return {"unsubscribed EMAIL", "opened WEBHOOK", "record WEBHOOK"} <= names

    await wait_until(told, timeout=20)
    exported = b"".join(request.body for request in collecting.requests)
    return Lived(mail, webhook, collector.spans(collecting), exported, web_sink.requests[0].headers["traceparent"])


@pytest.fixture
async def lived(
    tmp_path: Path, sqlite_url: str, redis_url: str, mail_sink: SmtpSink, web_sink: HttpSink, collecting: HttpSink
) -> AsyncIterator[Lived]:
    """A house has done its work."""
    traced = collector.settings(collecting)
    house = House(tmp_path, database_url=sqlite_url, redis_url=redis_url, smtp_port=mail_sink.port)
    house.start_worker(**traced)
    house.start_keeper(**traced)
    try:
        async with api_process(tmp_path, sqlite_url, redis_url, **traced) as process:
            api = Api(f"http://127.0.0.1:{process.port}", sqlite_url)
            yield await live(await api.tenant(), mail_sink, web_sink, collecting)
            await api.close()
    finally:
        await asyncio.to_thread(house.close)


async def test_a_message_has_one_trace_from_the_request_to_the_last_report(lived: Lived) -> None:
    assert {span.service for span in lived.spans} == {"wireroom-api", "wireroom-worker"}
    assert len(collector.by_trace(lived.spans)) == 2
    mails = {"delivered EMAIL", "unsubscribed EMAIL", *(f"{each} EMAIL" for each in OURS)}
    by_name = check_whole(of_message(lived.spans, lived.mail), {POST, *mails})
    assert (by_name[POST].trace, by_name[POST].parent) == (TRACE, PARENT)
    assert by_name[POST].attributes["http.response.status_code"] == 200
    attributes = by_name["send EMAIL"].attributes
    assert {name: attributes[name] for name in SENT} == SENT
    assert by_name["send EMAIL"].kind == "CLIENT"
    assert by_name["delivered EMAIL"].attributes["wireroom.provider"] == "generic"
    assert by_name["unsubscribed EMAIL"].service == "wireroom-worker"

    hooks = {"opened WEBHOOK", *(f"{each} WEBHOOK" for each in OURS)}
    by_name = check_whole(of_message(lived.spans, lived.webhook), {POST, *hooks})
    assert by_name[POST].parent == ""
    send = by_name["send WEBHOOK"]
    *stands, flags = lived.traceparent.split("-")
    assert (stands, int(flags, 16) & 1) == (["00", send.trace, send.id], 1)
    assert "server.address" not in send.attributes  # it is the recipient's
    for personal in (b"example.org", b"Ann", b"Good morning", b"Hello", b"/hook", b"wr_live_"):
        assert personal not in lived.exported


async def test_each_message_of_a_batch_has_a_trace_of_its_own(
    tmp_path: Path, sqlite_url: str, redis_url: str, collecting: HttpSink
) -> None:
    async with serving(tmp_path, sqlite_url, redis_url, **collector.settings(collecting)) as api:
        tenant = await api.tenant()
        contact = await tenant.contact()
        item = {"contactId": contact, "channel": "EMAIL", "body": "b"}
        tenant.root.headers["traceparent"] = CALLER
        answer = await tenant.post("/messages/batch", [item, item, item | {"channel": "WEBHOOK"}, {}], 200)
        assert [each["status"] for each in answer["data"]] == [200, 200, 422, 400]
    *created, refused, served = sorted(
        collector.spans(collecting), key=lambda span: (span.kind == "SERVER", span.failed)
    )
    assert (served.kind, served.trace, served.parent) == ("SERVER", TRACE, PARENT)
    assert len({span.trace for span in [*created, refused, served]}) == 4
    for span in [*created, refused]:
        assert (span.kind, span.parent) == ("PRODUCER", "")
        assert [(link.trace, link.span) for link in span.links] == [(TRACE, served.id)]
    ids = {each["message"]["id"] for each in answer["data"][:2]}
    assert {span.attributes["messaging.message.id"] for span in created} == ids
    assert refused.attributes["error.type"] == "no_address"


async def test_what_the_caller_does_not_record_is_not_recorded(
    tmp_path: Path, sqlite_url: str, redis_url: str, collecting: HttpSink
) -> None:
    async with serving(tmp_path, sqlite_url, redis_url, **collector.settings(collecting)) as api:
        tenant = await api.tenant()
        tenant.root.headers["traceparent"] = CALLER.removesuffix("1") + "0"
        await tenant.send(await tenant.contact())
    assert collector.spans(collecting) == []


async def test_a_traceparent_that_is_none_begins_a_trace(
    tmp_path: Path, sqlite_url: str, redis_url: str, collecting: HttpSink
) -> None:
    async with serving(tmp_path, sqlite_url, redis_url, **collector.settings(collecting)) as api:
        tenant = await api.tenant()
        tenant.root.headers["traceparent"] = CALLER.replace("b7ad6b7169203331", "0" * 16)
        await tenant.send(await tenant.contact())
    served = next(span for span in collector.spans(collecting) if span.kind == "SERVER")
    assert served.parent == ""
    assert served.trace != TRACE


async def test_what_stands_in_the_place_of_a_workspace_is_not_told(
    tmp_path: Path, sqlite_url: str, redis_url: str, collecting: HttpSink
) -> None:
    async with serving(tmp_path, sqlite_url, redis_url, **collector.settings(collecting)) as api:
        tenant = await api.tenant()
        for strange in (tenant.token, "someone@example.org", "x" * 10_000):
            answer = await tenant.root.post(f"/api/workspaces/{strange}/messages", json={})
            assert answer.status_code == 404
        await tenant.call("POST", "/messages", json={})
    *unknown, known = [span.attributes["url.path"] for span in collector.spans(collecting)]
    assert set(unknown) == {POST.removeprefix("POST ")}
    assert known == f"/api/workspaces/{tenant.workspace}/messages"


async def test_without_a_collector_nothing_is_read_or_written_for_it(scene: Scene) -> None:
    statements: list[str] = []
    engine = scene.database.engine.sync_engine

    def note(*given: Any) -> None:
        statements.append(given[2])

    event.listen(engine, "before_cursor_execute", note)
    async with dispatching(scene) as working:
        await scene.send(await scene.contact())
        await working.dispatcher.pull(*[(await scene.rows())[0].lane])
        await working.dispatcher.drain(10)
    event.remove(engine, "before_cursor_execute", note)
    assert working.drum.sent
    assert any("message_details" in each for each in statements)
    assert not any("traceparent" in each for each in statements)
