"""What the console's forms send: refused where no database can keep it, and told in the audit log as the API's own."""

from typing import Any

import pytest

from tests.support.api import Api, Tenant
from tests.support.consoles import Desk, desk
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
