"""Test keys over HTTP: a sandbox at its workspace's own address, with nothing in common."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models import ids
from models.ids import Kind
from models.sandboxes import sandbox_of
from tests.support.api import Api, Tenant
from tests.support.people import PASSWORD, browser, person


@pytest.fixture
async def tester(api: Api, tenant: Tenant) -> AsyncIterator[Tenant]:
    """A client with a test key of the tenant's workspace."""
    made = await tenant.post("/keys", {"name": "ci", "test": True})
    client = Tenant(api.url, tenant.workspace, made["token"])
    yield client
    await client.root.aclose()


def sandbox(tenant: Tenant) -> str:
    """The shown id of a tenant's sandbox."""
    found = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert found is not None
    return ids.show(Kind.WORKSPACE, sandbox_of(found))


async def messages(tenant: Tenant, **query: str) -> list[Any]:
    page = await tenant.get("/messages", **query)
    assert page["pagination"]["total"] == len(page["data"])
    return [each["id"] for each in page["data"]]


async def test_a_test_key_finds_nothing_live_and_a_live_one_nothing_of_the_sandbox(
    tenant: Tenant, tester: Tenant
) -> None:
    contacts = {each: await each.contact() for each in (tenant, tester)}
    sent = {each: await each.send(contacts[each]) for each in (tenant, tester)}
    assert (sent[tenant]["test"], sent[tester]["test"]) == (False, True)
    for one, other in ((tenant, tester), (tester, tenant)):
        assert await messages(one) == [sent[one]["id"]]
        found = await one.get(f"/messages/{sent[one]['id']}")
        assert found["test"] is sent[one]["test"]
        paths = [f"/messages/{sent[other]['id']}", f"/contacts/{contacts[other]}"]
        assert [(await one.call("GET", path)).status_code for path in paths] == [404, 404]
        for command in ("cancel", "retry", "release", "fail"):
            assert (await one.call("POST", f"/messages/{sent[other]['id']}/{command}")).status_code == 404
        body = {"contactId": contacts[other], "channel": "EMAIL", "body": "Hello"}
        assert (await one.call("POST", "/messages", json=body)).status_code == 404
        second = (await one.root.get("/messages")).json()["items"]
        assert [each["id"].removeprefix("mesg_") for each in second] == [sent[one]["id"].removeprefix("msg_")]


async def test_an_idempotency_key_is_each_sides_own(tenant: Tenant, tester: Tenant) -> None:
    made = []
    for one in (tenant, tester):
        body = {"contactId": await one.contact(), "channel": "EMAIL", "body": "Hello"}
        answers = [
            await one.call("POST", "/messages", json=body, headers={"Idempotency-Key": "order-7"}) for _ in range(2)
        ]
        assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]
        made.append({answer.json()["id"] for answer in answers})
    assert [len(each) for each in (*made, set.union(*made))] == [1, 1, 2]


async def test_a_sandbox_needs_no_sender_and_refuses_by_address(tenant: Tenant, tester: Tenant) -> None:
    for one, status in ((tenant, 422), (tester, 200)):
        contact = await one.contact(email="opened@sandbox.invalid", telegramChatId="@sandbox_clicked")
        body = {"contactId": contact, "body": "Hello"}
        # TELEGRAM has no sender here, and the contact no browser.
        for channel in ("TELEGRAM", "PUSH"):
            assert (await one.call("POST", "/messages", json=body | {"channel": channel})).status_code == status
    for name, reason in (("suppressed", "suppressed"), ("opted-out", "opted_out")):
        contact = await tester.contact(email=f"{name}@sandbox.invalid")
        for channel in ("EMAIL", "PUSH", "ONSITE"):
            body = {"contactId": contact, "channel": channel, "body": "Hello"}
            answer = await tester.call("POST", "/messages", json=body)
            assert (answer.status_code, answer.json()["failureReason"]) == (422, reason)


async def test_an_essential_message_reaches_who_opted_out(api: Api, tenant: Tenant, tester: Tenant) -> None:
    contact = await tester.contact(email="opted-out@sandbox.invalid")
    body = {"contactId": contact, "channel": "EMAIL", "body": "Hello", "essential": True}
    assert (await tester.call("POST", "/messages", json=body)).status_code == 403  # a key must be given that by name
    asked = {"name": "ci", "test": True, "scopes": ["messages:write", "essential"]}
    allowed = Tenant(api.url, tenant.workspace, (await tenant.post("/keys", asked))["token"])
    assert (await allowed.call("POST", "/messages", json=body)).status_code == 200
    await allowed.root.aclose()


