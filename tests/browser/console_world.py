"""A workspace in which there is one of everything that the console shows, and more of some."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import update

from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.store.status_events import endpoint_key
from models.tables import attempts, failing_endpoints, messages, status_events, subscriptions
from models.vocabulary import FailureReason, Outcome, State
from tests.support.api import Tenant

MAIL: Final = """<div style="font-family: sans-serif; color: #234; max-width: 32rem">
<h1 style="color: #b2452b">Welcome, {{firstName}}</h1>
<p>Your account at the shop is ready. This is what you can do now:</p>
<ul><li>Look at your orders</li><li>Keep what you like</li></ul>
<p><a href="https://example.org/start" style="background: #b2452b; color: #fff; padding: .6rem 1rem">Begin</a></p>
<p><small><a href="{{unsubscribeUrl}}">No more of this</a></small></p></div>"""

HOSTILE: Final = "<img src=x onerror=alert(1)>"
_LONG: Final = "Asubjectofonewordthatislongerthananytelephoneiswideandhasnowheretobreakit"
_HAPPENED: Final[list[tuple[str, dict[str, Any]]]] = [
    ("Your order 1017 was shipped", {}),
    ("Welcome aboard", {"state": State.SENDING, "turn": None}),
    ("Did this arrive?", {"state": State.HELD, "turn": None, "sending_at": 1}),
    ("Your invoice for November", {"sent_at": 1}),
    ("Your parcel arrives today", {"sent_at": 1, "delivered_at": 1}),
    ("Spring sale: everything must go", {"opened_at": 1}),
    ("Confirm your address", {"clicked_at": 1}),
    ("News & offers", {"hard_bounced_at": 1}),
    ("Password reset", {"state": State.FAILED, "failure_reason": FailureReason.MAILBOX_FULL}),
    ("Your weekly digest", {"state": State.FAILED, "failure_reason": FailureReason.POLICY}),
    ("A last offer", {"unsubscribed_at": 1}),
    (_LONG, {}),
    (HOSTILE, {}),
]
_FACTS: Final[list[tuple[int, dict[str, Any]]]] = [
    (1, {}),
    (1, {"state": State.HELD, "turn": None, "sending_at": 1}),
    (2, {"sent_at": 1}),
    (3, {"sent_at": 1, "delivered_at": 1}),
    (1, {"sent_at": 1, "delivered_at": 1, "machine_opened_at": 1}),
    (3, {"opened_at": 1, "machine_opened_at": 1}),
    (2, {"clicked_at": 1}),
    (1, {"clicked_at": 1, "machine_clicked_at": 1}),
    (1, {"sent_at": 1, "hard_bounced_at": 1}),
    (1, {"state": State.FAILED, "failure_reason": FailureReason.MAILBOX_FULL}),
    (1, {"sent_at": 1, "unsubscribed_at": 1}),
]


@dataclass(frozen=True)
class World:
    """The ids of some of what there is, as the API shows them."""

    message: str
    held: str
    failed: str
    sent: str
    campaign: str
    idle_campaign: str
    ended_campaign: str
    template: str
    suppression: str
    released: str
    endpoint: str
    endpoint_paused: str
    endpoint_off: str
    key: str
    test_key: str
    user: str


async def furnish(tenant: Tenant, database: Database) -> World:
    """Make it."""
    idle, ended, campaign = await _campaigns(tenant, database)
    happened = await _messages(tenant, database)
    suppression, released = await _suppressions(tenant)
    endpoint, endpoint_paused, endpoint_off = await _endpoints(tenant, database)
    key = (await tenant.post("/keys", {"name": "Shop", "scopes": ["messages:write", "contacts"]}))["id"]
    gone = (await tenant.post("/keys", {"name": "The former shop", "scopes": ["messages:write"]}))["id"]
    await tenant.call("DELETE", f"/keys/{gone}")
    email = f"kim.{tenant.workspace[-8:]}@example.org"
    return World(
        message=happened["Password reset"],
        held=happened["Did this arrive?"],
        failed=happened["Your weekly digest"],
        sent=happened["Your invoice for November"],
        campaign=campaign,
        idle_campaign=idle,
        ended_campaign=ended,
        template=await _templates(tenant),
        suppression=suppression,
        released=released,
        endpoint=endpoint,
        endpoint_paused=endpoint_paused,
        endpoint_off=endpoint_off,
        key=key,
        test_key=await _sandbox(tenant),
        user=(await tenant.post("/users", {"email": email, "password": "three quiet otters waltz"}))["id"],
    )


async def _messages(tenant: Tenant, database: Database) -> dict[str, str]:
    """Messages of every status, of one of them a history; the ids by their subjects."""
    lee = await tenant.contact(firstName="Ann", lastName="Lee", email="ann.lee@example.org")
    happened = await _sent(tenant, [{"contactId": lee, "subject": subject} for subject, _ in _HAPPENED])
    for message, (_, values) in zip(happened, _HAPPENED, strict=True):
        await _set(database, message, values)
    made = dict(zip((subject for subject, _ in _HAPPENED), happened, strict=True))
    await _attempted(database, made["Password reset"])
    return made


async def _sent(tenant: Tenant, given: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of new mails."""
    common = {"channel": "EMAIL", "body": "Good morning"}
    answers = (await tenant.post("/messages/batch", [common | each for each in given], 200))["data"]
    return [each["message"]["id"] for each in answers]


