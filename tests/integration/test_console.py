"""The console: who may see what, that nothing in it is taken for markup, and what its pages show and do."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import update

from api_shim.console import rendering
from models import ids
from models.ids import Kind
from models.session import Database, now_ms
from models.store import pauses
from models.tables import subscriptions, workspaces
from models.vocabulary import Channel, Role, Status
from tests.support.api import Api, Tenant
from tests.support.consoles import EMAIL, Desk, desk, links, words
from tests.support.html_seen import Seen
from tests.support.people import person
from wireroom import user_accounts

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}&lt;b&gt;"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: what differs between databases is tested below the pages."""
    return sqlite_url


def below(tenant: Tenant, path: str = "") -> str:
    return f"/{tenant.workspace}{path}"


async def test_who_is_not_signed_in_is_asked_to_and_led_on(api: Api, tenant: Tenant, database_url: str) -> None:
    await person(database_url, tenant.workspace)
    async with desk(api.url) as anybody:
        assert "Sign in" in words(await anybody.page(""))
        wanted = f"{tenant.workspace}/messages?status=FAILED"
        turned = await anybody.get(f"/console/{wanted}")
        assert turned.status_code == 303
        there = urlsplit(turned.headers["location"])
        assert (there.path, parse_qs(there.query)["next"]) == ("/console", [wanted])
        form = await anybody.get(turned.headers["location"])
        ((_, hidden),) = [(tag, given) for tag, given in Seen.of(form.text).tags if given.get("name") == "next"]
        assert hidden["value"] == wanted
        entered = await anybody.sign_in(wanted=wanted)
        assert (entered.status_code, entered.headers["location"]) == (303, f"/console/{wanted}")
        kept = {each.partition("=")[0]: each for each in entered.headers.get_list("set-cookie")}
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(kept["wireroom_session"].split("; "))
        assert (await anybody.get("/console")).headers["location"] == f"/console/{tenant.workspace}"


@pytest.mark.parametrize(
    "wanted",
    [
        *("//evil.example", "https://evil.example", "../docs", "ws_1\r\nX: y", "ws_1\\@evil"),
        # A browser goes up by these, and from a link in a message on to wherever its sender wants.
        *("ws_1/../../t/c/x", "ws_1/%2e%2e/%2E./t/c/x", "ws_1/./messages"),
    ],
)
async def test_signing_in_leads_nowhere_else(api: Api, tenant: Tenant, database_url: str, wanted: str) -> None:
    await person(database_url, tenant.workspace)
    async with desk(api.url) as anybody:
        entered = await anybody.sign_in(wanted=wanted)
        assert (entered.status_code, entered.headers["location"]) == (303, "/console")


async def test_a_refused_sign_in_says_no_more_than_that(api: Api, tenant: Tenant, database_url: str) -> None:
    await person(database_url, tenant.workspace)
    async with desk(api.url) as anybody:
        answers = [await anybody.sign_in(email, "three quiet otters tango") for email in (EMAIL, "no@example.org")]
        assert {each.status_code for each in answers} == {401}
        assert words(answers[0].text) == words(answers[1].text)
        assert "password is wrong" in words(answers[0].text)
        assert not any(
            "wireroom_session" in each for answer in answers for each in answer.headers.get_list("set-cookie")
        )
        hostile = await anybody.sign_in(HOSTILE, "x" * 5000)
        assert hostile.status_code == 401
        assert not any(tag in ("img", "b") for tag, _ in Seen.of(hostile.text).tags)
        from_elsewhere = await anybody.post(
            "/console/sign-in", data={"email": EMAIL}, headers={"Origin": "https://evil.example"}
        )
        assert from_elsewhere.status_code == 403


async def test_pages_are_guarded_and_files_kept(robin: Desk, tenant: Tenant) -> None:
    answer = await robin.get(f"/console{below(tenant)}")
    policy = dict(each.strip().partition(" ")[::2] for each in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["frame-ancestors"]) == ("'self'", "'self'", "'none'")
    assert answer.headers["cache-control"] == "no-store"
    seen = Seen.of(answer.text)
    assert not any("style" in given or any(name.startswith("on") for name in given) for _, given in seen.tags)
    loaded = [given.get("src") or given["href"] for tag, given in seen.tags if tag in ("script", "link")]
    assert len(loaded) == 2
    for each in loaded:
        file = await robin.get(each)
        assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True)
    assert (await robin.get("/console/static/none.css")).status_code == 404
    assert {name.rpartition(".")[2] for name in rendering.files()} == {"css", "js"}


