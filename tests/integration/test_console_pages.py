"""The console's pages of what a workspace has: who may see and do what, and that it is done as the API does it."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import update

from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.store import status_events as status_event_store
from models.tables import api_keys, failing_endpoints, messages, status_events, subscriptions
from models.vocabulary import Role, State
from tests.support.api import Api, Tenant
from tests.support.consoles import EMAIL, Desk, desk, links, words
from tests.support.html_seen import Seen
from tests.support.people import PASSWORD, person

KIM = "kim@example.org"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what differs between databases is tested below the pages."""
    return sqlite_url


def below(tenant: Tenant, path: str = "") -> str:
    return f"/{tenant.workspace}{path}"


def rows(page: str, tenant: Tenant, path: str) -> list[str]:
    """The ids of a list, in its order."""
    start = f"/console{below(tenant, path)}/"
    return [each.removeprefix(start) for each in links(page) if re.fullmatch(rf"{start}\w+_\w{{26}}", each)]


async def things(tenant: Tenant) -> dict[str, str]:
    """One of each: the paths of their pages by the paths of their lists."""
    suppression = {"channel": "EMAIL", "address": "cay@example.org"}
    made = {
        "/campaigns": await tenant.post("/campaigns", {"name": "Spring"}),
        "/templates": await tenant.post("/templates", {"name": "Welcome", "body": "Hello"}),
        "/suppressions": await tenant.post("/suppressions", suppression),
        "/endpoints": await tenant.post("/subscriptions", {"url": "https://example.org/hook"}),
        "/keys": await tenant.post("/keys", {"name": "Shop"}),
        "/users": await tenant.post("/users", {"email": f"{tenant.workspace}@example.org", "password": PASSWORD}),
    }
    return {path: f"{path}/{each['id']}" for path, each in made.items()}


_COMMANDS = {
    "/campaigns": ("pause", "resume", "cancel"),
    "/endpoints": ("pause", "resume"),
    "/keys": ("revoke",),
    "/users": ("admin", "member", "password", "remove"),
}


async def test_what_is_of_others_is_not_there(api: Api, robin: Desk, tenant: Tenant) -> None:
    other = await api.tenant()
    theirs, own = await things(other), await things(tenant)
    for path, one in theirs.items():
        assert one.rpartition("/")[2] not in await robin.page(below(tenant, path))
        strange = [
            await robin.page(below(tenant, each), 404) for each in (one, f"{path}/{ids.new_id()}", f"{path}/x_1")
        ]
        assert len(set(strange)) == 1, path
        for command in (*_COMMANDS.get(path, ()), "explode"):
            await robin.page(below(tenant, f"{one}/{command}"), 404)
        await robin.page(f"/{other.workspace}{one}", 404)
        await robin.page(below(tenant, own[path]))
    framed = await robin.get(f"/console{below(tenant, theirs['/templates'])}/preview")
    assert framed.status_code == 404


async def test_what_changes_something_needs_the_form_of_this_session(robin: Desk, tenant: Tenant) -> None:
    own = await things(tenant)
    paths = [f"{own[path]}/{command}" for path, commands in _COMMANDS.items() for command in commands]
    paths += [own["/suppressions"], "/suppressions/add", "/keys/add", "/users/add"]
    for path in paths:
        for form in ({}, {"csrf": "x"}):
            answer = await robin.post(f"/console{below(tenant, path)}", data=form)
            assert (answer.status_code, "older than your session" in answer.text) == (403, True), path
    assert (await tenant.get(own["/campaigns"]))["state"] == "running"
    assert (await tenant.get(own["/keys"]))["revokedAt"] is None
    assert (await tenant.get("/suppressions"))["pagination"]["total"] == 1


