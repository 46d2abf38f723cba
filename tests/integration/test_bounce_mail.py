"""Bounce mail over HTTP: what is said of a mail, and what it changes."""

from typing import Any

import httpx
import pytest

from models.session import Database
from tests.support.api import Api, Tenant
from tests.support.bounces import auto_reply, complaint, delivery_report, return_path
from tests.unit.bounces.corpus import cases
from worker.tracker import Tracker


async def parsed(tenant: Tenant, raw: bytes, media: str = "message/rfc822") -> httpx.Response:
    return await tenant.call("POST", "/bounces/parse", content=raw, headers={"Content-Type": media})


class Post:
    """A mail server that hands bounces to a hook."""

    def __init__(self, tenant: Tenant, hook: Any) -> None:
        self._tenant = tenant
        self._path = httpx.URL(hook["url"]).path

    async def bring(self, raw: bytes) -> Any:
        answer = await self._tenant.root.post(self._path, content=raw, headers={"Authorization": ""})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def post(tenant: Tenant) -> Post:
    return Post(tenant, await tenant.post("/hooks", {"provider": "bounce-mail"}))


async def test_what_a_mail_says_is_answered_and_nothing_is_changed(tenant: Tenant) -> None:
    message = await tenant.send(await tenant.contact())
    raw = delivery_report(return_path(message))
    for media in ("message/rfc822", "text/plain", "application/octet-stream"):
        answer = await parsed(tenant, raw, media)
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "kind": "dsn",
                "recipients": [
                    {
                        "address": "ann@example.org",
                        "status": "5.1.1",
                        "replyCode": 550,
                        "reason": "address_dead",
                        "bounceType": "hard",
                    }
                ],
            },
        )
    assert (await tenant.get("/events"))["data"] == []
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "QUEUED"


async def test_every_mail_of_the_corpus_is_answered(tenant: Tenant) -> None:
    for case in cases():
        answer = (await parsed(tenant, case.raw)).json()
        assert (answer["kind"], len(answer["recipients"])) == (case.kind, len(case.recipients))


async def test_what_is_no_mail_or_too_large(tenant: Tenant) -> None:
    for nothing in (b"", b"\0", b"\xff" * 1000, b"{}"):
        assert (await parsed(tenant, nothing)).json() == {"kind": "other", "recipients": []}
    assert (await parsed(tenant, b"x" * (5 << 20))).status_code == 200
    assert (await parsed(tenant, b"x" * ((5 << 20) + 1))).status_code == 413


async def test_a_dead_address_is_bounced_and_suppressed(tenant: Tenant, post: Post, database: Database) -> None:
    contact = await tenant.contact()
    message = await tenant.send(contact)
    raw = delivery_report(return_path(message))
    assert await post.bring(raw) == {"stored": 1, "repeated": 0, "unreadable": 0}
    assert await post.bring(raw) == {"stored": 0, "repeated": 1, "unreadable": 0}
    await Tracker(database).pull()
    read = await tenant.get(f"/messages/{message['id']}")
    assert (read["status"], read["bounceType"]) == ("BOUNCED", "hard")
    (entry,) = (await tenant.get("/suppressions"))["data"]
    assert (entry["kind"], entry["messageId"]) == ("dead", message["id"])
    (event,) = (await tenant.get("/events", provider="bounce-mail"))["data"]
    assert (event["type"], event["providerEvent"], event["recipient"]) == ("bounced", "dsn failed", "ann@example.org")
    assert event["reason"] == "address_dead: 550 5.1.1 no user"
    assert event["raw"] == raw.decode()


@pytest.mark.parametrize(
    ("report", "status", "bounce_type"),
    [
        ({"status": "5.2.2", "said": "552 5.2.2 mailbox full"}, "BOUNCED", "soft"),
        ({"status": "5.7.1", "said": "554 5.7.1 blocked"}, "BOUNCED", "soft"),
        ({"status": "4.4.1", "said": "timed out"}, "BOUNCED", "soft"),
        ({"action": "delayed", "status": "4.2.2", "said": "452 4.2.2 full"}, "SENT", None),
        ({"action": "delivered", "status": "2.0.0", "said": "250 2.0.0 Ok"}, "DELIVERED", None),
    ],
)
async def test_what_may_pass_suppresses_nobody(
    tenant: Tenant, post: Post, database: Database, report: dict[str, str], status: str, bounce_type: str | None
) -> None:
    contact = await tenant.contact()
    message = await tenant.send(contact)
    await post.bring(delivery_report(return_path(message), **report))
    await Tracker(database).pull()
    read = await tenant.get(f"/messages/{message['id']}")
    assert (read["status"], read.get("bounceType")) == (status, bounce_type)
    assert (await tenant.get("/suppressions"))["data"] == []
    await tenant.send(contact)


@pytest.mark.parametrize(
    ("kind", "status", "suppressed"),
    [("abuse", "UNSUBSCRIBED", ["dead"]), ("opt-out", "UNSUBSCRIBED", ["opt_out"]), ("not-spam", "QUEUED", [])],
)
async def test_complaints(
    tenant: Tenant, post: Post, database: Database, kind: str, status: str, suppressed: list[str]
) -> None:
    message = await tenant.send(await tenant.contact())
    await post.bring(complaint(return_path(message), kind))
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == status
    assert [entry["kind"] for entry in (await tenant.get("/suppressions"))["data"]] == suppressed


async def test_without_a_token_of_this_workspace_nothing_moves(
    api: Api, tenant: Tenant, post: Post, database: Database
) -> None:
    other = await api.tenant()
    message, theirs = await tenant.send(await tenant.contact()), await other.send(await other.contact())
    token = return_path(message)
    wrong = token[:20] + ("a" if token[20] != "a" else "b") + token[21:]
    for to in ("news@example.org", wrong, return_path(theirs), "b-@example.org"):
        for raw in (delivery_report(to), complaint(to)):
            assert await post.bring(raw) == {"stored": 1, "repeated": 0, "unreadable": 1}
    await Tracker(database).pull()
    for owner, each in ((tenant, message), (other, theirs)):
        assert (await owner.get(f"/messages/{each['id']}"))["status"] == "QUEUED"
        assert (await owner.get("/suppressions"))["data"] == []
    assert {event["type"] for event in (await tenant.get("/events"))["data"]} == {"ignored"}
    assert (await other.get("/events"))["data"] == []


async def test_an_automatic_answer_is_kept_with_its_message(tenant: Tenant, post: Post, database: Database) -> None:
    message = await tenant.send(await tenant.contact())
    await post.bring(auto_reply(return_path(message)))
    await Tracker(database).pull()
    (event,) = (await tenant.get("/events", messageId=message["id"]))["data"]
    assert (event["type"], event["providerEvent"]) == ("ignored", "autoreply")
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "QUEUED"


async def test_letter_case_may_be_lost_on_the_way(tenant: Tenant, post: Post, database: Database) -> None:
    message = await tenant.send(await tenant.contact())
    await post.bring(delivery_report(return_path(message).upper()))
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "BOUNCED"