async def test_workspaces_of_others_look_like_none(api: Api, robin: Desk, tenant: Tenant) -> None:
    other = await api.tenant()
    theirs = (await other.send(await other.contact()))["id"]
    unknown = ids.show(Kind.WORKSPACE, ids.new_id())
    strange = [await robin.page(f"/{each}", 404) for each in (other.workspace, unknown, "ws_1")]
    assert len(set(strange)) == 1
    for path in (
        f"/messages/{theirs}",
        f"/messages/{theirs}/cancel",
        "/messages/msg_1",
        "/messages/x/explode",
        "/lane",
    ):
        await robin.page(below(tenant, path), 404)
    assert (await robin.get(f"/console/{other.workspace}/lanes.json")).status_code == 404
    assert theirs not in await robin.page(below(tenant, "/messages"))
    cancelled = await robin.post(f"/console{below(tenant)}/messages/{theirs}/cancel", data={"csrf": ""})
    assert cancelled.status_code == 403
    assert (await other.get(f"/messages/{theirs}"))["status"] == "QUEUED"


async def test_a_key_opens_no_page(tenant: Tenant) -> None:
    assert (await tenant.root.get(f"/console{below(tenant)}")).status_code == 303
    assert (await tenant.root.get(f"/console{below(tenant)}/lanes.json")).status_code == 401


async def test_what_changes_something_needs_the_form_of_this_session(robin: Desk, tenant: Tenant) -> None:
    sent = (await tenant.send(await tenant.contact()))["id"]
    path = f"/console{below(tenant)}/messages/{sent}/cancel"
    refused = [
        await robin.post(path, data={}),
        await robin.post(path, data={"csrf": "x"}),
        await robin.post(path, content=b"\xff", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        await robin.post("/console/sign-out", data={}),
    ]
    assert [each.status_code for each in refused] == [403, 403, 400, 403]
    assert "The page is older than your session" in words(refused[0].text)
    across = await robin.submit(below(tenant, f"/messages/{sent}/cancel"))
    assert across.status_code == 303
    robin.headers["Sec-Fetch-Site"] = "cross-site"
    assert (await robin.submit(below(tenant, f"/messages/{sent}/retry"))).status_code == 403
    assert (await tenant.get(f"/messages/{sent}"))["failureReason"] == "cancelled"


async def test_signing_out_ends_the_session(robin: Desk, tenant: Tenant) -> None:
    token = Seen.of(await robin.page(below(tenant))).tags
    (csrf,) = [given["value"] for _, given in token if given.get("name") == "csrf"]
    kept = dict(robin.cookies)
    out = await robin.post("/console/sign-out", data={"csrf": csrf})
    assert (out.status_code, out.headers["location"]) == (303, "/console")
    robin.cookies.update(kept)
    assert (await robin.get(f"/console{below(tenant)}")).status_code == 303


async def test_several_workspaces_are_offered(
    api: Api, robin: Desk, tenant: Tenant, database: Database, database_url: str
) -> None:
    second = await api.tenant()
    async with database.write() as connection:
        own = workspaces.c.id == ids.parse(Kind.WORKSPACE, second.workspace)
        await connection.execute(update(workspaces).where(own).values(name=HOSTILE))
    await user_accounts.create_or_join(database_url, EMAIL, second.workspace, Role.MEMBER, lambda: "")
    offered = await robin.page("")
    assert {f"/console/{each.workspace}" for each in (tenant, second)} <= set(links(offered))
    for page in (offered, await robin.page(below(second))):
        assert HOSTILE in words(page)
        assert "img" not in {tag for tag, _ in Seen.of(page).tags}


async def test_values_are_text_wherever_they_stand(robin: Desk, tenant: Tenant, database: Database) -> None:
    contact = await tenant.contact(firstName=HOSTILE, lastName="", externalId=HOSTILE)
    campaign = (await tenant.post("/campaigns", {"name": HOSTILE}))["id"]
    sent = await tenant.send(
        contact, subject=HOSTILE.replace("{{7*7}}", ""), campaignId=campaign, topic=HOSTILE, metadata={HOSTILE: HOSTILE}
    )
    async with database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, HOSTILE)
    paths = ["", "/messages", f"/messages?subject={sent['id']}", f"/messages/{sent['id']}", "/lanes"]
    paths += [f"/messages/{sent['id']}/cancel"]
    for path in paths:
        page = await robin.page(below(tenant, path))
        seen = Seen.of(page)
        assert "img" not in {tag for tag, _ in seen.tags}, path
        assert not any(name.startswith("on") for _, given in seen.tags for name in given), path
        scripts = [given for tag, given in seen.tags if tag == "script"]
        assert all(given.get("src", "").startswith("/console/static/") for given in scripts), path
        assert "49" not in seen.words, path
    shown = words(await robin.page(below(tenant, f"/messages/{sent['id']}")))
    assert shown.count("<script>alert(1)</script>") >= 5
    asked = await robin.get(f"/console{below(tenant)}/messages", params={"subject": HOSTILE, "contact": HOSTILE})
    values = [given["value"] for tag, given in Seen.of(asked.text).tags if tag == "input" and "value" in given]
    assert values.count(HOSTILE) == 2
    wrong = await robin.get(f"/console{below(tenant)}/messages", params={"status": HOSTILE})
    assert "There is no such choice Status : must be one of Queued, Sending, Sent," in words(wrong.text)
    assert (wrong.status_code, "img" in {tag for tag, _ in Seen.of(wrong.text).tags}) == (400, False)


