"""Signing in and out, and what a session may do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import argon2
import httpx
import pytest
from sqlalchemy import select, update

from models import ids
from models.ids import Kind
from models.secrets import new_token
from models.session import Database, now_ms
from models.store import users
from models.tables import sessions as session_table
from models.tables import users as user_table
from models.vocabulary import Role
from tests.support.api import Api, Tenant, serving
from tests.support.people import PASSWORD, Browser, browser, person
from wireroom import user_accounts

EMAIL = "robin@example.org"
COOKIE = "wireroom_session"


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A running server that takes us for its proxy."""
    async with serving(tmp_path, database_url, redis_url, FORWARDED_ALLOW_IPS="127.0.0.1") as running:
        yield running


@pytest.fixture
async def robin(api: Api, tenant: Tenant, database_url: str) -> AsyncIterator[Browser]:
    """An admin of the tenant's workspace, signed in."""
    await person(database_url, tenant.workspace)
    async with browser(api.url) as opened:
        assert (await opened.sign_in(EMAIL)).status_code == 200
        yield opened


def messages(tenant: Tenant) -> str:
    return f"/api/workspaces/{tenant.workspace}/messages"


async def test_the_cookie_and_what_signing_in_answers(api: Api, tenant: Tenant, database_url: str) -> None:
    user = await person(database_url, tenant.workspace, role=Role.MEMBER)
    async with browser(api.url) as robin:
        answer = await robin.sign_in(" Robin@Example.ORG ")
        assert answer.status_code == 200
        cookies = {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}
        assert set(cookies) == {"wireroom_session", "wireroom_device"}
        for each in cookies.values():
            assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(each.split("; "))
            assert "Secure" not in each  # http on this machine's own loopback
        assert answer.headers["cache-control"] == "no-store"
        (workspace,) = robin.who["workspaces"]
        assert (workspace["id"], workspace["role"]) == (tenant.workspace, "member")
        assert robin.who["user"] == {"id": user, "email": EMAIL}
        shown = await robin.get("/api/auth/session")
        assert shown.json() == robin.who
        assert shown.headers["cache-control"] == "no-store"


async def test_a_session_works_as_a_key_does(tenant: Tenant, robin: Browser) -> None:
    made = await robin.post(f"/api/workspaces/{tenant.workspace}/contacts", json={"email": "ann@example.org"})
    assert made.status_code == 201
    body = {"contactId": made.json()["id"], "channel": "EMAIL", "subject": "Hi", "body": "Hello", "essential": True}
    assert (await robin.post(messages(tenant), json=body)).status_code == 200
    assert (await robin.get(messages(tenant))).json()["pagination"]["total"] == 1
    assert (await robin.get("/messages")).status_code == 401  # no workspace in the path: a key alone names one


async def test_a_member_may_do_all_but_admin_and_essential(api: Api, tenant: Tenant, database_url: str) -> None:
    contact = await tenant.contact()
    await person(database_url, tenant.workspace, role=Role.MEMBER)
    async with browser(api.url) as robin:
        await robin.sign_in(EMAIL)
        body = {"contactId": contact, "channel": "EMAIL", "body": "Hello"}
        assert (await robin.post(messages(tenant), json=body)).status_code == 200
        refused = [
            await robin.post(messages(tenant), json=body | {"essential": True}),
            await robin.get(f"/api/workspaces/{tenant.workspace}/keys"),
            await robin.get(f"/api/workspaces/{tenant.workspace}/users"),
        ]
        assert {(each.status_code, each.json()["type"]) for each in refused} == {(403, "/problems/missing-scope")}


async def test_other_workspaces_look_like_none(api: Api, robin: Browser) -> None:
    other = await api.tenant()
    answers = [
        await robin.get(f"/api/workspaces/{workspace}/messages")
        for workspace in (other.workspace, ids.show(Kind.WORKSPACE, ids.new_id()), "ws_1")
    ]
    assert {each.status_code for each in answers} == {404}
    assert len({each.content for each in answers}) == 1