async def test_a_member_sees_and_does_the_daily_work_alone(api: Api, tenant: Tenant, database_url: str) -> None:
    own = await things(tenant)
    await person(database_url, tenant.workspace, KIM, Role.MEMBER)
    async with desk(api.url) as kim:
        assert (await kim.sign_in(KIM)).status_code == 303
        offered = {each.removeprefix(f"/console{below(tenant)}") for each in links(await kim.page(below(tenant)))}
        assert {"/campaigns", "/suppressions", "/endpoints"} <= offered
        assert not {"/templates", "/keys", "/users"} & offered
        campaign = await kim.page(below(tenant, own["/campaigns"]))
        assert not [each for each in links(campaign) if each.endswith(("/pause", "/cancel"))]
        closed = ["/templates", "/keys", "/users", "/keys/add", "/users/add"]
        closed += [own["/templates"], own["/keys"], own["/users"], f"{own['/campaigns']}/pause"]
        for path in closed:
            await kim.page(below(tenant, path), 403)
        csrf = re.search(r'name="csrf" value="([^"]+)"', campaign)
        assert csrf is not None
        tried = [
            await kim.post(f"/console{below(tenant, path)}", data={"csrf": csrf[1], "name": "x", "email": KIM})
            for path in (f"{own['/campaigns']}/pause", f"{own['/keys']}/revoke", "/keys/add", "/users/add")
        ]
        assert {each.status_code for each in tried} == {403}
        assert (await kim.submit(below(tenant, f"{own['/endpoints']}/pause"))).status_code == 303
        assert (await kim.submit(below(tenant, own["/suppressions"]))).status_code == 200
    assert (await tenant.get(own["/campaigns"]))["state"] == "running"


async def test_empty_lists_say_what_would_fill_them(robin: Desk, tenant: Tenant) -> None:
    for path, said in (
        ("/campaigns", "No campaign yet."),
        ("/templates", "No template yet."),
        ("/suppressions", "Every address may be written to"),
        ("/endpoints", "No endpoint yet."),
    ):
        assert said in words(await robin.page(below(tenant, path))), path
    assert "nothing more" in words(await robin.page(below(tenant, f"/keys?before={ids.show(Kind.KEY, ids.since(1))}")))
    await robin.page(below(tenant, "/campaigns?page=2"), 400)


async def test_lists_are_paged_and_no_page_moves(robin: Desk, tenant: Tenant) -> None:
    made = [(await tenant.post("/campaigns", {"name": f"Campaign {number}"}))["id"] for number in range(52)]
    first = await robin.page(below(tenant, "/campaigns"))
    assert rows(first, tenant, "/campaigns") == made[:1:-1]
    (older,) = [each for each in links(first) if each.startswith("?before=")]
    made.append((await tenant.post("/campaigns", {"name": "Late"}))["id"])
    second = await robin.page(below(tenant, f"/campaigns{older}"))
    assert rows(second, tenant, "/campaigns") == made[1::-1]
    (newer,) = [each for each in links(second) if each.startswith("?after=")]
    assert rows(await robin.page(below(tenant, f"/campaigns{newer}")), tenant, "/campaigns") == made[51:1:-1]


async def test_a_campaign_is_drawn_paused_resumed_and_cancelled(
    robin: Desk, tenant: Tenant, database: Database
) -> None:
    made = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    path = below(tenant, f"/campaigns/{made}")
    empty = below(tenant, f"/campaigns/{(await tenant.post('/campaigns', {'name': 'Idle'}))['id']}")
    said = words(await robin.page(empty))
    assert ("No message of it yet." in said, "0 of 0" in said) == (True, False)
    contact = await tenant.contact()
    facts: list[dict[str, Any]] = [
        {},
        {"sent_at": 1},
        {"sent_at": 1, "machine_opened_at": 1},
        {"clicked_at": 1},
        {"state": State.FAILED, "failure_reason": "policy"},
    ]
    for each in facts:
        sent = ids.parse(Kind.MESSAGE, (await tenant.send(contact, campaignId=made))["id"])
        over = {"turn": None, "ended_at": now_ms()}
        values = over | ({"state": State.DONE} if each else {}) | each if each else {}
        if values:
            async with database.write() as connection:
                await connection.execute(update(messages).where(messages.c.id == sent).values(**values))
    page = await robin.page(path)
    (drawn,) = [given["aria-label"] for tag, given in Seen.of(page).tags if tag == "svg"]
    assert drawn == (
        "Accepted 5; Sent 3, 60.0% of the accepted; Delivered 1, 33.3% of the sent; "
        "Opened by people 1, 33.3% of the reached; Opened by programs 1, 33.3% of the reached; "
        "Clicked by people 1, 33.3% of the reached; Clicked by programs 0, 0.0% of the reached"
    )
    assert "Failed 1 25.0% of what ended" in words(page)
    for command, state, said in (
        ("pause", "paused", "It is paused."),
        ("resume", "running", "It runs again."),
        ("cancel", "cancelled", "It was cancelled."),
    ):
        assert f"/console{path}/{command}" in links(await robin.page(path))
        done = await robin.submit(f"{path}/{command}")
        assert (done.status_code, done.headers["location"]) == (303, f"/console{path}")
        assert (await tenant.get(f"/campaigns/{made}"))["state"] == state
        assert said in words(await robin.page(path))
    again = await robin.submit(f"{path}/resume")
    assert (again.status_code, "for good" in words(again.text)) == (409, True)
    await robin.submit(f"{empty}/cancel")
    said = words(await robin.page(empty))
    assert ("No message was made of it." in said, "campaignId" in said, "0 of 0" in said) == (True, False, False)