async def test_a_message_is_cancelled_and_retried_from_its_page(robin: Desk, tenant: Tenant) -> None:
    sent = (await tenant.send(await tenant.contact(), subject="Order shipped"))["id"]
    path = below(tenant, f"/messages/{sent}")
    page = await robin.page(path)
    assert [each for each in links(page) if each.startswith(f"/console{path}/")] == [f"/console{path}/cancel"]
    assert "Order shipped" in words(page)
    assert (await tenant.get(f"/messages/{sent}/why"))["because"] in words(page)
    done = await robin.submit(f"{path}/cancel")
    assert (done.status_code, done.headers["location"]) == (303, f"/console{path}")
    after = await robin.page(path)
    assert "It was called back." in words(after)
    assert [each for each in links(after) if each.startswith(f"/console{path}/")] == [f"/console{path}/retry"]
    again = await robin.submit(f"{path}/cancel")
    assert again.status_code == 409
    assert "Only a QUEUED message can be cancelled; this one is FAILED." in words(again.text)
    assert (await robin.submit(f"{path}/retry")).status_code == 303
    assert (await tenant.get(f"/messages/{sent}"))["status"] == "QUEUED"


async def test_the_list_is_filtered_and_paged(robin: Desk, tenant: Tenant) -> None:
    ann = await tenant.contact(firstName="Ann", lastName="Lee")
    ben = await tenant.contact(firstName="Ben", lastName="Lee", email="ben@example.org")
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    body = [
        {"contactId": ann, "channel": "ONSITE", "subject": f"Order {number} shipped", "body": "x"}
        for number in range(60)
    ]
    body.append({"contactId": ben, "channel": "EMAIL", "subject": "Spring sale", "body": "x", "campaignId": campaign})
    made = [each["message"]["id"] for each in (await tenant.post("/messages/batch", body, 200))["data"]]

    async def found(**query: str) -> list[str]:
        answer = await robin.get(f"/console{below(tenant)}/messages", params=query)
        assert answer.status_code == 200, answer.text
        start = f"/console{below(tenant)}/messages/"
        return [each.removeprefix(start) for each in links(answer.text) if each.startswith(start)]

    first = await found()
    assert first == made[:-51:-1]
    await tenant.send(ben, channel="EMAIL", subject="A late one")  # moves no page
    assert await found(before=first[-1]) == made[10::-1]
    assert await found(after=made[10]) == first
    for query, wanted in (
        ({"channel": "EMAIL", "subject": "SALE spring"}, made[-1:]),
        ({"campaign": campaign, "held": "", "status": "QUEUED"}, made[-1:]),
        ({"contact": "ben le", "subject": "spring"}, made[-1:]),
        ({"contact": ben, "subject": "order"}, []),
        ({"contact": "nobody"}, []),
        ({"campaign": "cmp_1"}, []),
        ({"status": "FAILED"}, []),
        ({"held": "yes"}, []),
        ({"subject": "17 shipped"}, [made[17]]),
    ):
        assert await found(**query) == wanted, query
    several = (await robin.get(f"/console{below(tenant)}/messages", params={"contact": "lee"})).text
    assert {f"?contact={each}" for each in (ann, ben)} <= set(links(several))
    empty = await robin.get(f"/console{below(tenant)}/messages", params={"subject": "!!"})
    assert empty.status_code == 200


