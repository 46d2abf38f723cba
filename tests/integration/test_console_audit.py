"""The console's audit log, and the sandbox in the console: who may see what, and that it is what the API tells."""

import re

import pytest

from api_shim.console import audit_words
from models import ids
from models.audit import Action
from models.ids import Kind
from models.sandboxes import sandbox_of
from models.vocabulary import Role
from tests.support.api import Api, Tenant
from tests.support.consoles import EMAIL, Desk, desk, links, words
from tests.support.html_seen import Seen
from tests.support.people import person

KIM = "kim@example.org"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what differs between databases is tested below the pages."""
    return sqlite_url


def below(workspace: str, path: str = "") -> str:
    return f"/{workspace}{path}"


def entries(page: str) -> int:
    """How many a page lists."""
    return len(re.findall(r"<tr>", page)) - 1 if "<tbody>" in page else 0


def sandbox(tenant: Tenant) -> str:
    """The shown id of a tenant's sandbox."""
    found = ids.parse(Kind.WORKSPACE, tenant.workspace)
    assert found is not None
    return ids.show(Kind.WORKSPACE, sandbox_of(found))


def test_every_action_has_words_of_its_own() -> None:
    assert set(audit_words.ACTIONS) == set(Action)
    assert len(set(audit_words.ACTIONS.values())) == len(Action)
    assert audit_words.told({"role": "admin", "scopes": ["contacts", "hooks"], "retried": 3}) == (
        "role admin; scopes contacts, hooks; retried 3"
    )


async def test_it_tells_who_did_what(api: Api, robin: Desk, tenant: Tenant) -> None:
    other = await api.tenant()
    await other.post("/campaigns", {"name": "Of others"})
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    assert (await robin.submit(below(tenant.workspace, "/keys/add"), name="Shop", contacts="yes")).status_code == 201
    assert (await robin.submit(below(tenant.workspace, f"/campaigns/{campaign}/pause"))).status_code == 303
    path = below(tenant.workspace, "/audit")
    page = await robin.page(path)
    said = words(page)
    whole = await tenant.get("/audit", limit=200)
    assert entries(page) == whole["pagination"]["total"]
    assert f"Pause a campaign {campaign}" in said
    assert "Make a key" in said
    assert "scopes contacts" in said
    assert all(each in said for each in (EMAIL, "The command line", "test"))
    assert f"/console{below(tenant.workspace)}/campaigns/{campaign}" in links(page)
    by_robin = whole["data"][0]["actor"]
    request = whole["data"][0]["requestId"]
    today = whole["data"][0]["at"][:10]
    for query, wanted in (
        (f"actor={by_robin}", 3),  # signed in, too
        ("actor=command", 1),
        ("actor=nobody", 0),
        ("actor=usr_1", 0),
        ("action=key.create&outcome=done", 1),
        ("outcome=refused", 0),
        (f"object={campaign}", 2),
        (f"request={request}", 1),
        (f"since={today}", entries(page)),
        (f"until={today}", entries(page)),
        ("since=2099-01-01", 0),
        ("until=2020-01-01", 0),
        ("actor=&action=&outcome=&object=&since=&until=", entries(page)),
    ):
        found = await robin.page(f"{path}?{query}")
        assert entries(found) == wanted, query
        assert ("No entry is like that." in words(found)) == (wanted == 0)
    for wrong in ("action=explode", "outcome=lost", "since=yesterday", "until=%22%3E", "before=x"):
        await robin.page(f"{path}?{wrong}", 400)


async def test_it_is_paged(robin: Desk, tenant: Tenant) -> None:
    for number in range(55):
        await tenant.post("/journeys", {"name": f"Journey {number}"})
    path = below(tenant.workspace, "/audit?action=journey.create")
    first = await robin.page(path)
    (older,) = [each for each in links(first) if "page=" in each]
    second = await robin.page(below(tenant.workspace, f"/audit{older}"))
    assert (entries(first), entries(second)) == (50, 5)
    (newer,) = [each for each in links(second) if "page=" in each]
    assert entries(await robin.page(below(tenant.workspace, f"/audit{newer}"))) == 50
    assert entries(await robin.page(f"{path}&page=-1")) == 50
    beyond = await robin.page(f"{path}&page=9")
    assert "No entry is like that." in words(beyond)
    assert [each for each in links(beyond) if each.endswith("page=2")]


