"""The audit log: who did what, and that nobody reads another workspace's or changes what is written."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from models import ids
from models.ids import Kind, new_id
from models.session import Database
from models.store import audit, clock
from models.tables import audit_entries
from models.vocabulary import Role, Scope
from tests.support.api import Api, Tenant
from tests.support.people import browser, person

EMAIL = "robin@example.org"
DAY_MS = 86_400_000


async def test_a_change_is_told_with_who_what_and_which_request(tenant: Tenant) -> None:
    made = await tenant.post("/keys", {"name": "Shop", "scopes": ["messages:read"]})
    answer = await tenant.call(
        "PATCH", f"/keys/{made['id']}", json={"name": "Till"}, headers={"X-Request-Id": "till-2026.01-15"}
    )
    assert answer.headers["X-Request-Id"] == "till-2026.01-15"
    revoked = await tenant.call("DELETE", f"/keys/{made['id']}", headers={"X-Request-Id": "an address@example.org"})
    log = await tenant.get("/audit", objectId=made["id"])
    assert log["pagination"]["total"] == 3
    last, changed, created = log["data"]
    own = (await tenant.get("/keys"))["data"][-1]["id"]
    assert {each["actor"] for each in log["data"]} == {own}
    assert (created["action"], created["details"]) == ("key.create", {"scopes": ["messages:read"]})
    assert (changed["action"], changed["details"]) == ("key.change", {"fields": ["name"]})
    assert changed["requestId"] == "till-2026.01-15"
    assert (last["action"], last["outcome"], last["objectId"]) == ("key.revoke", "done", made["id"])
    assert last["requestId"] == revoked.headers["X-Request-Id"]
    assert last["requestId"].startswith("req_")


async def test_what_was_rolled_back_is_not_told(tenant: Tenant) -> None:
    made = await tenant.post("/keys", {"name": "Shop"})
    assert (await tenant.call("DELETE", f"/keys/{made['id']}")).status_code == 204
    again = await tenant.call("PATCH", f"/keys/{made['id']}", json={"name": "Till"})
    unknown = await tenant.call("DELETE", f"/contacts/{ids.show(Kind.CONTACT, new_id())}")
    assert (again.status_code, unknown.status_code) == (409, 404)
    assert "x-request-id" not in again.headers
    assert [each["action"] for each in (await tenant.get("/audit"))["data"]] == ["key.revoke", "key.create"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"action": "settings.change"}, 1),
        ({"action": "key.create"}, 1),
        ({"outcome": "refused"}, 0),
        ({"actor": "command"}, 0),
        ({"actor": "nobody"}, 0),
        ({"actor": "robin"}, 0),
        ({"objectId": "no id"}, 0),
        ({"requestId": "settings-1"}, 1),
        ({"since": "2026-01-15T10:00:00Z"}, 2),
        ({"until": "2026-01-15T10:00:00Z"}, 0),
        ({"limit": 1}, 2),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_filters(tenant: Tenant, query: dict[str, str], found: int) -> None:
    await tenant.post("/keys", {"name": "Shop"})
    await tenant.call("PATCH", "/settings", json={"timezone": "UTC"}, headers={"X-Request-Id": "settings-1"})
    log = await tenant.get("/audit", **query)
    assert log["pagination"]["total"] == found
    assert len(log["data"]) == min(found, log["pagination"]["limit"])


async def test_each_workspace_sees_its_own_alone(api: Api, tenant: Tenant) -> None:
    other = await api.tenant()
    made = await other.post("/keys", {"name": "Theirs"})
    await tenant.post("/keys", {"name": "Ours"})
    assert [each["action"] for each in (await tenant.get("/audit"))["data"]] == ["key.create"]
    assert (await tenant.get("/audit", objectId=made["id"]))["data"] == []
    assert (await tenant.root.get(f"/api/workspaces/{other.workspace}/audit")).status_code == 404
    member = await api.tenant(set(Scope) - {Scope.ADMIN}, of=tenant)
    assert (await member.call("GET", "/audit")).status_code == 403


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("text", ["yesterday", "2026-01-15", "2026-01-15T10:00:00", "1768471200", ""])
@pytest.mark.parametrize("beside", [{}, {"actor": "no id of ours"}])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_no_time_is_refused(tenant: Tenant, name: str, text: str, beside: dict[str, str]) -> None:
    answer = await tenant.call("GET", "/audit", params=beside | {name: text})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, name)


async def test_signing_in_and_out_is_told_in_every_workspace_of_the_person(
    api: Api, tenant: Tenant, database: Database, database_url: str
) -> None:
    user = await person(database_url, tenant.workspace, role=Role.MEMBER)
    async with browser(api.url) as robin:
        await robin.sign_in(EMAIL, "three quiet otters tango")
        await robin.sign_in("nobody@example.org")
        await robin.sign_in(EMAIL)
        wrong = {"currentPassword": "three quiet otters tango", "newPassword": "six patient herons listen"}
        assert (await robin.post("/api/auth/password", json=wrong)).status_code == 400
        assert (await robin.post("/api/auth/sign-out")).status_code == 204
    told = [
        (each["actor"], each["action"], each["outcome"], each["objectId"])
        for each in (await tenant.get("/audit"))["data"]
    ]
    assert told == [
        (user, "session.sign-out", "done", user),
        (user, "session.password", "refused", user),
        (user, "session.sign-in", "done", user),
        ("nobody", "session.sign-in", "refused", user),
        ("command", "user.create", "done", user),
    ]
    async with database.read() as connection:
        strange = (await connection.execute(select(audit_entries).where(audit_entries.c.workspace_id.is_(None)))).one()
    assert (strange.actor_kind, strange.ending, strange.object_id) == ("nobody", "refused", None)


async def test_a_scope_that_lacks_is_told_once_a_minute(api: Api, tenant: Tenant) -> None:
    reader = await api.tenant({Scope.MESSAGES_READ}, of=tenant)
    for _ in range(3):
        assert (await reader.call("POST", "/keys", json={"name": "More"})).status_code == 403
        assert (await reader.call("GET", "/keys")).status_code == 403
    (told,) = (await tenant.get("/audit"))["data"]
    assert (told["action"], told["outcome"]) == ("access.scope", "refused")
    assert told["details"] == {"operation": "POST /api/workspaces/{workspaceId}/keys"}


async def test_nobody_changes_what_is_written(tenant: Tenant, database: Database) -> None:
    await tenant.post("/keys", {"name": "Shop"})
    with pytest.raises(DBAPIError, match="never changed"):
        async with database.write() as connection:
            await connection.execute(update(audit_entries).values(action="key.revoke"))
    assert (await tenant.get("/audit"))["data"][0]["action"] == "key.create"


async def test_what_is_old_is_forgotten_some_at_a_time(database: Database) -> None:
    ages = ((500, "key"), (401, "key"), (399, "key"), (31, "nobody"), (29, "nobody"), (30.5, "command"))
    async with database.write() as connection:
        now = await clock.read(connection)
        for days, actor in ages:
            await connection.execute(
                audit_entries.insert().values(
                    id=ids.since(now - int(days * DAY_MS)),
                    workspace_id=new_id() if actor == "key" else None,
                    at=now,
                    actor_kind=actor,
                    action="session.sign-in",
                    ending="refused",
                    details={},
                )
            )
        removed = [await audit.forget(connection, 400 * DAY_MS, 1) for _ in range(3)]
        left = await connection.scalars(select(audit_entries.c.actor_kind).order_by(audit_entries.c.id))
    assert removed == [1, 1, 0]
    assert left.all() == ["key", "command", "nobody"]
