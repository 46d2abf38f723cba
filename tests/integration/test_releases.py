"""Suppressions that are let go: by whom and why is kept, what they had stopped goes out if asked, and once."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models import ids
from models.events import ParsedEvent
from models.ids import Kind
from models.session import Database
from models.store import claims, clock, events, releases, suppressions
from models.store.releases import READER, Lift
from models.store.suppressions import NewSuppression
from models.tables import messages
from models.tables import suppressions as table
from models.vocabulary import Channel, EventType, Lane, Scope, SuppressionKind
from tests.support.api import Api, Tenant
from worker.tracker import Tracker


def workspace_of(tenant: Tenant) -> UUID:
    found = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert found is not None
    return found


async def claim(database: Database) -> int:
    """Let a worker take all that is ready; how many it may send."""
    async with database.write() as connection:
        taken, _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, ids.new_id(), 500)
    return len(taken)


async def suppress(tenant: Tenant, **fields: Any) -> str:
    return str((await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"} | fields))["id"])


async def release(tenant: Tenant, suppression: str, **fields: Any) -> Any:
    return await tenant.post(f"/suppressions/{suppression}/release", fields, 200)


async def send_many(tenant: Tenant, contact: str, number: int, **fields: Any) -> None:
    body = {"contactId": contact, "channel": "EMAIL", "subject": "Hi", "body": "Hi"} | fields
    answer = await tenant.post("/messages/batch", [body] * number, 200)
    assert {item["status"] for item in answer["data"]} == {200}


async def reasons(tenant: Tenant) -> list[str | None]:
    return [each["failureReason"] for each in (await tenant.get("/messages"))["data"]]


async def test_what_a_suppression_stopped_is_counted_and_sent_again_once(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    await send_many(tenant, contact, 3)
    await tenant.send(contact, to="other@example.org")
    suppression = await suppress(tenant)
    assert await claim(database) == 1
    assert sorted(map(str, await reasons(tenant))) == ["None", "suppressed", "suppressed", "suppressed"]

    counted: dict[str, Any] = {"released": None, "matching": 3, "retried": 0, "refused": {}, "next": None}
    assert await release(tenant, suppression, dryRun=True, resend=True) == counted
    assert await reasons(tenant) == [None, "suppressed", "suppressed", "suppressed"]
    assert (await tenant.get(f"/suppressions/{suppression}"))["id"] == suppression

    answers = await asyncio.gather(*(release(tenant, suppression, resend=True, note="back") for _ in range(4)))
    assert sum(answer["retried"] for answer in answers) == 3
    assert {str(answer["released"]) for answer in answers} == {str(answers[0]["released"])}
    assert (await release(tenant, suppression, resend=True))["retried"] == 0
    async with database.read() as connection:
        runs = (await connection.scalars(select(messages.c.run))).all()
    assert sorted(runs) == [1, 2, 2, 2]
    assert await claim(database) == 3
    await tenant.send(contact)

    released = answers[0]["released"]
    assert (released["id"], released["reason"], released["note"]) == (suppression, "manual", "back")
    assert released["releasedBy"] == (await tenant.get("/keys"))["data"][0]["id"]
    assert (await tenant.get("/suppressions/releases"))["data"] == [released]
    assert (await tenant.get("/suppressions/releases", address="bob@example.org"))["data"] == []
    assert (await tenant.get("/suppressions/releases", address="ann@EXAMPLE.org"))["data"] == [released]
    assert (await tenant.call("GET", f"/suppressions/{suppression}")).status_code == 404


async def test_without_being_asked_nothing_is_sent_again(tenant: Tenant, database: Database) -> None:
    await send_many(tenant, await tenant.contact(), 2)
    suppression = await suppress(tenant)
    assert await claim(database) == 0
    assert (await release(tenant, suppression))["retried"] == 0
    assert await reasons(tenant) == ["suppressed"] * 2
    assert (await release(tenant, suppression, resend=True))["retried"] == 2


async def test_more_than_one_request_may_send_is_gone_through(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    await send_many(tenant, contact, 201)
    suppression = await suppress(tenant)
    assert await claim(database) == 0
    first = await release(tenant, suppression, resend=True)
    assert first["retried"] == 200
    second = await release(tenant, suppression, resend=True, after=first["next"])
    assert (second["retried"], second["next"]) == (1, None)


async def test_only_what_it_covered_and_what_nothing_else_stops(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    await tenant.send(contact, topic="news")
    await tenant.send(contact, topic="offers")
    of_news, of_offers = await suppress(tenant, topic="news"), await suppress(tenant, topic="offers")
    assert await claim(database) == 0
    assert await reasons(tenant) == ["opted_out", "opted_out"]
    assert (await release(tenant, of_news, dryRun=True))["matching"] == 1
    dead = await suppress(tenant)
    assert (await release(tenant, of_news, resend=True))["refused"] == {"suppressed": 1}
    assert (await tenant.call("DELETE", f"/suppressions/{dead}")).status_code == 204
    assert (await release(tenant, of_news, resend=True))["retried"] == 1
    assert await reasons(tenant) == ["opted_out", None]
    assert await claim(database) == 1
    assert (await release(tenant, of_offers, resend=True))["retried"] == 1


async def test_who_may_and_whose(api: Api, tenant: Tenant) -> None:
    suppression = await suppress(tenant)
    other = await api.tenant()
    for body in ({}, {"dryRun": True}, {"resend": True}):
        answer = await other.call("POST", f"/suppressions/{suppression}/release", json=body)
        assert answer.status_code == 404
    people = await api.tenant({Scope.CONTACTS}, of=tenant)
    refused = await people.call("POST", f"/suppressions/{suppression}/release", json={"resend": True})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/missing-scope")
    assert (await tenant.call("POST", f"/suppressions/{suppression}/release", json={"after": "x"})).status_code == 400
    assert (await release(people, suppression))["released"]["id"] == suppression
    assert (await other.get("/suppressions/releases"))["data"] == []


@pytest.mark.parametrize(("happened", "stands"), [(-1_000, False), (60_000, True)])
async def test_a_late_report_of_before_does_not_undo_a_release(
    tenant: Tenant, database: Database, happened: int, stands: bool
) -> None:
    message = ids.parse(Kind.MESSAGE, (await tenant.send(await tenant.contact()))["id"])
    await release(tenant, await suppress(tenant))
    async with database.write() as connection:
        at = await clock.read(connection) + happened
        await connection.execute(messages.update().values(queued_at=0))
        reported = ParsedEvent(
            type=EventType.BOUNCED, provider_event="bounce", dedupe=bytes(32), raw=b"", at=at, message_ref=message
        )
        own = workspace_of(tenant)
        await events.insert(connection, workspace_id=own, source_id=own, provider="generic", events_=[reported])
    await Tracker(database).pull()
    assert len((await tenant.get("/suppressions"))["data"]) == stands


async def test_erasing_leaves_no_address_and_no_words(tenant: Tenant) -> None:
    contact = await tenant.contact()
    await release(tenant, await suppress(tenant, note="Ann's first"), note="Ann Roe rang")
    standing = await suppress(tenant, note="Ann again")
    export = (await tenant.call("GET", f"/contacts/{contact}/export")).json()
    assert [each["note"] for each in export["releases"]] == ["Ann Roe rang"]
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    (released,) = (await tenant.get("/suppressions/releases"))["data"]
    assert (released["address"], released["note"]) == (None, None)
    kept = await tenant.get(f"/suppressions/{standing}")
    assert (kept["address"], kept["note"], kept["reason"]) == (None, None, "manual")


async def test_a_reader_who_often_changes_their_mind_fills_no_table(tenant: Tenant, database: Database) -> None:
    own, digest = workspace_of(tenant), bytes(16)
    async with database.write() as connection:
        for number in range(103):
            new = NewSuppression(
                Channel.EMAIL, digest, SuppressionKind.OPT_OUT, f"topic {number}", None, "unsubscribed", None
            )
            await suppressions.create(connection, own, new)
            key = (own, Channel.EMAIL.value, digest, SuppressionKind.OPT_OUT.value, new.topic)
            await releases.stop_and_lift(connection, [], [Lift(key)], by=READER)
        rows, total = await releases.page(connection, own, None, None, limit=200, offset=0)
    assert total == 100
    assert {row.released_by for row in rows} == {READER}
    assert "topic 102" in {row.topic for row in rows}


async def test_a_reason_in_other_words_is_shown_as_a_note(tenant: Tenant, database: Database) -> None:
    """As the version before writes it while a new one takes over."""
    suppression = await suppress(tenant)
    async with database.write() as connection:
        await connection.execute(update(table).values(reason="asked by phone"))
    shown = await tenant.get(f"/suppressions/{suppression}")
    assert (shown["reason"], shown["note"]) == ("manual", "asked by phone")
    assert (await release(tenant, suppression))["released"]["reason"] == "manual"


async def test_essential_mail_passes_an_opt_out_that_came_meanwhile_and_no_dead_address(
    tenant: Tenant, database: Database
) -> None:
    contact = await tenant.contact()
    await tenant.send(contact, essential=True)
    await suppress(tenant, kind="opt_out")
    assert await claim(database) == 1
    await tenant.send(contact, essential=True)
    await suppress(tenant)
    assert await claim(database) == 0
    assert (await reasons(tenant))[0] == "suppressed"