async def test_it_is_for_admins(api: Api, tenant: Tenant, database_url: str) -> None:
    await person(database_url, tenant.workspace, KIM, Role.MEMBER)
    async with desk(api.url) as kim:
        assert (await kim.sign_in(KIM)).status_code == 303
        await kim.page(below(tenant.workspace, "/audit"), 403)
        offered = links(await kim.page(below(tenant.workspace)))
        assert not [each for each in offered if each.endswith("/audit")]


async def test_a_test_key_leads_to_the_sandbox(api: Api, robin: Desk, tenant: Tenant) -> None:
    own, beside = tenant.workspace, sandbox(tenant)
    await robin.page(below(beside), 404)
    before = await robin.page(below(own, "/keys"))
    assert "made with the first such key" in words(before)
    assert f"/console{below(own)}/keys/add?test=yes" in links(before)
    form = Seen.of(await robin.page(below(own, "/keys/add?test=yes"))).tags
    assert [
        given["value"] for tag, given in form if tag == "input" and "checked" in given and "radio" in given["type"]
    ] == ["yes"]
    made = await robin.submit(
        below(own, "/keys/add"), name="CI", test="yes", contacts="yes", **{"messages:write": "yes"}
    )
    token = re.search(r"wr_test_[\w-]+", made.text)
    assert token is not None
    assert f"/console{below(beside)}/messages" in links(made.text)

    tester = Tenant(api.url, own, token[0])
    sent = (await tester.send(await tester.contact(email="bounced@sandbox.invalid"), subject="Is it a test?"))["id"]
    await tester.root.aclose()
    listed = words(await robin.page(below(beside, "/messages")))
    assert ("Is it a test?" in listed, "Sandbox." in listed) == (True, True)
    await robin.page(below(beside, f"/messages/{sent}"))
    await robin.page(below(own, f"/messages/{sent}"), 404)
    assert "Is it a test?" not in words(await robin.page(below(own, "/messages")))
    overview = await robin.page(below(own))
    assert f"/console{below(beside)}" in links(overview)
    assert "Sandbox." not in words(overview)


async def test_keys_of_the_sandbox_are_listed_on_both_sides(robin: Desk, tenant: Tenant) -> None:
    own, beside = tenant.workspace, sandbox(tenant)
    key = (await tenant.post("/keys", {"name": "CI", "test": True}))["id"]
    for workspace in (own, beside):
        listed = await robin.page(below(workspace, "/keys"))
        assert f"/console{below(workspace)}/keys/{key}" in links(listed)
    in_sandbox = links(await robin.page(below(beside, "/keys")))
    assert len([each for each in in_sandbox if "/keys/key_" in each]) == 1  # the live ones are none of its business
    assert f"/console{below(beside)}/messages" in links(await robin.page(below(own, f"/keys/{key}")))
    made = await robin.submit(below(beside, "/keys/add"), name="Another", contacts="yes")
    assert "wr_test_" in made.text
    assert (await robin.submit(below(own, f"/keys/{key}/revoke"))).status_code == 303


async def test_a_sandbox_has_no_people_of_its_own(api: Api, robin: Desk, tenant: Tenant) -> None:
    own, beside = tenant.workspace, sandbox(tenant)
    await tenant.post("/keys", {"name": "CI", "test": True})
    shown = await robin.page(below(beside))
    assert not [each for each in links(shown) if each.endswith("/users")]
    assert f"/console{below(own)}" in links(shown)
    for path in ("/users", "/users/add"):
        led = await robin.get(f"/console{below(beside, path)}")
        assert (led.status_code, led.headers["location"]) == (303, f"/console{below(own, path)}")
    other = await api.tenant()
    await other.post("/keys", {"name": "CI", "test": True})
    await robin.page(below(sandbox(other)), 404)
