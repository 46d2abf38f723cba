"""A workspace's people."""

import asyncio

import pytest

from models import ids
from models.ids import Kind
from models.vocabulary import Role, Scope
from tests.support.api import Api, Tenant
from tests.support.people import PASSWORD, browser, person
from wireroom import user_accounts

NEW = "six patient herons listen"


async def test_a_person_is_made_listed_changed_and_removed(api: Api, tenant: Tenant) -> None:
    made = await tenant.post("/users", {"email": "Robin@Example.org", "password": PASSWORD})
    assert set(made) == {"id", "email", "role", "createdAt"}
    assert made["id"].startswith("usr_")
    assert (made["email"], made["role"]) == ("robin@example.org", "member")
    assert await tenant.get(f"/users/{made['id']}") == made
    listed = await tenant.get("/users")
    assert listed == {"data": [made], "pagination": {"page": 1, "limit": 50, "total": 1, "totalPages": 1}}
    async with browser(api.url) as robin:
        assert (await robin.sign_in("robin@example.org")).status_code == 200
        keys = f"/api/workspaces/{tenant.workspace}/keys"
        assert (await robin.get(keys)).status_code == 403
        changed = await tenant.call("PATCH", f"/users/{made['id']}", json={"role": "admin"})
        assert (changed.status_code, changed.json()["role"]) == (200, "admin")
        assert (await robin.get(keys)).status_code == 200
        await tenant.post("/users", {"email": "kim@example.org", "password": PASSWORD, "role": "admin"})
        assert (await tenant.call("DELETE", f"/users/{made['id']}")).status_code == 204
        assert (await robin.get(keys)).status_code == 401
        assert (await robin.sign_in("robin@example.org")).status_code == 401
    gone = [await tenant.call(method, f"/users/{made['id']}") for method in ("GET", "DELETE")]
    assert [each.status_code for each in gone] == [404, 404]
    await tenant.post("/users", {"email": "robin@example.org", "password": PASSWORD})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "robin@example.org"}, "#/password"),
        ({"password": PASSWORD}, "#/email"),
        ({"email": "robin", "password": PASSWORD}, "#/email"),
        ({"email": "robin@example.org", "password": "short"}, "#/password"),
        ({"email": "robin@example.org", "password": "x" * 1025}, "#/password"),
        ({"email": "robin@example.org", "password": "robin@example.org"}, "#/password"),
        ({"email": "robin@example.org", "password": PASSWORD, "role": "owner"}, "#/role"),
        ({"email": "robin@example.org", "password": PASSWORD, "name": "Robin"}, "#/name"),
    ],
)
async def test_what_is_wrong_is_pointed_at(tenant: Tenant, body: dict[str, str], pointer: str) -> None:
    problem = await tenant.post("/users", body, 400)
    assert problem["errors"][0]["pointer"] == pointer
    assert PASSWORD not in str(problem)
    assert (await tenant.get("/users"))["pagination"]["total"] == 0


async def test_an_account_of_another_workspace_is_neither_shown_nor_taken_over(
    api: Api, tenant: Tenant, database_url: str
) -> None:
    other = await api.tenant()
    user = await person(database_url, other.workspace)
    unknown = ids.show(Kind.USER, ids.new_id())
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"role": "member"}} if method == "PATCH" else {}
        answers = [await tenant.call(method, f"/users/{each}", **body) for each in (user, unknown, "usr_1", "x")]
        assert {each.status_code for each in answers} == {404}
        assert len({each.content for each in answers}) == 1
    taken = await tenant.post("/users", {"email": "robin@example.org", "password": NEW}, 409)
    assert "wireroom user create" in taken["detail"]
    assert (await tenant.get("/users"))["data"] == []


async def test_a_password_of_two_workspaces_is_set_by_its_owner_alone(
    api: Api, tenant: Tenant, database_url: str
) -> None:
    user = await person(database_url, tenant.workspace)
    async with browser(api.url) as robin:
        await robin.sign_in("robin@example.org")
        assert (await tenant.call("PATCH", f"/users/{user}", json={"password": NEW})).status_code == 200
        assert (await robin.get("/api/auth/session")).status_code == 401
        assert (await robin.sign_in("robin@example.org", NEW)).status_code == 200
        other = await api.tenant()
        await user_accounts.create_or_join(database_url, "robin@example.org", other.workspace, Role.ADMIN, lambda: "")
        for each in (tenant, other):
            assert (await each.call("PATCH", f"/users/{user}", json={"password": PASSWORD})).status_code == 409
        assert (await robin.get("/api/auth/session")).status_code == 200


