import asyncio
import time
from pathlib import Path

import httpx
import pytest

from models import ids
from models.ids import Kind
from models.secrets import new_token
from models.vocabulary import Scope
from tests.support.api import Api, Tenant, serving
from tests.support.no_tls import NO_TLS
from tests.support.waiting import wait_until


async def test_bad_credentials_are_answered_alike(api: Api, tenant: Tenant) -> None:
    expired = await api.tenant(of=tenant, expires_at=int(time.time() * 1000) - 1)
    path = f"{api.url}/api/workspaces/{tenant.workspace}/messages"
    headers = [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": f"Basic {tenant.token}"},
        {"Authorization": f"Bearer {new_token('wr_live_')[0]}"},
        {"Authorization": f"Bearer {'x' * 5000}"},
        {"Authorization": f"Bearer {expired.token}"},
    ]
    async with httpx.AsyncClient(trust_env=False, verify=NO_TLS) as client:
        answers = [await client.get(path, headers=each) for each in headers]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["type"] == "/problems/unauthorized"
    assert answers[0].headers["www-authenticate"] == "Bearer"


async def test_another_workspace_looks_like_none(api: Api, tenant: Tenant) -> None:
    other = await api.tenant()
    answers = [
        await tenant.root.get(f"/api/workspaces/{workspace}/messages")
        for workspace in (other.workspace, ids.show(Kind.WORKSPACE, ids.new_id()), "ws_1")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_a_key_is_made_used_and_revoked(api: Api, tenant: Tenant) -> None:
    made = await tenant.post("/keys", {"name": "shop", "scopes": ["messages:read"]})
    assert made["token"].startswith("wr_live_")
    assert made["token"].endswith(made["hint"])
    listed = (await tenant.get("/keys"))["data"][0]
    assert "token" not in listed
    assert (listed["id"], listed["scopes"], listed["revokedAt"]) == (made["id"], ["messages:read"], None)

    async def status() -> int:
        headers = {"Authorization": f"Bearer {made['token']}"}
        return (await tenant.call("GET", "/messages", headers=headers)).status_code

    assert await status() == 200
    assert (await tenant.call("DELETE", f"/keys/{made['id']}")).status_code == 204
    assert await status() == 401
    assert (await tenant.call("DELETE", f"/keys/{made['id']}")).status_code == 404
    assert (await tenant.get(f"/keys/{made['id']}"))["revokedAt"] is not None


async def test_a_key_gives_no_more_than_it_has(api: Api, tenant: Tenant) -> None:
    admin = await api.tenant([Scope.ADMIN, Scope.CONTACTS], of=tenant)
    await admin.post("/keys", {"name": "k", "scopes": ["essential"]}, 403)
    assert (await admin.post("/keys", {"name": "k"}))["scopes"] == ["admin", "contacts"]
    assert "essential" not in (await tenant.post("/keys", {"name": "k"}))["scopes"]


async def test_a_key_expires_while_it_is_in_use(api: Api, tenant: Tenant) -> None:
    brief, ends_at, first = tenant, 0, 0
    for lives_ms in (1_500, 15_000):  # the longer life is for a machine that takes so long to make and use a key
        ends_at = int(time.time() * 1000) + lives_ms
        brief = await api.tenant(of=tenant, expires_at=ends_at)
        first = (await brief.call("GET", "/messages")).status_code
        if time.time() * 1000 < ends_at:
            break
    assert first == 200

    async def refused() -> bool:
        return (await brief.call("GET", "/messages")).status_code == 401

    await wait_until(refused)
    assert time.time() * 1000 >= ends_at


async def test_many_requests_with_one_key_at_once(tenant: Tenant) -> None:
    answers = await asyncio.gather(*(tenant.call("GET", "/messages") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/workspaces/x", "/messages/", "/api/workspaces/x/messages/"])
async def test_unknown_addresses(tenant: Tenant, path: str) -> None:
    answer = await tenant.root.get(path)
    assert answer.status_code == 404
    if path.startswith("/messages"):
        assert answer.json() == {"internal_code": None, "message": "Not found"}
    else:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_methods_that_an_address_does_not_know(tenant: Tenant) -> None:
    answer = await tenant.call("PUT", "/messages")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (await tenant.call("HEAD", "/messages")).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_key_that_asks_too_often_is_told_to_wait_and_no_other(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with serving(tmp_path, database_url, redis_url, WIREROOM_RATE_API="1") as api:
        tenant = await api.tenant()
        answers = [await tenant.call("GET", "/keys") for _ in range(40)]
        codes = [each.status_code for each in answers]
        allowed = codes.index(429)
        assert allowed >= 10
        assert set(codes) == {200, 429}
        refused = answers[allowed]
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert refused.headers["retry-after"] == "1"
        short = await tenant.root.get("/messages")
        assert (short.status_code, short.json()) == (429, {"internal_code": None, "message": "Too many requests"})
        other = await api.tenant(of=tenant)
        assert (await other.call("GET", "/keys")).status_code == 200
