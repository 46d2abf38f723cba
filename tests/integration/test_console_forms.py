"""What the console's forms send, what their pages say of it, and what the audit log tells."""

import re
from typing import Any

import pytest

from tests.support.api import Api, Tenant
from tests.support.consoles import Desk, desk, words
from tests.support.html_seen import Seen
from tests.support.people import PASSWORD

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NUL = ("%00", "a%00b%40example.org", "a\0b")


@pytest.mark.parametrize("text", NUL)
async def test_a_sign_in_that_holds_nul_is_refused(api: Api, text: str) -> None:
    async with desk(api.url) as anybody:
        for content in (f"email={text}&password=x", f"email=a%40example.org&password={text}", f"{text}=x"):
            answer = await anybody.post("/console/sign-in", content=content, headers=FORM)
            assert answer.status_code == 400, content


async def details(tenant: Tenant, thing: str) -> list[Any]:
    """What the audit log tells of a thing's changes, the newest first."""
    kept = (await tenant.get("/audit", objectId=thing))["data"]
    return [each["details"] for each in kept if each["action"].endswith(".change")]


async def test_what_the_console_changes_is_told_as_what_the_api_changes(robin: Desk, tenant: Tenant) -> None:
    endpoint = (await tenant.post("/subscriptions", {"url": "https://example.org/hook"}))["id"]
    user = (await tenant.post("/users", {"email": "kim@example.org", "password": PASSWORD}))["id"]
    expected: dict[str, list[Any]] = {}
    for thing, path, commands in (
        (endpoint, f"/endpoints/{endpoint}", {"pause": {"paused": True}, "resume": {"paused": False}}),
        (
            user,
            f"/users/{user}",
            {"admin": {"role": "admin"}, "member": {"role": "member"}, "password": {"password": PASSWORD + " on"}},
        ),
    ):
        of_api = path.replace("/endpoints/", "/subscriptions/")
        for patch in commands.values():
            assert (await tenant.call("PATCH", of_api, json=patch)).status_code == 200
        expected[thing] = await details(tenant, thing)
        for command in commands:
            answer = await robin.submit(f"/{tenant.workspace}{path}/{command}")
            assert answer.status_code in (200, 303), answer.text
        assert await details(tenant, thing) == expected[thing] * 2
    assert expected[user][0] == {"fields": ["password"]}


async def test_what_is_refused_is_said_in_the_forms_own_words(robin: Desk, tenant: Tenant) -> None:
    suppression = (await tenant.post("/suppressions", {"channel": "EMAIL", "address": "cay@example.org"}))["id"]
    mail = {"channel": "EMAIL", "address": "dee@example.org"}
    for path, fields, label, said in (
        (f"/suppressions/{suppression}", {"note": "x" * 201}, "Why", "at most 200 characters"),
        ("/suppressions/add", {**mail, "address": "nobody"}, "Address", "an email address needs an @"),
        ("/suppressions/add", {**mail, "expiresAt": "soon"}, "Until the end of", "is no date"),
        ("/keys/add", {"name": "Shop"}, "What it may do", "needs at least one tick"),
        ("/keys/add", {"name": "x" * 201, "contacts": "yes"}, "Name", "at most 200 characters"),
        ("/keys/add", {"name": " ", "contacts": "yes"}, "Name", "is needed"),
        ("/users/add", {"email": "nobody", "role": "member"}, "Email address", "an email address needs an @"),
    ):
        refused = await robin.submit(f"/{tenant.workspace}{path}", **fields)
        (alert,) = re.findall(r'<p class="alert"[^>]*>(.*?)</p>', refused.text, re.DOTALL)
        assert (refused.status_code, words(alert)) == (400, f"{label} : {said}."), path
        assert re.search(rf"<(?:label|legend)>(?:<span>)?{label}\b", refused.text), path
        form = [given for tag, given in Seen.of(refused.text).tags if tag == "form" and "aria-describedby" in given]
        assert [given["aria-describedby"] for given in form] == ["refused"], path


async def test_no_address_makes_a_page_say_what_was_not_done(robin: Desk, tenant: Tenant) -> None:
    one, other = [(await tenant.post("/campaigns", {"name": name}))["id"] for name in ("Spring", "Summer")]
    below = f"/{tenant.workspace}/campaigns"
    for path in (f"{below}/{one}", below, f"/{tenant.workspace}/users"):
        await robin.page(f"{path}?done=cancel", 400)
    assert (await robin.submit(f"{below}/{one}/pause")).status_code == 303
    assert robin.cookies["wireroom_done"] == f"{tenant.workspace}/campaigns/{one}:pause"
    pages = [words(await robin.page(f"{below}/{each}")) for each in (other, one, one)]
    assert ["It is paused." in page for page in pages] == [False, True, False]
    assert "wireroom_done" not in robin.cookies


async def test_who_signs_in_next_is_not_told_what_the_former_one_did(robin: Desk, tenant: Tenant) -> None:
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    assert (await robin.submit(f"/{tenant.workspace}/campaigns/{campaign}/pause")).status_code == 303
    out = re.search('name="csrf" value="([^"]+)"', await robin.page(f"/{tenant.workspace}"))
    assert out is not None
    assert (await robin.post("/console/sign-out", data={"csrf": out[1]})).status_code == 303
    assert not {"wireroom_done", "wireroom_session"} & set(robin.cookies)


async def test_what_cannot_be_taken_back_is_not_done_by_pressing_enter(robin: Desk, tenant: Tenant) -> None:
    campaign = (await tenant.post("/campaigns", {"name": "Spring"}))["id"]
    key = (await tenant.post("/keys", {"name": "Shop"}))["id"]
    message = (await tenant.send(await tenant.contact()))["id"]
    for path, label, final in (
        (f"/campaigns/{campaign}/cancel", "Cancel the campaign", True),
        (f"/campaigns/{campaign}/pause", "Pause the campaign", False),
        (f"/keys/{key}/revoke", "Revoke the key", True),
        (f"/messages/{message}/cancel", "Cancel the message", False),
    ):
        asked = (await robin.page(f"/{tenant.workspace}{path}")).partition('class="question"')[2]
        given = next(given for tag, given in Seen.of(asked).tags if tag == "button")
        assert f">{label}</button>" in asked, path
        assert (given.get("class"), "autofocus" in given) == (("final", False) if final else (None, True)), path