async def test_suppressions_are_found_and_added(robin: Desk, tenant: Tenant) -> None:
    for channel, address, more in (
        ("EMAIL", "ann@example.org", {"reason": "complained"}),
        ("EMAIL", "ben@example.org", {"topic": "news"}),
        ("WEBHOOK", "https://example.net/hook?token=secret", {"reason": "endpoint_gone"}),
    ):
        await tenant.post("/suppressions", {"channel": channel, "address": address, **more})
    page = await robin.page(below(tenant, "/suppressions"))
    said = words(page)
    assert ("a•••@example.org" in said, "example.net/•••" in said) == (True, True)
    assert not any(hidden in page for hidden in ("ann@example.org", "secret"))
    whole = rows(page, tenant, "/suppressions")
    for query, wanted in (
        ("channel=WEBHOOK", whole[:1]),
        ("reason=complained", whole[2:]),
        ("scope=opt_out", whole[1:2]),
        ("address=ANN@example.org", whole[2:]),
        ("address=ann@Example.org&channel=EMAIL", whole[2:]),
        ("channel=PUSH", []),
        ("channel=&reason=&scope=&address=", whole),
    ):
        found = await robin.page(below(tenant, f"/suppressions?{query}"))
        assert rows(found, tenant, "/suppressions") == wanted, query
    await robin.page(below(tenant, "/suppressions?scope=all"), 400)
    form = below(tenant, "/suppressions/add")
    wrong = await robin.submit(form, channel="EMAIL", address="nobody", kind="dead", note='"><b>')
    assert (wrong.status_code, "needs an @" in words(wrong.text)) == (400, True)
    kept = {given["name"]: given.get("value") for tag, given in Seen.of(wrong.text).tags if tag == "input"}
    assert (kept["address"], kept["note"]) == ("nobody", '"><b>')
    fields = {"channel": "EMAIL", "address": "cay@example.org", "kind": "opt_out", "topic": "", "note": "by phone"}
    made = await robin.submit(form, **fields, expiresAt="2099-01-31")
    assert made.status_code == 303
    shown = words(await robin.page(made.headers["location"].removeprefix("/console")))
    assert all(each in shown for each in ("c•••@example.org", "by phone", "2099-01-31 23:59:59", "not written to"))