async def test_who_leaves_a_workspace_is_out_at_once(tenant: Tenant, robin: Browser, database_url: str) -> None:
    await person(database_url, tenant.workspace, "kim@example.org")  # an admin who stays
    assert (await robin.get(messages(tenant))).status_code == 200
    gone = await tenant.call("DELETE", f"/users/{robin.who['user']['id']}")
    assert gone.status_code == 204
    assert (await robin.get(messages(tenant))).status_code == 401  # the account went with its last workspace


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(
    api: Api, tenant: Tenant, database_url: str
) -> None:
    await person(database_url, tenant.workspace)
    async with browser(api.url) as robin:
        answers = [
            await robin.sign_in(EMAIL, "three quiet otters tango"),
            await robin.sign_in("nobody@example.org", PASSWORD),
            await robin.sign_in("no address at all", ""),
        ]
    assert {each.status_code for each in answers} == {401}
    assert len({each.content for each in answers}) == 1
    different = {"date", "x-request-id"}
    kept = [{name: value for name, value in each.headers.items() if name not in different} for each in answers]
    assert kept[0] == kept[1] == kept[2]
    assert answers[0].json()["type"] == "/problems/sign-in-refused"


async def test_writes_need_the_token_of_this_very_session(
    api: Api, tenant: Tenant, robin: Browser, database_url: str
) -> None:
    await person(database_url, tenant.workspace, "kim@example.org")
    async with browser(api.url) as kim:
        await kim.sign_in("kim@example.org")
        others = kim.who["csrfToken"]
    own = robin.who["csrfToken"]
    path, body = f"/api/workspaces/{tenant.workspace}/contacts", {"email": "ann@example.org"}
    del robin.headers["X-CSRF-Token"]
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": own[:-1]}, {"X-CSRF-Token": others}):
        answers = [
            await robin.post(path, json=body, headers=wrong),
            await robin.post("/api/auth/sign-out", headers=wrong),
            await robin.delete(f"/api/workspaces/{tenant.workspace}/users/{robin.who['user']['id']}", headers=wrong),
        ]
        assert {(each.status_code, each.json()["type"]) for each in answers} == {(403, "/problems/csrf-token")}
    assert (await tenant.get("/contacts"))["pagination"]["total"] == 0
    assert (await robin.post(path, json=body, headers={"X-CSRF-Token": own})).status_code == 201


async def test_a_key_needs_no_csrf_token(api: Api, tenant: Tenant, robin: Browser) -> None:
    headers = {"Authorization": f"Bearer {tenant.token}", "Origin": "https://elsewhere.example"}
    del robin.headers["X-CSRF-Token"]
    path = f"/api/workspaces/{tenant.workspace}/contacts"
    assert (await robin.post(path, json={"email": "ann@example.org"}, headers=headers)).status_code == 201
    wrong = {"Authorization": "Bearer wr_live_nothing"}
    assert (await robin.get(path, headers=wrong)).status_code == 401  # and no cookie speaks for a bad one


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:port"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_sites_cannot_use_the_session(tenant: Tenant, robin: Browser, sent: dict[str, str]) -> None:
    path = f"/api/workspaces/{tenant.workspace}/contacts"
    answers = [
        await robin.post(path, json={"email": "ann@example.org"}, headers=sent),
        await robin.post("/api/auth/sign-out", headers=sent),
        await robin.sign_in(EMAIL, **sent),
    ]
    assert {(each.status_code, each.json()["type"]) for each in answers} == {(403, "/problems/cross-origin")}
    assert (await robin.get("/api/auth/session")).status_code == 200


