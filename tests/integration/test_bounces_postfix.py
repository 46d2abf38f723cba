"""The whole way with Debian's Postfix: it takes a mail, cannot deliver it, and its report comes back by LMTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import postfix
from tests.support.api import Tenant, serving
from tests.support.bounces import DOMAIN
from tests.support.house import House
from tests.support.smtp_sink import Command, SmtpSink
from tests.support.waiting import wait_until
from wireroom.ports import free_port

pytestmark = pytest.mark.timeout(180)

ANSWERS: Final[Mapping[str, tuple[Command, str]]] = {
    "nobody": ("RCPT", "550 5.1.1 User unknown"),
    "zoé": ("RCPT", "550 5.1.1 User unknown"),
    "closed": ("RCPT", "550 5.2.1 The mailbox is disabled"),
    "full": ("DOT", "552 5.2.2 Mailbox full"),
    "full-now": ("RCPT", "452 4.2.2 Mailbox full"),
    "large": ("DOT", "552 5.3.4 Message too large"),
    "blocked": ("DOT", "554 5.7.1 Rejected by policy"),
}
DEAD: Final = {"nobody", "zoé", "closed"}


@pytest.fixture
async def tenant(tmp_path: Path, database_url: str, redis_url: str, mail_sink: SmtpSink) -> AsyncIterator[Tenant]:
    """A workspace of a house whose mails go out by Postfix, and whose bounces come back from there."""
    if (reason := postfix.why_not()) is not None:
        pytest.skip(reason)
    for name, (command, reply) in ANSWERS.items():
        mail_sink.script(command, reply, recipient=f"{name}@example.com")
    lmtp = free_port()
    routes = {"example.com": f"smtp:[127.0.0.1]:{mail_sink.port}", DOMAIN: f"lmtp:inet:127.0.0.1:{lmtp}"}
    with postfix.running(routes) as server:
        house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=server.port)
        try:
            async with serving(tmp_path, database_url, redis_url, WIREROOM_LMTP_BIND=f"127.0.0.1:{lmtp}") as api:
                await asyncio.to_thread(house.start_worker, WIREROOM_BOUNCE_DOMAIN=DOMAIN)
                await asyncio.to_thread(house.start_keeper)
                yield await api.tenant()
        finally:
            house.close()


async def test_what_cannot_be_delivered_comes_back(tenant: Tenant, mail_sink: SmtpSink) -> None:
    contact = await tenant.contact()
    sent = {name: (await tenant.send(contact, to=f"{name}@example.com"))["id"] for name in [*ANSWERS, "ann", "zoë"]}

    async def reports() -> dict[str, Any] | None:
        found = (await tenant.get("/events", provider="bounce-mail"))["data"]
        messages = {name: await tenant.get(f"/messages/{sent[name]}") for name in ANSWERS}
        all_back = all(each["status"] == "BOUNCED" for each in messages.values())
        return messages if len(found) == len(ANSWERS) and all_back else None

    messages = await wait_until(reports, timeout=90, interval=0.2)
    assert messages is not None
    assert {name: each["bounceType"] for name, each in messages.items()} == {
        name: "hard" if name in DEAD else "soft" for name in ANSWERS
    }
    suppressed = (await tenant.get("/suppressions"))["data"]
    assert {each["messageId"] for each in suppressed} == {sent[name] for name in DEAD}
    reasons = {
        each["messageId"]: each["reason"] for each in (await tenant.get("/events", provider="bounce-mail"))["data"]
    }
    assert {name: reasons[sent[name]].partition(":")[0] for name in ANSWERS} == {
        "nobody": "address_dead",
        "zoé": "address_dead",
        "closed": "address_dead",
        "full": "mailbox_full",
        "full-now": "mailbox_full",
        "large": "too_large",
        "blocked": "policy",
    }
    (international,) = (await tenant.get("/events", messageId=sent["zoé"], provider="bounce-mail"))["data"]
    assert international["recipient"] == "zoé@example.com"

    async def is_sent(name: str) -> bool:
        return bool((await tenant.get(f"/messages/{sent[name]}"))["status"] == "SENT")

    for name in ("ann", "zoë"):
        await wait_until(partial(is_sent, name), timeout=30)
        arrived = partial(mail_sink.received_by, f"{name}@example.com")
        await wait_until(arrived, timeout=30)  # Postfix has taken it, and delivers when it comes to it
        assert len(arrived()) == 1
    for name in ANSWERS:
        body = {"contactId": contact, "channel": "EMAIL", "subject": "x", "body": "x", "to": f"{name}@example.com"}
        await tenant.post("/messages", body, 422 if name in DEAD else 200)