async def test_a_release_sends_again_what_failed_because_of_it(robin: Desk, tenant: Tenant, database: Database) -> None:
    sent = (await tenant.send(await tenant.contact()))["id"]
    suppression = (await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"}))["id"]
    over = {"state": State.FAILED, "failure_reason": "suppressed", "turn": None, "ended_at": now_ms()}
    async with database.write() as connection:
        of_it = messages.c.id == ids.parse(Kind.MESSAGE, sent)
        await connection.execute(update(messages).where(of_it).values(**over))
    path = below(tenant, f"/suppressions/{suppression}")
    refused = await robin.submit(path, note="x" * 201)
    assert (refused.status_code, (await tenant.get("/suppressions"))["pagination"]["total"]) == (400, 1)
    done = await robin.submit(path, note="they wrote", resend="yes")
    said = "a•••@example.org 1 that failed because of it is being sent again."
    assert (done.status_code, said in words(done.text)) == (200, True)
    assert (await tenant.get(f"/messages/{sent}"))["status"] == "QUEUED"
    (released,) = (await tenant.get("/suppressions/releases"))["data"]
    assert (released["note"], released["releasedBy"][:4]) == ("they wrote", "usr_")
    await robin.page(path, 404)
    other = (await tenant.post("/suppressions", {"channel": "EMAIL", "address": "cay@example.org"}))["id"]
    page = below(tenant, f"/suppressions/{other}")
    on = re.search('name="csrf" value="([^"]+)"', await robin.page(page))
    assert on is not None
    assert "c•••@example.org None that failed because of it is sent again." in words(
        (await robin.submit(page, resend="yes")).text
    )
    further = await robin.post(f"/console{page}", data={"csrf": on[1], "resend": "yes", "after": sent})
    assert "No more of those that failed because of it are sent again." in words(further.text)


async def welcome(tenant: Tenant) -> str:
    """The console's path of a template with two versions, and with texts of their own for Telegram."""
    mail = '<p style="color: red">Hello {{firstName}}</p><script>alert(1)</script>'
    parts = {"TELEGRAM": {"*": {"body": "Hi {{firstName}}"}, "de": {"body": "Hallo {{firstName}}"}}}
    given = {"name": "Welcome", "subject": "For {{firstName}}", "body": mail, "parts": parts}
    made = (await tenant.post("/templates", given))["id"]
    await tenant.call("PATCH", f"/templates/{made}", json={"subject": "Now for {{firstName}}"})
    return below(tenant, f"/templates/{made}")


async def test_a_mail_is_shown_in_a_frame_in_which_nothing_runs(robin: Desk, tenant: Tenant) -> None:
    path = await welcome(tenant)
    page = await robin.page(path)
    assert "Now for firstName" in words(page)
    assert "Hello firstName" not in page
    (frame,) = [given for tag, given in Seen.of(page).tags if tag == "iframe"]
    assert (frame["sandbox"], frame["src"].startswith(f"/console{path}/preview?")) == ("", True)
    query = dict(parse_qsl(urlsplit(frame["src"]).query))
    assert query == {"version": "2", "sample": '{\n  "firstName": "firstName"\n}'}
    shown = await robin.get(frame["src"])
    policy = shown.headers["content-security-policy"]
    assert ("<p style=" in shown.text, "Hello firstName" in shown.text) == (True, True)
    assert (policy.startswith("sandbox; default-src 'none'"), "script-src" in policy) == (True, False)
    assert (shown.headers["x-frame-options"], shown.headers["cache-control"]) == ("SAMEORIGIN", "no-store")
    assert "frame-src 'self'" in (await robin.get(f"/console{path}")).headers["content-security-policy"]
    assert "frame-src" not in (await robin.get(f"/console{below(tenant)}")).headers["content-security-policy"]
    telegram = await robin.get(f"/console{path}/preview", params={"channel": "TELEGRAM"})
    assert telegram.status_code == 404


async def test_a_template_is_shown_for_whom_and_as_it_was(robin: Desk, tenant: Tenant) -> None:
    path = await welcome(tenant)
    assert "2 Welcome" in words(await robin.page(below(tenant, "/templates")))

    async def said(**query: str) -> str:
        answer = await robin.get(f"/console{path}", params=query)
        return f"{answer.status_code} {words(answer.text)}"

    ann = '{"firstName": "Ann"}'
    assert "For Ann" in await said(version="1", sample=ann)
    assert "Hallo Ann" in await said(channel="TELEGRAM", locale="de", sample=ann)
    assert "Hi Ann" in await said(channel="TELEGRAM", locale="fr", sample=ann)
    whole = await said()
    assert [whole.count(each) for each in ("Any other channel", "ny other language")] == [2, 3]
    assert "Hi Bea" in await said(channel="TELEGRAM", contact=await tenant.contact(firstName="Bea"))
    assert "firstName has no value" in await said(sample="{}")
    for wrong in ("[1]", "{", "x" * 4_001):
        shown = await said(sample=wrong)
        assert (shown[:3], "Sample values : " in shown) == ("400", True)
    assert (await said(version="9"))[:3] == "404"
    assert (await said(contact="ct_1"))[:3] == "404"
    await tenant.call("DELETE", path.partition("/templates")[1] + path.partition("/templates")[2])
    await robin.page(path, 404)


_SECRET = "https://example.org/hooks?secret=x"


async def test_endpoints_tell_what_they_were_told(robin: Desk, tenant: Tenant, database: Database) -> None:
    made = (await tenant.post("/subscriptions", {"url": _SECRET}))["id"]
    path = below(tenant, f"/endpoints/{made}")
    assert "New" in words(await robin.page(path))
    contact = await tenant.contact()
    sent = [ids.parse(Kind.MESSAGE, (await tenant.send(contact))["id"]) for _ in range(3)]
    tried = [{"startedAt": 1, "endedAt": 2, "outcome": "transient", "code": "503", "detail": "come <b>later"}]
    async with database.write() as connection:
        done = {"state": State.DONE, "sent_at": now_ms(), "turn": None, "ended_at": now_ms()}
        await connection.execute(update(messages).where(messages.c.id.in_(sent)).values(**done))
        of_first, of_second = (update(status_events).where(status_events.c.message_id == each) for each in sent[:2])
        await connection.execute(of_first.values(state="delivered", ended_at=1_700_000_000_000))
        await connection.execute(of_second.values(attempts=tried))
    page = words(await robin.page(below(tenant, "/endpoints")))
    assert ("Works" in page, "example.org/•••" in page, "2023-11-14 22:13:20" in page) == (True, True, True)
    assert "secret" not in page
    one = words(await robin.page(path))
    assert "1 delivered, 2 waiting, 0 given up" in one
    assert "503 come <b>later" in one
    assert (one.count("the next"), one.count("Waiting Sent")) == (2, 2)
    assert one.count("Recorded 20") == 3
    assert (await robin.page(f"{path}?state=delivered")).count("<tr>") == 2
    assert "State : must be one of Waiting, Delivered, Given up." in words(await robin.page(f"{path}?state=lost", 400))
    await robin.submit(f"{path}/pause")
    assert "the next" not in words(await robin.page(path))


async def test_endpoints_tell_how_they_fare(robin: Desk, tenant: Tenant, database: Database) -> None:
    made = (await tenant.post("/subscriptions", {"url": _SECRET}))["id"]
    path = below(tenant, f"/endpoints/{made}")
    await _fails(database, tenant, made)
    page = words(await robin.page(below(tenant, "/endpoints")))
    assert "Failed 7 times since 2023-11-14" in page
    assert "1 failed when last used" in page
    assert "last failure 2023-11-14" in page
    for command, state in (("pause", "Paused"), ("resume", "Failing")):
        assert (await robin.submit(f"{path}/{command}")).status_code == 303
        assert state in words(await robin.page(path))
    async with database.write() as connection:
        off = {"disabled_at": now_ms(), "disabled_reason": "endpoint_gone"}
        await connection.execute(update(subscriptions).values(**off))
    assert "switched off" in words(await robin.page(path))
    assert (await robin.submit(f"{path}/resume")).status_code == 303
    assert (await tenant.get(f"/subscriptions/{made}"))["disabledAt"] is None


async def _fails(database: Database, tenant: Tenant, subscription: str) -> None:
    workspace, own = ids.parse(Kind.WORKSPACE, tenant.workspace), ids.parse(Kind.SUBSCRIPTION, subscription)
    assert workspace is not None
    assert own is not None
    digests = (status_event_store.endpoint_key(workspace, own, _SECRET)[1], bytes(16))
    at = {"first_failed_at": 1_700_000_000_000, "last_failed_at": 1_700_000_900_000, "failures": 7}
    async with database.write() as connection:
        for digest in digests:
            row = {"workspace_id": workspace, "address_digest": digest, **at}
            await connection.execute(failing_endpoints.insert().values(**row))


async def test_a_key_is_made_shown_once_and_revoked(api: Api, robin: Desk, tenant: Tenant, database: Database) -> None:
    form = below(tenant, "/keys/add")
    fields = {"name": "Shop", "messages:read": "yes", "contacts": "yes", "expiresAt": "2099-01-31"}
    made = await robin.submit(form, **fields)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    token = re.search(r"wr_live_[\w-]+", made.text)
    assert token is not None
    listed = await robin.page(below(tenant, "/keys"))
    assert token[0] not in listed
    newest = rows(listed, tenant, "/keys")[0]
    path = below(tenant, f"/keys/{newest}")
    one = await robin.page(path)
    assert (token[0] in one, "What becomes of its messages They are sent" in words(one)) == (False, True)
    shown = await tenant.get(f"/keys/{newest}")
    assert (shown["name"], shown["scopes"]) == ("Shop", ["contacts", "messages:read"])
    assert shown["expiresAt"] == "2099-01-31T23:59:59.000Z"
    headers = {"Authorization": f"Bearer {token[0]}"}
    contacts = f"/api/workspaces/{tenant.workspace}/contacts"
    async with desk(api.url) as program:
        assert (await program.get(contacts, headers=headers)).status_code == 200
        assert (await robin.submit(f"{path}/revoke")).headers["location"] == f"/console{path}"
        assert (await program.get(contacts, headers=headers)).status_code == 401
    assert "It was revoked." in words(await robin.page(path))
    assert (await robin.submit(f"{path}/revoke")).status_code == 404
    for wrong in ({"name": "No scope"}, {"name": "", "contacts": "yes"}, {**fields, "expiresAt": "2001-01-01"}):
        answer = await robin.submit(form, **wrong)
        assert (answer.status_code, 'role="alert"' in answer.text) == (400, True), wrong
    async with database.write() as connection:
        await connection.execute(update(api_keys).values(expires_at=1, revoked_at=None))
    assert "Expired" in words(await robin.page(path))


async def test_people_are_let_in_changed_and_taken_out(api: Api, robin: Desk, tenant: Tenant) -> None:
    form = below(tenant, "/users/add")
    made = await robin.submit(form, email=KIM, role="member")
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    first = _password(made.text)
    (own,) = [each["id"] for each in (await tenant.get("/users"))["data"] if each["email"] == EMAIL]
    (user,) = [each for each in rows(await robin.page(below(tenant, "/users")), tenant, "/users") if each != own]
    path = below(tenant, f"/users/{user}")
    async with desk(api.url) as kim:
        assert (await kim.sign_in(KIM, first)).status_code == 303
        await kim.page(below(tenant, "/users"), 403)
        assert (await robin.submit(f"{path}/admin")).status_code == 303
        assert "They are an admin now." in words(await robin.page(path))
        await kim.page(below(tenant, "/users"))
        assert (await robin.submit(f"{path}/member")).status_code == 303
        second = _password((await robin.submit(f"{path}/password")).text)
        assert (await kim.sign_in(KIM, first)).status_code == 401
        assert (await kim.sign_in(KIM, second)).status_code == 303
        removed = await robin.submit(f"{path}/remove")
        assert removed.headers["location"] == f"/console{below(tenant, '/users')}"
        assert "They were removed" in words(await robin.page(below(tenant, "/users")))
        await robin.page(path, 404)
        assert (await kim.sign_in(KIM, second)).status_code == 401
    taken = await robin.submit(form, email=EMAIL)
    assert (taken.status_code, "has an account" in words(taken.text)) == (409, True)
    wrong = await robin.submit(form, email="nobody")
    assert (wrong.status_code, "needs an @" in words(wrong.text)) == (400, True)
    oneself = await robin.page(below(tenant, f"/users/{own}"))
    assert not [each for each in links(oneself) if each.endswith(("/remove", "/member"))]
    stays = await robin.submit(below(tenant, f"/users/{own}/remove"))
    assert (stays.status_code, "yourself" in words(stays.text)) == (409, True)


def _password(page: str) -> str:
    found = re.search(r'class="secret"><code>([^<]+)</code>', page)
    assert found is not None
    return found[1]