async def test_the_overview_counts_today_and_names_what_wants_attention(
    robin: Desk, tenant: Tenant, database: Database
) -> None:
    assert "Nothing. No message is held" in words(await robin.page(below(tenant)))
    contact = await tenant.contact()
    sent = [(await tenant.send(contact))["id"] for _ in range(3)]
    for each in sent[:2]:
        await tenant.post(f"/messages/{each}/cancel", None, 200)
    url = "https://example.org/hooks?secret=x"
    subscription = (await tenant.post("/subscriptions", {"url": url, "events": ["message.sent"]}))["id"]
    await _switch_off(database, subscription)
    async with database.write() as connection:
        await pauses.rest(connection, Channel.EMAIL, 60_000, "a word of the server's")
    page = await robin.page(below(tenant))
    said = words(page)
    assert "3 accepted since" in said
    assert _tiles(page) == {status.value: 0 for status in Status} | {"QUEUED": 1, "FAILED": 2}
    assert "2 Did not arrive, by what was asked for today 2 cancelled" in said
    assert "Endpoint switched off example.org" in said
    assert "secret" not in said
    assert "Sender at rest EMAIL" in said
    assert "a word of the server's" not in said


def _tiles(page: str) -> dict[str, int]:
    texts = [each.strip() for each in Seen.of(page.partition("<table>")[0]).words if each.strip()]
    return {word.value: int(texts[texts.index(word.value.capitalize()) - 1]) for word in Status}


async def test_the_lanes_tell_what_waits_and_what_came(robin: Desk, tenant: Tenant) -> None:
    contact = await tenant.contact()

    async def look(after: str = "") -> tuple[str, Any]:
        answer = await robin.get(f"/console{below(tenant)}/lanes.json", params={"after": after})
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        return shown["cursor"], {each["channel"]: each for each in shown["channels"]}["EMAIL"]

    await tenant.send(contact)
    cursor, _ = await look()
    await tenant.send(contact, lane="bulk")
    await tenant.send(contact, sendAt="2099-01-01T00:00:00Z")
    _, email = await look(cursor)
    assert (email["unended"], email["restsUntil"]) == (3, None)
    names = ("lane", "ready", "later", "inFlight", "accepted")
    assert [tuple(lane[name] for name in names) for lane in email["lanes"]] == [
        ("transactional", 1, 1, 0, 1),
        ("bulk", 1, 0, 0, 1),
    ]
    assert all(lane["waitedMs"] is not None for lane in email["lanes"])
    page = await robin.page(below(tenant, "/lanes"))
    assert "Transactional 1 1 0" in words(page)


async def test_the_theme_is_the_persons_own(robin: Desk, tenant: Tenant) -> None:
    assert "data-theme" not in await robin.page(below(tenant))
    robin.cookies.set("wireroom_theme", "dark")
    assert 'data-theme="dark"' in await robin.page(below(tenant))
    robin.cookies.set("wireroom_theme", '"><b>')
    assert "data-theme" not in await robin.page(below(tenant))


async def _switch_off(database: Database, subscription: str) -> None:
    async with database.write() as connection:
        off = {"disabled_at": now_ms(), "disabled_reason": "gone"}
        of_it = subscriptions.c.id == ids.parse(Kind.SUBSCRIPTION, subscription)
        await connection.execute(update(subscriptions).where(of_it).values(**off))