async def test_a_campaign_counts_and_commands_its_own_sides_messages(tenant: Tenant, tester: Tenant) -> None:
    campaigns = {one: (await one.post("/campaigns", {"name": "spring"}))["id"] for one in (tenant, tester)}
    for one in (tenant, tester):
        await one.send(await one.contact(), campaignId=campaigns[one])
    body = {"contactId": await tester.contact(), "channel": "EMAIL", "body": "Hello", "campaignId": campaigns[tenant]}
    assert (await tester.call("POST", "/messages", json=body)).status_code == 422
    for name in ("pause", "cancel"):
        assert (await tester.call("POST", f"/campaigns/{campaigns[tenant]}/{name}")).status_code == 404
    await tester.post(f"/campaigns/{campaigns[tester]}/cancel", None, 200)
    for one in (tenant, tester):
        assert (await one.get(f"/campaigns/{campaigns[one]}/numbers"))["total"] == 1
    assert (await tenant.get(f"/campaigns/{campaigns[tenant]}"))["state"] == "running"


async def test_a_workspace_decides_on_its_test_keys_and_they_on_none_of_its_own(
    api: Api, tenant: Tenant, tester: Tenant
) -> None:
    listed = (await tenant.get("/keys"))["data"]
    assert sorted(each["test"] for each in listed) == [False, True]
    (own,) = (await tester.get("/keys"))["data"]
    assert own["test"] is True
    (live,) = [each["id"] for each in listed if not each["test"]]
    for method in ("GET", "PATCH", "DELETE"):
        assert (await tester.call(method, f"/keys/{live}", json={"name": "x"})).status_code == 404
    for asked in ({}, {"test": True}, {"test": False}):
        made = await tester.post("/keys", {"name": "more"} | asked)
        assert (made["test"], made["token"].startswith("wr_test_")) == (True, True)
    assert (await tenant.call("PATCH", f"/keys/{own['id']}", json={"name": "tests"})).json()["name"] == "tests"
    assert (await tenant.call("DELETE", f"/keys/{own['id']}")).status_code == 204
    assert (await tester.call("GET", "/keys")).status_code == 401
    other = await api.tenant()
    stranger = Tenant(api.url, tenant.workspace, (await other.post("/keys", {"name": "ci", "test": True}))["token"])
    assert (await stranger.call("GET", "/messages")).status_code == 404
    await stranger.root.aclose()


async def test_people_see_the_sandbox_of_their_workspace(
    api: Api, tenant: Tenant, tester: Tenant, database_url: str
) -> None:
    sent = await tester.send(await tester.contact())
    strange, untested = await api.tenant(), await api.tenant()
    await strange.post("/keys", {"name": "ci", "test": True})
    await person(database_url, tenant.workspace)
    async with browser(api.url) as opened:
        await opened.sign_in("robin@example.org")
        own, others, live = [
            await opened.get(f"/api/workspaces/{workspace}/messages")
            for workspace in (sandbox(tenant), sandbox(strange), tenant.workspace)
        ]
        await person(database_url, untested.workspace, "sam@example.org")
        await opened.sign_in("sam@example.org")
        none = await opened.get(f"/api/workspaces/{sandbox(untested)}/messages")
    assert [each["id"] for each in own.json()["data"]] == [sent["id"]]
    assert (others.status_code, live.json()["data"], none.status_code) == (404, [], 404)


async def test_nobody_gets_an_account_by_a_test_key(
    api: Api, tenant: Tenant, tester: Tenant, database_url: str
) -> None:
    sam = {"email": "sam@example.org", "password": PASSWORD}
    refused = await tester.call("POST", "/users", json=sam)
    assert (refused.status_code, "belongs to its sandbox" in refused.json()["detail"]) == (409, True)
    await person(database_url, tenant.workspace)
    async with browser(api.url) as opened:
        await opened.sign_in("robin@example.org")
        assert (await opened.post(f"/api/workspaces/{sandbox(tenant)}/users", json=sam)).status_code == 409
        assert (await opened.sign_in(sam["email"])).status_code == 401
    assert (await tenant.call("POST", "/users", json=sam)).status_code == 201
