"""A workspace in which every text that the console shows is hostile, written past all that would refuse it."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Table, insert, update

from models import ids
from models.ids import Kind
from models.session import Database
from models.store import pauses
from models.tables import (
    api_keys,
    attempts,
    audit_entries,
    campaigns,
    channel_pauses,
    contacts,
    events,
    memberships,
    message_details,
    messages,
    senders,
    status_events,
    subscriptions,
    suppressions,
    template_versions,
    templates,
    users,
    workspaces,
)
from models.vocabulary import Channel, EventType, State
from tests.browser.visits import Visit

IN_ONE: Final = 12
"""So many texts are bodies of one mail that is shown in a frame."""


async def fill(visit: Visit, strings: Sequence[str]) -> dict[str, str]:
    """Write it; the paths of the pages of one thing, by their names."""
    own = ids.parse(Kind.WORKSPACE, visit.tenant.workspace)
    assert own is not None
    every = "\n".join(strings)
    database = visit.database
    message = await _messages(visit, strings, every)
    campaign = await _insert(
        database, campaigns, [_named(own, text) | {"state": "paused"} for text in (every, *strings)]
    )
    key = {"hint": '"><b>', "scopes": []}
    keys = await _insert(
        database,
        api_keys,
        [_named(own, text) | key | {"digest": _digest(text, 32)} for text in (every, *strings)],
    )
    template = await _templates(database, own, strings, every)
    suppression = await _insert(database, suppressions, [_suppressed(own, text) for text in (every, *strings)])
    user = await _insert(
        database, users, [{"email": text, "password_hash": "x"} for text in (f"{own}{every}", *_apart(own, strings))]
    )
    async with database.write() as connection:
        joined = [{"user_id": each, "workspace_id": own, "role": "member"} for each in user]
        await connection.execute(insert(memberships), joined)
        await connection.execute(update(workspaces).where(workspaces.c.id == own).values(name=f"{own}{every}"))
    endpoint = await _endpoint(database, own, strings, every, message)
    async with database.write() as connection:
        told = [_audited(own, text) for text in (every, *strings)]
        await connection.execute(insert(audit_entries), told)
    return {
        "message": f"/messages/{ids.show(Kind.MESSAGE, message)}",
        "command": f"/messages/{ids.show(Kind.MESSAGE, message)}/cancel",
        "campaign": f"/campaigns/{ids.show(Kind.CAMPAIGN, campaign[0])}",
        "pause": f"/campaigns/{ids.show(Kind.CAMPAIGN, campaign[0])}/cancel",
        "key": f"/keys/{ids.show(Kind.KEY, keys[0])}",
        "revoke": f"/keys/{ids.show(Kind.KEY, keys[0])}/revoke",
        "template": f"/templates/{ids.show(Kind.TEMPLATE, template)}",
        "text": f"/templates/{ids.show(Kind.TEMPLATE, template)}?channel=TELEGRAM",
        "suppression": f"/suppressions/{ids.show(Kind.SUPPRESSION, suppression[0])}",
        "user": f"/users/{ids.show(Kind.USER, user[0])}",
        "remove": f"/users/{ids.show(Kind.USER, user[0])}/remove",
        "endpoint": f"/endpoints/{ids.show(Kind.SUBSCRIPTION, endpoint)}",
    }


async def framed(visit: Visit, strings: Sequence[str]) -> list[str]:
    """Mails whose bodies are these, several in each; the paths of their pages."""
    own = ids.parse(Kind.WORKSPACE, visit.tenant.workspace)
    assert own is not None
    bodies = ["<p>".join(["<h1>", *strings[start : start + IN_ONE]]) for start in range(0, len(strings), IN_ONE)]
    made = []
    for body in bodies:
        (one,) = await _insert(visit.database, templates, [_named(own, "mail") | {"current_version": 1}])
        await _insert(visit.database, template_versions, [_version(one, {"*": _part(body, "html", "A mail")})])
        made.append(f"/templates/{ids.show(Kind.TEMPLATE, one)}")
    return made


async def _insert(database: Database, table: Table, rows: Sequence[dict[str, Any]]) -> list[UUID]:
    """Insert rows; their new ids."""
    made = [{"id": ids.new_id(), "created_at": 1_700_000_000_000, **row} for row in rows]
    async with database.write() as connection:
        await connection.execute(insert(table), made)
    return [row["id"] for row in made]


def _named(own: UUID, text: str) -> dict[str, Any]:
    return {"workspace_id": own, "name": text}


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(ids.new_id().bytes + text.encode(), digest_size=size).digest()


def _apart(own: UUID, strings: Sequence[str]) -> list[str]:
    return [f"{text}@{number}.{own}" for number, text in enumerate(strings)]


def _suppressed(own: UUID, text: str) -> dict[str, Any]:
    return {
        "workspace_id": own,
        "channel": Channel.EMAIL.value,
        "address_digest": _digest(text, 16),
        "kind": "opt_out",
        "topic": text,
        "address": f"{text}@{text}",
        "reason": text,
        "note": text,
    }


def _audited(own: UUID, text: str) -> dict[str, Any]:
    done = {"workspace_id": own, "actor_kind": "nobody", "action": "key.create", "ending": "done"}
    return done | {"id": ids.new_id(), "at": 1, "request_id": text[:64], "details": {text: text}}


def _part(text: str, form: str, subject: str | None = None) -> dict[str, Any]:
    return {"*": {"subject": subject or text, "body": text, "format": form}}


def _version(template: UUID, parts: dict[str, Any]) -> dict[str, Any]:
    return {"template_id": template, "version": 1, "parts": parts}


async def _templates(database: Database, own: UUID, strings: Sequence[str], every: str) -> UUID:
    made = await _insert(
        database, templates, [_named(own, text) | {"current_version": 1} for text in (every, *strings)]
    )
    plain = " ".join(text for text in strings if "{" not in text and text.isprintable())[:900]
    parts = {"*": _part(plain, "text"), "TELEGRAM": _part(plain, "html"), plain: {plain: _part(plain, "html")["*"]}}
    await _insert(database, template_versions, [_version(each, parts) for each in made])
    return made[0]


async def _messages(visit: Visit, strings: Sequence[str], every: str) -> UUID:
    """One message for each text, and behind them one with all that is known of its way, whose id it is."""
    many, one = await visit.tenant.contact(), await visit.tenant.contact()
    body = [
        {"contactId": one if number == len(strings) else many, "channel": "EMAIL", "subject": "x", "body": "x"}
        for number in range(len(strings) + 1)
    ]
    sent = (await visit.tenant.post("/messages/batch", body, 200))["data"]
    made = [ids.parse(Kind.MESSAGE, each["message"]["id"]) for each in sent]
    whole = made[-1]
    assert whole is not None
    async with visit.database.write() as connection:
        for message, text in zip(made, (*strings, every), strict=True):
            said = {"subject": text, "topic": text, "metadata": {text: text}}
            of_it = message_details.c.message_id == message
            await connection.execute(update(message_details).where(of_it).values(**said))
        for contact, text in ((many, strings[-1]), (one, every)):
            called = dict.fromkeys(("first_name", "last_name", "external_id", "email"), text)
            own = contacts.c.id == ids.parse(Kind.CONTACT, contact)
            await connection.execute(update(contacts).where(own).values(**called))
        held = {"state": State.HELD, "turn": None}
        await connection.execute(update(messages).where(messages.c.id == made[0]).values(**held))
        await connection.execute(insert(attempts), [_attempt(whole, *each) for each in enumerate(strings)])
        await pauses.rest(connection, Channel.TELEGRAM, 600_000, every)
    await _events(visit, whole, strings)
    return whole


def _attempt(message: UUID, number: int, text: str) -> dict[str, Any]:
    at = {"started_at": number, "ended_at": number + 1}
    return {
        "message_id": message,
        "token": number,
        "run": 1,
        "outcome": "transient",
        "code": text,
        "detail": text,
        **at,
    }


async def _events(visit: Visit, message: UUID, strings: Sequence[str]) -> None:
    own = ids.parse(Kind.WORKSPACE, visit.tenant.workspace)
    common = {"workspace_id": own, "source_id": own, "message_id": message, "run": 1, "raw": b"", "machine": False}
    rows = [
        common
        | {"id": ids.new_id(), "dedupe_key": _digest(text, 32), "provider": text[:32], "provider_event": text}
        | {"type": EventType.IGNORED.value, "reason": text, "at": number, "received_at": number, "applied_at": number}
        for number, text in enumerate(strings)
    ]
    async with visit.database.write() as connection:
        await connection.execute(insert(events), rows)


async def _endpoint(database: Database, own: UUID, strings: Sequence[str], every: str, message: UUID) -> UUID:
    off = {"disabled_at": 1, "disabled_reason": strings[0][:32]}
    common = {"workspace_id": own, "events": ["message.sent"], "secret": b"x", "paused": False}
    urls = [every, *(f"https://{text}.example/{text}" for text in strings[:15])]
    made = await _insert(database, subscriptions, [{**common, **off, "url": url} for url in urls])
    kept = [{"startedAt": 1, "endedAt": 2, "outcome": "transient", "code": None, "detail": None}]
    told = [
        {"workspace_id": own, "subscription_id": made[0], "message_id": ids.new_id(), "type": "message.sent", "at": 1}
        | {"created_at": 1, "due_at": 1, "attempts": [kept[0] | {"code": text, "detail": text}]}
        for text in strings
    ]
    async with database.write() as connection:
        await connection.execute(insert(status_events), told)
        resting = {"resting_until": 4_000_000_000_000, "last_error": every, "credentials": b"x", "hint": {}}
        order = {"position": 0, "weight": 1, "updated_at": 1, "channel": "EMAIL"}
        sender = {"id": ids.new_id(), "created_at": 1, **_named(own, every), **order, **resting}
        await connection.execute(insert(senders), [sender])
    return made[0]


async def cool(database: Database) -> None:
    """End the rest of the channel, which all workspaces share."""
    async with database.write() as connection:
        await connection.execute(channel_pauses.delete())
