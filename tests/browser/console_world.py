"""A workspace in which there is one of everything that the console shows, and more of some."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import update

from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.store.status_events import endpoint_key
from models.tables import failing_endpoints, messages, status_events
from models.vocabulary import FailureReason, State
from tests.support.api import Tenant

MAIL: Final = """<div style="font-family: sans-serif; color: #234; max-width: 32rem">
<h1 style="color: #b2452b">Welcome, {{firstName}}</h1>
<p>Your account at the shop is ready. This is what you can do now:</p>
<ul><li>Look at your orders</li><li>Keep what you like</li></ul>
<p><a href="https://example.org/start" style="background: #b2452b; color: #fff; padding: .6rem 1rem">Begin</a></p>
<p><small><a href="{{unsubscribeUrl}}">No more of this</a></small></p></div>"""

_FACTS: Final[list[tuple[int, dict[str, Any]]]] = [
    (2, {}),
    (1, {"state": State.HELD, "turn": None, "sending_at": 1}),
    (3, {"sent_at": 1}),
    (6, {"sent_at": 1, "delivered_at": 1}),
    (3, {"sent_at": 1, "delivered_at": 1, "machine_opened_at": 1}),
    (5, {"opened_at": 1, "machine_opened_at": 1}),
    (3, {"clicked_at": 1}),
    (1, {"clicked_at": 1, "machine_clicked_at": 1}),
    (2, {"sent_at": 1, "hard_bounced_at": 1}),
    (1, {"state": State.FAILED, "failure_reason": FailureReason.MAILBOX_FULL}),
    (1, {"sent_at": 1, "unsubscribed_at": 1}),
]


async def furnish(tenant: Tenant, database: Database) -> dict[str, str]:
    """Make it; the paths of the pages by their names."""
    campaign = await _campaigns(tenant, database)
    template = await _templates(tenant)
    suppression = await _suppressions(tenant)
    endpoint = await _endpoints(tenant, database)
    key = (await tenant.post("/keys", {"name": "Shop", "scopes": ["messages:write", "contacts"]}))["id"]
    gone = (await tenant.post("/keys", {"name": "The former shop", "scopes": ["messages:write"]}))["id"]
    await tenant.call("DELETE", f"/keys/{gone}")
    email = f"kim.{tenant.workspace[-8:]}@example.org"
    user = (await tenant.post("/users", {"email": email, "password": "three quiet otters waltz"}))["id"]
    return {
        "campaigns": "/campaigns",
        "campaign": f"/campaigns/{campaign}",
        "campaign-question": f"/campaigns/{campaign}/cancel",
        "templates": "/templates",
        "template": f"/templates/{template}",
        "template-text": f"/templates/{template}?channel=TELEGRAM&version=1",
        "suppressions": "/suppressions",
        "suppressions-filtered": "/suppressions?channel=PUSH",
        "suppression": f"/suppressions/{suppression}",
        "suppression-form": "/suppressions/add",
        "endpoints": "/endpoints",
        "endpoint": f"/endpoints/{endpoint}",
        "keys": "/keys",
        "key": f"/keys/{key}",
        "key-form": "/keys/add",
        "users": "/users",
        "user": f"/users/{user}",
        "user-form": "/users/add",
    }


async def _campaigns(tenant: Tenant, database: Database) -> str:
    names = ("Spring sale", "A campaign with a long name that goes on and on and says nothing", "Newsletter 17")
    made = [(await tenant.post("/campaigns", {"name": name}))["id"] for name in names]
    await tenant.post(f"/campaigns/{made[1]}/pause", None, 200)
    await tenant.post(f"/campaigns/{made[2]}/cancel", None, 200)
    contact = await tenant.contact(firstName="Ann", lastName="Lee")
    for number, facts in _FACTS:
        for _ in range(number):
            sent = await tenant.send(contact, campaignId=made[0], subject="Spring sale: a third off")
            ended = {"state": State.DONE, "turn": None, "ended_at": now_ms()} if facts else {}
            at = {name: now_ms() if name.endswith("_at") else value for name, value in facts.items()}
            await _set(database, sent["id"], ended | at)
    return str(made[0])


async def _set(database: Database, message: str, values: dict[str, Any]) -> None:
    if values:
        own = messages.c.id == ids.parse(Kind.MESSAGE, message)
        async with database.write() as connection:
            await connection.execute(update(messages).where(own).values(**values))


async def _templates(tenant: Tenant) -> str:
    telegram = {"*": {"body": "Welcome, {{firstName}}"}, "de": {"body": "Willkommen, {{firstName}}"}}
    given = {"name": "Welcome", "subject": "Welcome, {{firstName}}", "body": MAIL, "parts": {"TELEGRAM": telegram}}
    made = (await tenant.post("/templates", given))["id"]
    changed = await tenant.call("PATCH", f"/templates/{made}", json={"subject": "Good to see you, {{firstName}}"})
    assert changed.status_code == 200
    await tenant.post("/templates", {"name": "Password reset", "subject": "Your link", "body": "Here: {{link}}"})
    return str(made)


async def _suppressions(tenant: Tenant) -> str:
    given: list[dict[str, str]] = [
        {"channel": "EMAIL", "address": "ben@example.org", "reason": "bounced"},
        {"channel": "WEBHOOK", "address": "https://hooks.example.net/orders", "reason": "endpoint_failing"},
        {"channel": "EMAIL", "address": "cay@example.org", "topic": "offers", "reason": "unsubscribed"},
        {"channel": "EMAIL", "address": "dee@example.org", "reason": "complained", "note": "wrote to us, 3 May"},
    ]
    made = [(await tenant.post("/suppressions", each))["id"] for each in given]
    return str(made[-1])


async def _endpoints(tenant: Tenant, database: Database) -> str:
    urls = ("https://events.example.org/wireroom", "https://crm.example.net/in")
    made = [(await tenant.post("/subscriptions", {"url": url}))["id"] for url in urls]
    contact = await tenant.contact()
    for _ in range(3):
        sent = (await tenant.send(contact))["id"]
        await _set(database, sent, {"state": State.DONE, "sent_at": now_ms(), "turn": None, "ended_at": now_ms()})
    own, workspace = ids.parse(Kind.SUBSCRIPTION, made[0]), ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert own is not None
    assert workspace is not None
    await _told(database, own, endpoint_key(workspace, own, urls[0]))
    await tenant.call("PATCH", f"/subscriptions/{made[1]}", json={"paused": True})
    return str(made[0])


async def _told(database: Database, subscription: UUID, key: tuple[UUID, bytes]) -> None:
    """One was told of it, one was not, and one still waits."""
    at = {"startedAt": 1_700_000_000_000, "endedAt": 1_700_000_000_200}
    failed = {**at, "outcome": "transient", "code": "503", "detail": "Service Unavailable: come back later"}
    taken = {**at, "outcome": "accepted", "code": "200"}
    became: list[dict[str, Any]] = [
        {"state": "delivered", "ended_at": now_ms(), "attempts": [taken]},
        {"state": "failed", "ended_at": now_ms(), "attempts": [failed] * 10},
        {"attempts": [failed]},
    ]
    async with database.write() as connection:
        told = status_events.c.subscription_id == subscription
        newest = [row.id for row in await connection.execute(status_events.select().where(told))][-3:]
        for row, values in zip(newest, became, strict=True):
            await connection.execute(update(status_events).where(status_events.c.id == row).values(**values))
        counted = {"first_failed_at": 1_700_000_000_000, "last_failed_at": 1_700_000_900_000, "failures": 11}
        await connection.execute(
            failing_endpoints.insert().values(workspace_id=key[0], address_digest=key[1], **counted)
        )
