"""Keys, hooks, subscriptions, settings and channels."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Table, select
from standardwebhooks import Webhook

from channels.standard_webhooks import new_secret
from models import ids
from models.ids import Kind
from models.sealing import SealedFor
from models.secrets import load_keyring
from models.session import Database
from models.store import pauses, settings
from models.tables import api_keys, hooks, message_details, subscriptions
from models.vocabulary import Channel, Scope, StatusEvent
from tests.support.api import Api, Tenant
from tests.support.scene import storage_settings
from tests.support.waiting import wait_until


async def patch(tenant: Tenant, path: str, body: Any, status: int = 200) -> Any:
    answer = await tenant.call("PATCH", path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def stored(database: Database, table: Table, kind: Kind, shown: str) -> Any:
    async with database.read() as connection:
        return (await connection.execute(select(table).where(table.c.id == ids.parse(kind, shown)))).one()


async def bearer(tenant: Tenant, token: str, path: str = "/messages") -> int:
    return (await tenant.call("GET", path, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_key_is_renamed_and_narrowed_at_once(tenant: Tenant) -> None:
    made = await tenant.post("/keys", {"name": "shop", "scopes": ["messages:read", "contacts"]})
    assert await bearer(tenant, made["token"]) == 200
    changed = await patch(tenant, f"/keys/{made['id']}", {"name": "till", "scopes": ["contacts", "contacts"]})
    assert (changed["name"], changed["scopes"], "token" in changed) == ("till", ["contacts"], False)
    assert await bearer(tenant, made["token"]) == 403
    await patch(tenant, f"/keys/{made['id']}", {"scopes": ["messages:read"]})
    assert await bearer(tenant, made["token"]) == 200
    assert (await patch(tenant, f"/keys/{made['id']}", {}))["scopes"] == ["messages:read"]
    await patch(tenant, f"/keys/{made['id']}", {"scopes": []}, 400)
    await patch(tenant, f"/keys/{made['id']}", {"token": "x"}, 400)
    await tenant.call("DELETE", f"/keys/{made['id']}")
    await patch(tenant, f"/keys/{made['id']}", {"scopes": ["contacts"]}, 409)
    assert await bearer(tenant, made["token"]) == 401


async def test_nobody_gives_or_takes_scopes_that_they_do_not_have(api: Api, tenant: Tenant) -> None:
    admin = await api.tenant([Scope.ADMIN, Scope.CONTACTS], of=tenant)
    wide = await tenant.post("/keys", {"name": "k", "scopes": ["essential", "hooks"]})
    path = f"/keys/{wide['id']}"
    await patch(admin, path, {"scopes": ["essential", "hooks", "messages:write"]}, 403)
    for scopes in (["essential"], ["contacts"], ["essential", "contacts"]):
        refused = await patch(admin, path, {"scopes": scopes}, 403)
        assert refused["type"] == "/problems/missing-scope"
    assert (await patch(admin, path, {"scopes": ["essential", "hooks", "contacts"]}))["scopes"] == [
        "contacts",
        "essential",
        "hooks",
    ]
    assert (await patch(admin, path, {"scopes": ["essential", "hooks"]}))["scopes"] == ["essential", "hooks"]


async def test_nobody_revokes_a_key_that_may_do_more_than_they_do(api: Api, tenant: Tenant) -> None:
    admin = await api.tenant([Scope.ADMIN, Scope.CONTACTS], of=tenant)
    wide = await tenant.post("/keys", {"name": "k", "scopes": ["contacts", "messages:read"]})
    narrow = await tenant.post("/keys", {"name": "k", "scopes": ["contacts"]})
    refused = await admin.call("DELETE", f"/keys/{wide['id']}")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/missing-scope")
    assert (await tenant.get(f"/keys/{wide['id']}"))["revokedAt"] is None
    assert [
        (await each.call("DELETE", f"/keys/{key['id']}")).status_code
        for each, key in ((admin, narrow), (admin, narrow), (tenant, wide))
    ] == [204, 404, 204]


async def test_the_use_of_a_key_is_noted_now_and_then(tenant: Tenant, database: Database) -> None:
    made = await tenant.post("/keys", {"name": "shop"})
    assert made["lastUsedAt"] is None
    assert await bearer(tenant, made["token"]) == 200

    async def used() -> Any:
        return (await tenant.get(f"/keys/{made['id']}"))["lastUsedAt"]

    first = await wait_until(used)
    await patch(tenant, f"/keys/{made['id']}", {"name": "till"})  # this process asks for the key again
    assert await bearer(tenant, made["token"]) == 200
    assert await used() == first
    key_id = ids.parse(Kind.KEY, made["id"])
    async with database.write() as connection:
        await connection.execute(api_keys.update().where(api_keys.c.id == key_id).values(last_used_at=1))
    await patch(tenant, f"/keys/{made['id']}", {"name": "shop"})
    assert await bearer(tenant, made["token"]) == 200

    async def later() -> bool:
        return bool(await used() >= first)

    await wait_until(later)


def signed(key: str, body: str) -> dict[str, str]:
    now = time.time()
    signature = Webhook(key).sign("d1", datetime.fromtimestamp(int(now), UTC), body)
    return {"webhook-id": "d1", "webhook-timestamp": str(int(now)), "webhook-signature": signature}


async def test_a_hooks_signing_key_is_rotated(tenant: Tenant, database: Database) -> None:
    made = await tenant.post("/hooks", {"provider": "generic"})
    path = f"/hooks/{made['id']}"
    body = json.dumps({"events": [{"type": "danced"}]})

    async def report(key: str, authorization: str = "") -> int:
        headers = signed(key, body) | {"authorization": authorization}
        return (await tenant.root.post(httpx.URL(made["url"]).path, content=body, headers=headers)).status_code

    rotated = await patch(tenant, path, {"signingKey": None})
    assert rotated["signingKey"].startswith("whsec_")
    assert rotated["signingKey"] != made["signingKey"]
    assert rotated["previousSigningKeyUntil"] > rotated["createdAt"]
    assert (rotated["hookKey"], rotated["url"]) == (made["hookKey"], made["url"])
    assert [await report(rotated["signingKey"]), await report(made["signingKey"])] == [200, 200]
    async with database.write() as connection:
        await connection.execute(hooks.update().values(signing_key_previous_until=1))
    assert [await report(rotated["signingKey"]), await report(made["signingKey"])] == [200, 401]

    given = new_secret()
    assert (await patch(tenant, path, {"signingKey": given}))["signingKey"] == given
    assert [await report(given), await report(rotated["signingKey"]), await report(made["signingKey"])] == [
        200,
        200,
        401,
    ]
    await patch(tenant, path, {"signingKey": "x"}, 400)

    changed = await patch(tenant, path, {"basicAuth": "user:pass", "topicArns": []})
    assert (changed["basicAuth"], changed["topicArns"]) == (True, [])
    assert "signingKey" not in changed
    assert [await report(given), await report(given, "Basic dXNlcjpwYXNz")] == [401, 200]
    assert (await patch(tenant, path, {"basicAuth": None}))["basicAuth"] is False
    assert await report(given) == 200


async def test_the_same_key_given_again_rotates_nothing(tenant: Tenant, database: Database) -> None:
    hook = await tenant.post("/hooks", {"provider": "generic"})
    given = {"signingKey": new_secret()}
    first = await patch(tenant, f"/hooks/{hook['id']}", given)
    before = await stored(database, hooks, Kind.HOOK, hook["id"])
    again = await patch(tenant, f"/hooks/{hook['id']}", given)
    assert again == first
    assert await stored(database, hooks, Kind.HOOK, hook["id"]) == before

    made = await tenant.post("/subscriptions", {"url": "https://example.org/in"})
    path = f"/subscriptions/{made['id']}"
    assert (await patch(tenant, path, {"secret": made["secret"]}))["previousSecretUntil"] is None
    await patch(tenant, path, {"secret": given["signingKey"]})
    before = await stored(database, subscriptions, Kind.SUBSCRIPTION, made["id"])
    assert (await patch(tenant, path, {"secret": given["signingKey"], "paused": True}))["paused"] is True
    after = await stored(database, subscriptions, Kind.SUBSCRIPTION, made["id"])
    assert after._mapping == {**before._mapping, "paused": True}


async def test_subscriptions(tenant: Tenant, database: Database, tmp_path: Path, database_url: str) -> None:
    every = await tenant.post("/subscriptions", {"url": "https://example.org/in#x"})
    assert (every["url"], every["events"]) == ("https://example.org/in", [each.value for each in StatusEvent])
    assert every["secret"].startswith("whsec_")
    body = {"url": "https://example.org/in", "events": ["message.sent", "message.bounced", "message.sent"]}
    some = await tenant.post("/subscriptions", body | {"paused": True, "secret": every["secret"]})
    assert (some["events"], some["paused"]) == (["message.sent", "message.bounced"], True)
    assert some["secret"] == every["secret"]
    listed = (await tenant.get("/subscriptions"))["data"]
    assert [each["id"] for each in listed] == [some["id"], every["id"]]
    assert all("secret" not in each for each in listed)

    path = f"/subscriptions/{some['id']}"
    changed = await patch(tenant, path, {"paused": False, "url": "https://example.net/", "events": ["message.failed"]})
    assert changed == await tenant.get(path)
    assert (changed["paused"], changed["url"], changed["events"]) == (False, "https://example.net/", ["message.failed"])
    rotated = await patch(tenant, path, {"secret": None})
    assert rotated["secret"] not in (None, some["secret"])
    row = await stored(database, subscriptions, Kind.SUBSCRIPTION, some["id"])
    keyring = await load_keyring(database, storage_settings(tmp_path, database_url, ""))
    assert keyring.open_text(row.secret, SealedFor.SUBSCRIPTION) == rotated["secret"]
    assert keyring.open_text(row.secret_previous, SealedFor.SUBSCRIPTION) == some["secret"]
    day = 24 * 3600 * 1000
    assert abs(row.secret_previous_until - time.time() * 1000 - day) < 60_000
    for expected in (204, 404):
        assert (await tenant.call("DELETE", path)).status_code == expected
    await patch(tenant, path, {"paused": True}, 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/url"),
        ({"url": "ftp://example.org"}, "#/url"),
        ({"url": "https://user@example.org"}, "#/url"),
        ({"url": "https://example.org", "events": []}, "#/events"),
        ({"url": "https://example.org", "events": ["danced"]}, "#/events/0"),
        ({"url": "https://example.org", "secret": "x"}, "#/secret"),
        ({"url": "https://example.org", "secretary": "x"}, "#/secretary"),
    ],
)
async def test_subscriptions_that_cannot_be(tenant: Tenant, body: Any, pointer: str) -> None:
    problem = await tenant.post("/subscriptions", body, 400)
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert (await tenant.get("/subscriptions"))["pagination"]["total"] == 0


async def test_settings(api: Api, tenant: Tenant) -> None:
    fresh: dict[str, Any] = {
        "tracking": {"opens": True, "clicks": True},
        "allowedOrigins": [],
        "defaultLocale": None,
        "timezone": None,
        "retentionDays": 90,
        "inboxRetentionDays": None,
        "endpointRate": None,
    }
    assert await tenant.get("/settings") == fresh
    origins = ["https://Example.org:443/", "https://example.org", "http://localhost:3000"]
    changed = await patch(tenant, "/settings", {"tracking": {"clicks": False}, "allowedOrigins": origins})
    assert changed == fresh | {
        "tracking": {"opens": True, "clicks": False},
        "allowedOrigins": ["https://example.org", "http://localhost:3000"],
    }
    named = {"defaultLocale": "de-AT", "timezone": "Europe/Vienna", "endpointRate": 0.1}
    assert await patch(tenant, "/settings", named) == changed | named
    assert await patch(tenant, "/settings", {"timezone": None}) == changed | named | {"timezone": None}
    assert await tenant.get("/settings") == changed | named | {"timezone": None}
    assert await (await api.tenant()).get("/settings") == fresh


async def test_the_rates_of_endpoints_are_those_of_workspaces_that_set_one(api: Api, database: Database) -> None:
    for rate in (10_000, None):
        tenant = await api.tenant()
        await patch(tenant, "/settings", {"endpointRate": 5})
        assert (await patch(tenant, "/settings", {"endpointRate": rate}))["endpointRate"] == rate
    async with database.read() as connection:
        assert list((await settings.endpoint_rates(connection)).values()) == [10_000]


@pytest.mark.parametrize(
    "body",
    [
        {"tracking": None},
        {"tracking": {"opens": None}},
        {"endpointRate": 0},
        {"endpointRate": 10_001},
        {"endpointRate": "5"},
        {"allowedOrigins": ["*"]},
        {"allowedOrigins": ["null"]},
        {"allowedOrigins": ["https://example.org/path"]},
        {"allowedOrigins": ["https://example.org?x"]},
        {"allowedOrigins": ["https://example.org#x"]},
        {"allowedOrigins": ["https://example.org:99999"]},
        {"allowedOrigins": ["javascript:alert(1)"]},
        {"defaultLocale": "de_AT\n"},
        {"timezone": "../etc/passwd"},
        {"retention": 1},
    ],
)
async def test_settings_that_cannot_be(tenant: Tenant, body: Any) -> None:
    before = await tenant.get("/settings")
    await patch(tenant, "/settings", body, 400)
    assert await tenant.get("/settings") == before


async def test_messages_follow_the_settings(tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact()
    await tenant.send(contact)
    await patch(tenant, "/settings", {"tracking": {"opens": False}, "defaultLocale": "de", "timezone": "Europe/Vienna"})

    async def tracked(**fields: Any) -> tuple[bool, bool]:
        sent = await tenant.send(contact, **fields)
        async with database.read() as connection:
            row = (
                await connection.execute(
                    select(message_details.c.track_opens, message_details.c.track_clicks).where(
                        message_details.c.message_id == ids.parse(Kind.MESSAGE, sent["id"])
                    )
                )
            ).one()
        return row.track_opens, row.track_clicks

    assert await tracked() == (False, True)
    assert await tracked(tracking={"opens": True}) == (True, True)
    assert await tracked(tracking={"clicks": False}) == (False, False)
    assert await tracked(essential=True, tracking={"opens": True}) == (False, False)
    assert (await tenant.send(contact, subject="{{locale}} {{timezone}}"))["subject"] == "de Europe/Vienna"
    own = await tenant.contact(email="b@example.org", locale="fr", timezone="Europe/Paris")
    assert (await tenant.send(own, subject="{{locale}} {{timezone}}"))["subject"] == "fr Europe/Paris"


async def test_channels(tenant: Tenant, database: Database) -> None:
    channels = {each["channel"]: each for each in (await tenant.get("/channels"))["data"]}
    assert list(channels) == [channel.value for channel in Channel]
    assert channels["EMAIL"] == {
        "channel": "EMAIL",
        "configured": True,
        "source": "environment",
        "resting": None,
        "senders": [],
    }
    nobody: dict[str, Any] = {"configured": False, "source": None, "resting": None, "senders": []}
    assert channels["TELEGRAM"] == {"channel": "TELEGRAM"} | nobody
    async with database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "535 no")
        await pauses.rest(connection, Channel.WEBHOOK, -1, "over")
    resting = await tenant.get("/channels/EMAIL")
    assert resting["resting"]["reason"] == "535 no"
    assert (await tenant.get("/channels/WEBHOOK"))["resting"] is None
    for unknown in ("FAX", "email", "__class__"):
        assert (await tenant.call("GET", f"/channels/{unknown}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/hooks", Scope.HOOKS),
        ("/subscriptions", Scope.HOOKS),
        ("/campaigns", Scope.ADMIN),
        ("/channels", Scope.ADMIN),
        ("/settings", Scope.ADMIN),
        ("/keys", Scope.ADMIN),
    ],
)
async def test_each_needs_its_scope(api: Api, tenant: Tenant, path: str, scope: Scope) -> None:
    others = await api.tenant(set(Scope) - {scope}, of=tenant)
    assert (await others.call("GET", path)).status_code == 403
    only = await api.tenant([scope], of=tenant)
    assert (await only.call("GET", path)).status_code == 200
