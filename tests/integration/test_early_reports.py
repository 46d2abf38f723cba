"""Reports that come before we know that the message was sent: a peer posts them, and only then answers the send."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from models.secrets import load_keyring
from models.session import Database
from tests.support.api import Api, Tenant
from tests.support.bounces import delivery_report, return_path
from tests.support.mailing import mailing
from tests.support.readers import settle
from tests.support.scene import storage_settings
from tests.support.smtp_sink import Mail, SmtpSink
from worker.tracker import Tracker

QUEUE_ID = "0000002A"
Send = Callable[[], Awaitable[None]]


@pytest.fixture
async def send(
    tmp_path: Path, api: Api, database: Database, redis_url: str, mail_sink: SmtpSink
) -> AsyncIterator[Send]:
    keyring = await load_keyring(database, storage_settings(tmp_path, str(database.engine.url), redis_url))
    async with mailing(database, keyring, redis_url, mail_sink.port, api.url) as sender:
        yield sender


@pytest.mark.parametrize("by", ["own id", "provider's id", "return path"])
async def test_none_is_lost(tenant: Tenant, database: Database, mail_sink: SmtpSink, send: Send, by: str) -> None:
    message = await tenant.send(await tenant.contact())
    provider = "bounce-mail" if by == "return path" else "postmark"
    hook = httpx.URL((await tenant.post("/hooks", {"provider": provider}))["url"]).path
    told: list[tuple[str, str, bool]] = []

    async def report(_mail: Mail) -> None:
        request: dict[str, Any] = {"json": {"RecordType": "Delivery", "MessageID": QUEUE_ID}}
        if by == "return path":
            request = {"content": delivery_report(return_path(message), action="delivered", status="2.0.0")}
        elif by == "own id":
            request = {"json": {"RecordType": "Delivery", "Metadata": {"wireroom": f"{message['id']}-1"}}}
        answer = await tenant.root.post(hook, headers={"Authorization": ""}, **request)
        await Tracker(database).pull()
        (event,) = (await tenant.get("/events"))["data"]
        status = (await tenant.get(f"/messages/{message['id']}"))["status"]
        told.append((answer.text[:11], status, event["messageId"] == message["id"]))

    mail_sink.script("DOT", f"250 2.0.0 Ok: queued as {QUEUE_ID}")
    mail_sink.before_answer = report
    await send()
    known = by != "provider's id"
    assert told == [('{"stored":1', "DELIVERED" if known else "SENDING", known)]
    await settle(database)
    shown = await tenant.get(f"/messages/{message['id']}")
    assert (shown["status"], [each["outcome"] for each in shown["attempts"]]) == ("DELIVERED", ["accepted"])
    (event,) = (await tenant.get("/events"))["data"]
    assert event["messageId"] == message["id"]
    await send()
    assert len(mail_sink.mails) == 1


async def test_what_cannot_be_applied_is_kept_for_the_tracker(tenant: Tenant, database: Database) -> None:
    message = await tenant.send(await tenant.contact())
    hook = httpx.URL((await tenant.post("/hooks", {"provider": "bounce-mail"}))["url"]).path
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE suppressions RENAME TO elsewhere"))
    raw = delivery_report(return_path(message))
    with capture_logs() as logs:
        answer = await tenant.root.post(hook, content=raw, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["stored"]) == (200, 1)
    assert "events.not_applied" in {entry["event"] for entry in logs}
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "QUEUED"
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO suppressions"))
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "BOUNCED"
    assert len((await tenant.get("/suppressions"))["data"]) == 1