async def _attempted(database: Database, message: str) -> None:
    """Two tries of a message that was given up."""
    tries = [
        (Outcome.TRANSIENT, "452", "4.2.2 Mailbox full, try again later"),
        (Outcome.PERMANENT, "552", "5.2.2 Full"),
    ]
    own = ids.parse(Kind.MESSAGE, message)
    async with database.write() as connection:
        for token, (outcome, code, detail) in enumerate(tries):
            at = {"started_at": now_ms(), "ended_at": now_ms()}
            said = {"outcome": outcome.value, "code": code, "detail": detail}
            await connection.execute(attempts.insert().values(message_id=own, token=token, run=1, **at, **said))
        await connection.execute(update(messages).where(messages.c.id == own).values(ended_at=now_ms()))


async def _sandbox(tenant: Tenant) -> str:
    """Messages that were sent with a test key; the key's id."""
    made = await tenant.post("/keys", {"name": "Continuous integration", "test": True})
    tester = Tenant(str(tenant.root.base_url), tenant.workspace, made["token"])
    try:
        contact = await tester.contact(email="bounced@sandbox.invalid", firstName="Bo")
        for subject in ("Does it come back?", "And this one?"):
            await tester.send(contact, subject=subject)
    finally:
        await tester.root.aclose()
    return str(made["id"])


async def _campaigns(tenant: Tenant, database: Database) -> tuple[str, str, str]:
    """A paused one without messages, one that was cancelled, and one with many messages."""
    names = ("A campaign with a long name that goes on and on and says nothing", "Newsletter 17", "Spring sale")
    made = [str((await tenant.post("/campaigns", {"name": name}))["id"]) for name in names]
    await tenant.post(f"/campaigns/{made[0]}/pause", None, 200)
    await tenant.post(f"/campaigns/{made[1]}/cancel", None, 200)
    contact = await tenant.contact(firstName="Ann", lastName="Day", email="ann.day@example.org")
    facts = [facts for number, facts in _FACTS for _ in range(number)]
    given = {"contactId": contact, "campaignId": made[2], "subject": "Spring sale: a third off"}
    for message, values in zip(await _sent(tenant, [given] * len(facts)), facts, strict=True):
        await _set(database, message, values)
    return made[0], made[1], made[2]


async def _set(database: Database, message: str, values: dict[str, Any]) -> None:
    """Write what became of a message. Times are now; it ended, unless its state says otherwise."""
    if not values:
        return
    at = {name: now_ms() if name.endswith("_at") else value for name, value in values.items()}
    ended = {"turn": None, "sending_at": now_ms(), "ended_at": now_ms()}
    if values.get("state", State.DONE) not in (State.DONE, State.FAILED):
        ended = {}
    own = messages.c.id == ids.parse(Kind.MESSAGE, message)
    async with database.write() as connection:
        await connection.execute(update(messages).where(own).values({"state": State.DONE} | ended | at))


async def _templates(tenant: Tenant) -> str:
    telegram = {"*": {"body": "Welcome, {{firstName}}"}, "de": {"body": "Willkommen, {{firstName}}"}}
    given = {"name": "Welcome", "subject": "Welcome, {{firstName}}", "body": MAIL, "parts": {"TELEGRAM": telegram}}
    made = (await tenant.post("/templates", given))["id"]
    changed = await tenant.call("PATCH", f"/templates/{made}", json={"subject": "Good to see you, {{firstName}}"})
    assert changed.status_code == 200
    await tenant.post("/templates", {"name": "Password reset", "subject": "Your link", "body": "Here: {{link}}"})
    return str(made)


async def _suppressions(tenant: Tenant) -> tuple[str, str]:
    """One to look at, and one to be released."""
    given: list[dict[str, str]] = [
        {"channel": "EMAIL", "address": "ben@example.org", "reason": "bounced"},
        {"channel": "WEBHOOK", "address": "https://hooks.example.net/orders", "reason": "endpoint_failing"},
        {"channel": "EMAIL", "address": "cay@example.org", "topic": "offers", "reason": "unsubscribed"},
        {"channel": "EMAIL", "address": "dee@example.org", "reason": "complained", "note": "wrote to us, 3 May"},
    ]
    made = [(await tenant.post("/suppressions", each))["id"] for each in given]
    return str(made[-1]), str(made[0])


async def _endpoints(tenant: Tenant, database: Database) -> tuple[str, str, str]:
    """One that fails, one that is paused, and one that was switched off."""
    urls = ("https://events.example.org/wireroom", "https://crm.example.net/in", "https://old.example.net/in")
    made = [(await tenant.post("/subscriptions", {"url": url}))["id"] for url in urls]
    contact = await tenant.contact()
    for _ in range(3):
        sent = (await tenant.send(contact))["id"]
        await _set(database, sent, {"sent_at": 1})
    own, workspace = ids.parse(Kind.SUBSCRIPTION, made[0]), ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert own is not None
    assert workspace is not None
    await _told(database, own, endpoint_key(workspace, own, urls[0]))
    await tenant.call("PATCH", f"/subscriptions/{made[1]}", json={"paused": True})
    off = {"disabled_at": now_ms(), "disabled_reason": "endpoint_gone"}
    async with database.write() as connection:
        gone = subscriptions.c.id == ids.parse(Kind.SUBSCRIPTION, made[2])
        await connection.execute(update(subscriptions).where(gone).values(**off))
    return str(made[0]), str(made[1]), str(made[2])


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