async def test_nobody_makes_a_person_who_may_do_more_than_they_do(api: Api, tenant: Tenant, database_url: str) -> None:
    chief = await person(database_url, tenant.workspace, "chief@example.org")
    usual = await api.tenant(frozenset(Scope) - {Scope.ESSENTIAL}, of=tenant)
    narrow = await api.tenant([Scope.ADMIN, Scope.CONTACTS], of=tenant)
    body = {"email": "robin@example.org", "password": PASSWORD}
    await usual.post("/users", body | {"role": "admin"}, 403)
    await narrow.post("/users", body, 403)
    made = await usual.post("/users", body)
    refused = [
        await usual.call("PATCH", f"/users/{made['id']}", json={"role": "admin"}),
        await usual.call("PATCH", f"/users/{chief}", json={"password": NEW}),
        await narrow.call("PATCH", f"/users/{made['id']}", json={"password": NEW}),
        await usual.call("PATCH", f"/users/{chief}", json={"role": "member"}),
        await usual.call("DELETE", f"/users/{chief}"),
        await narrow.call("DELETE", f"/users/{made['id']}"),
    ]
    assert {(each.status_code, each.json()["type"]) for each in refused} == {(403, "/problems/missing-scope")}
    assert (await tenant.get("/users"))["pagination"]["total"] == 2
    assert (await usual.call("DELETE", f"/users/{made['id']}")).status_code == 204
    contacts = await api.tenant([Scope.CONTACTS], of=tenant)
    assert (await contacts.call("GET", "/users")).status_code == 403


async def test_an_admin_neither_leaves_nor_steps_down_by_mistake(api: Api, tenant: Tenant, database_url: str) -> None:
    user = await person(database_url, tenant.workspace)
    own = f"/api/workspaces/{tenant.workspace}/users/{user}"
    async with browser(api.url) as robin:
        await robin.sign_in("robin@example.org")
        assert (await robin.delete(own)).status_code == 409
        assert (await robin.patch(own, json={"role": "member"})).status_code == 409
        assert (await robin.patch(own, json={"role": "admin"})).status_code == 200
        made = await robin.post(
            f"/api/workspaces/{tenant.workspace}/users", json={"email": "kim@example.org", "password": NEW}
        )
        assert made.status_code == 201
        assert (await robin.delete(own.replace(user, made.json()["id"]))).status_code == 204


async def test_a_workspace_keeps_its_last_admin(api: Api, tenant: Tenant, database_url: str) -> None:
    robin = await person(database_url, tenant.workspace)
    await person(database_url, tenant.workspace, "kim@example.org", Role.MEMBER)
    other = await api.tenant()
    await person(database_url, other.workspace, "elsewhere@example.org")
    refused = [
        await tenant.call("DELETE", f"/users/{robin}"),
        await tenant.call("PATCH", f"/users/{robin}", json={"role": "member"}),
    ]
    assert {(each.status_code, each.json()["type"]) for each in refused} == {(409, "/problems/last-admin")}
    assert (await tenant.get(f"/users/{robin}"))["role"] == "admin"
    await person(database_url, tenant.workspace, "noor@example.org")
    demoted = await tenant.call("PATCH", f"/users/{robin}", json={"role": "member"})
    assert (demoted.status_code, demoted.json()["role"]) == (200, "member")
    assert (await tenant.call("DELETE", f"/users/{robin}")).status_code == 204


async def test_of_two_admins_who_remove_each_other_at_once_one_stays(
    api: Api, tenant: Tenant, database_url: str
) -> None:
    emails = ("robin@example.org", "kim@example.org")
    people = [await person(database_url, tenant.workspace, email) for email in emails]
    async with browser(api.url) as robin, browser(api.url) as kim:
        for each, email in zip((robin, kim), emails, strict=True):
            assert (await each.sign_in(email)).status_code == 200
        base = f"/api/workspaces/{tenant.workspace}/users"
        answers = await asyncio.gather(robin.delete(f"{base}/{people[1]}"), kim.delete(f"{base}/{people[0]}"))
    # 401: the other was quicker by so much that the session had ended.
    assert sorted(each.status_code for each in answers) in ([204, 401], [204, 404], [204, 409])
    assert [each["role"] for each in (await tenant.get("/users"))["data"]] == ["admin"]
