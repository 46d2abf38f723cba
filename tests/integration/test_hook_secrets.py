"""A hook whose secrets do not open: the provider comes again, somebody is told, and nothing is lost."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import update
from standardwebhooks import Webhook

from channels.standard_webhooks import new_secret
from models.sealing import SealedFor
from models.secrets import Keyring
from models.session import Database
from models.tables import hooks
from tests.support.api import Tenant

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LOST = Keyring([b"a key that nobody kept, 32 bytes"], bytes(32))


async def report(tenant: Tenant, hook: dict[str, Any], key: str) -> httpx.Response:
    body = json.dumps({"events": [{"id": "1", "type": "delivered"}]})
    now = time.time()
    headers = {
        "webhook-id": "d1",
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Webhook(key).sign("d1", datetime.fromtimestamp(int(now), UTC), body),
        "authorization": "",
    }
    return await tenant.root.post(httpx.URL(hook["url"]).path, content=body, headers=headers)


async def write(database: Database, **columns: Any) -> None:
    async with database.write() as connection:
        await connection.execute(update(hooks).values(**columns))


async def number_of_events(tenant: Tenant) -> int:
    return int((await tenant.get("/events"))["pagination"]["total"])


@pytest.mark.parametrize("column", ["signing_key", "basic_auth"])
async def test_it_is_told_to_come_again_until_the_key_is_back(tenant: Tenant, database: Database, column: str) -> None:
    hook = await tenant.post("/hooks", {"provider": "generic"})
    async with database.read() as connection:
        before = (await connection.execute(hooks.select())).one()._mapping[column]
    purpose = {"signing_key": SealedFor.HOOK_SIGNING_KEY, "basic_auth": SealedFor.HOOK_BASIC_AUTH}[column]
    await write(database, **{column: LOST.seal(b"user:password", purpose)})
    with structlog.testing.capture_logs() as logs:
        answer = await report(tenant, hook, hook["signingKey"])
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/secret-unreadable")
    assert int(answer.headers["Retry-After"]) > 0
    (told,) = (each for each in logs if each["event"] == "hook.secret_sealed_by_unknown_key")
    assert (told["hook"], told["log_level"]) == (hook["id"], "error")
    assert await number_of_events(tenant) == 0
    await write(database, **{column: before})
    assert (await report(tenant, hook, hook["signingKey"])).status_code == 200
    assert await number_of_events(tenant) == 1


async def test_a_former_key_that_is_lost_keeps_nobody_out_who_signs_by_the_new_one(
    tenant: Tenant, database: Database
) -> None:
    hook = await tenant.post("/hooks", {"provider": "generic"})
    answer = await tenant.call("PATCH", f"/hooks/{hook['id']}", json={"signingKey": None})
    new = answer.json()["signingKey"]
    await write(database, signing_key_previous=LOST.seal(b"whsec_x", SealedFor.HOOK_SIGNING_KEY))
    assert (await report(tenant, hook, new)).status_code == 200
    # It may be the former key that it is signed by: nobody can tell, so it is no forgery yet.
    assert (await report(tenant, hook, hook["signingKey"])).status_code == 503
    await write(database, signing_key_previous=None)
    assert (await report(tenant, hook, new_secret())).status_code == 401


async def test_what_an_admin_asks_for_is_an_error_of_ours_and_logged(tenant: Tenant, database: Database) -> None:
    hook = await tenant.post("/hooks", {"provider": "generic"})
    await write(database, hook_key=LOST.seal(b"x", SealedFor.HOOK_KEY))
    with structlog.testing.capture_logs() as logs:
        answer = await tenant.call("GET", f"/hooks/{hook['id']}")
    assert answer.status_code == 500
    assert [each["error"] for each in logs if each["event"] == "request failed"] == ["SealBroken"]