async def test_our_own_pages_can(api: Api, tenant: Tenant, robin: Browser) -> None:
    port = httpx.URL(api.url).port
    path = f"/api/workspaces/{tenant.workspace}/contacts"
    for sent in (
        {"Origin": api.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": f"http://localhost:{port}"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert (await robin.post(path, json={}, headers=sent)).status_code == 201


async def test_what_was_stolen_ends_with_signing_out(tmp_path: Path, api: Api, tenant: Tenant, robin: Browser) -> None:
    stolen = {"Cookie": f"{COOKIE}={robin.cookies[COOKIE]}", "X-CSRF-Token": robin.who["csrfToken"]}
    async with browser(api.url) as thief:
        assert (await thief.get("/api/auth/session", headers=stolen)).status_code == 200
        out = await robin.post("/api/auth/sign-out")
        assert out.status_code == 204
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert COOKIE not in robin.cookies
        answers = [
            await thief.get("/api/auth/session", headers=stolen),
            await thief.get(messages(tenant), headers=stolen),
            await thief.post("/api/auth/sign-out", headers=stolen),
            await robin.get("/api/auth/session"),
        ]
    assert {each.status_code for each in answers} == {401}


async def test_signing_in_again_ends_the_former_session(api: Api, robin: Browser) -> None:
    former = {"Cookie": f"{COOKIE}={robin.cookies[COOKIE]}"}
    assert (await robin.sign_in(EMAIL)).status_code == 200
    assert former["Cookie"] != f"{COOKIE}={robin.cookies[COOKIE]}"
    async with browser(api.url) as other:
        assert (await other.get("/api/auth/session", headers=former)).status_code == 401
    assert (await robin.get("/api/auth/session")).status_code == 200


async def test_an_expired_session_is_none(robin: Browser, database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(update(session_table).values(ends_at=now_ms() - 1))
    assert (await robin.get("/api/auth/session")).status_code == 401


async def test_bad_cookies_are_answered_as_none(api: Api, tenant: Tenant) -> None:
    async with browser(api.url) as nobody:
        bare = await nobody.get(messages(tenant))
        for value in ("", "x", new_token("wr_sess_")[0], "x" * 5000, tenant.token):
            answer = await nobody.get(messages(tenant), headers={"Cookie": f"{COOKIE}={value}"})
            assert (answer.status_code, answer.content) == (401, bare.content)


async def test_the_secret_is_not_stored(robin: Browser, database: Database) -> None:
    async with database.read() as connection:
        rows = (await connection.execute(select(session_table))).all()
    assert robin.cookies[COOKIE] not in repr(rows)
    assert robin.who["csrfToken"] not in repr(rows)


async def test_five_failures_pause_an_account_at_two_apis_at_once(
    tmp_path: Path, api: Api, tenant: Tenant, robin: Browser, database_url: str, redis_url: str
) -> None:
    async with (
        serving(tmp_path, database_url, redis_url, FORWARDED_ALLOW_IPS="127.0.0.1") as second,
        browser(api.url) as one,
        browser(second.url) as two,
    ):
        tries = [
            each.sign_in(EMAIL, "three quiet otters tango", **{"X-Forwarded-For": f"203.0.113.{number}"})
            for number in range(8)
            for each in (one, two)
        ]
        answers = await asyncio.gather(*tries)
        codes = sorted(each.status_code for each in answers)
        assert codes == [401] * 5 + [429] * 11
        paused = next(each for each in answers if each.status_code == 429)
        assert 1 <= int(paused.headers["retry-after"]) <= 10
        assert paused.json()["type"] == "/problems/too-many-sign-ins"
        assert (await two.sign_in(EMAIL)).status_code == 429  # the right password too: nobody learns which it was
    # Its owner still gets in where they did before: nobody is locked out by others.
    assert (await robin.sign_in(EMAIL)).status_code == 200


async def test_an_account_that_does_not_exist_pauses_alike(api: Api) -> None:
    async with browser(api.url) as someone:
        answers = [await someone.sign_in("nobody@example.org") for _ in range(6)]
    assert [each.status_code for each in answers] == [401] * 5 + [429]


async def test_five_failures_pause_an_address(api: Api, tenant: Tenant, robin: Browser) -> None:
    here, there = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}
    async with browser(api.url) as guesser:
        answers = [await guesser.sign_in(f"reader{number}@example.org", **here) for number in range(6)]
        assert [each.status_code for each in answers] == [401] * 5 + [429]
        assert (await guesser.sign_in("other@example.org", **there)).status_code == 401
    async with browser(api.url) as neighbour:  # one subscriber's IPv6 addresses count as one
        network = [{"X-Forwarded-For": f"2001:db8:0:1::{number}"} for number in range(1, 7)]
        answers = [await neighbour.sign_in(f"r{index}@example.org", **each) for index, each in enumerate(network)]
        assert [each.status_code for each in answers] == [401] * 5 + [429]
    assert (await robin.sign_in(EMAIL, **here)).status_code == 200


async def test_nobody_says_by_a_header_who_they_are_unless_they_are_a_known_proxy(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    async with serving(tmp_path, database_url, redis_url) as direct, browser(direct.url) as guesser:
        claims = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(6)]
        answers = [await guesser.sign_in(f"r{index}@example.org", **each) for index, each in enumerate(claims)]
    assert [each.status_code for each in answers] == [401] * 5 + [429]


async def test_a_device_is_trusted_for_its_own_account_alone(
    api: Api, tenant: Tenant, robin: Browser, database_url: str
) -> None:
    await person(database_url, tenant.workspace, "kim@example.org")
    wrong = [await robin.sign_in("kim@example.org", "three quiet otters tango") for _ in range(6)]
    assert [each.status_code for each in wrong] == [401] * 5 + [429]
    own = [await robin.sign_in(EMAIL, "three quiet otters tango") for _ in range(6)]
    assert [each.status_code for each in own] == [401] * 5 + [429]


async def test_a_new_password_ends_all_other_sessions(api: Api, robin: Browser) -> None:
    new = "six patient herons listen"
    async with browser(api.url) as elsewhere:
        assert (await elsewhere.sign_in(EMAIL)).status_code == 200
        refused = [
            await robin.post("/api/auth/password", json={"currentPassword": "wrong", "newPassword": new}),
            await robin.post("/api/auth/password", json={"currentPassword": PASSWORD, "newPassword": EMAIL}),
        ]
        assert [each.json()["errors"][0]["pointer"] for each in refused] == ["#/currentPassword", "#/newPassword"]
        changed = await robin.post("/api/auth/password", json={"currentPassword": PASSWORD, "newPassword": new})
        assert changed.status_code == 200
        assert changed.json()["csrfToken"] != robin.who["csrfToken"]
        assert (await elsewhere.get("/api/auth/session")).status_code == 401
        assert (await robin.get("/api/auth/session")).status_code == 200
        assert (await elsewhere.sign_in(EMAIL)).status_code == 401
        assert (await elsewhere.sign_in(EMAIL, new)).status_code == 200


async def test_a_hash_of_old_parameters_is_made_anew(api: Api, tenant: Tenant, database: Database) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await person(str(database.engine.url.render_as_string(hide_password=False)), tenant.workspace)
    async with database.write() as connection:
        await connection.execute(update(user_table).values(password_hash=old))
    async with browser(api.url) as robin:
        assert (await robin.sign_in(EMAIL)).status_code == 200
        async with database.read() as connection:
            user = await users.by_email(connection, EMAIL)
        assert user is not None
        assert "m=19456" in user.password_hash
        assert (await robin.sign_in(EMAIL)).status_code == 200


async def test_an_account_in_two_workspaces_names_both(api: Api, robin: Browser, database_url: str) -> None:
    other = await api.tenant()
    joined = await user_accounts.create_or_join(database_url, EMAIL, other.workspace, Role.MEMBER, lambda: "")
    assert joined == (robin.who["user"]["id"], False)
    shown = (await robin.get("/api/auth/session")).json()["workspaces"]
    assert {each["id"]: each["role"] for each in shown} == {
        robin.who["workspaces"][0]["id"]: "admin",
        other.workspace: "member",
    }


async def test_nothing_personal_is_logged(
    robin: Browser, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    await robin.sign_in("canary@example.org", "canary canary canary")
    await robin.sign_in(EMAIL)
    written = caplog.text + "".join(capfd.readouterr())
    for secret in ("canary", EMAIL, PASSWORD, robin.cookies[COOKIE], robin.who["csrfToken"]):
        assert secret not in written
