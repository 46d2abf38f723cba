"""What a service worker needs of the server and reports to it: the key, the script, beacons."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from models import ids
from models.ids import Kind
from models.secrets import Keyring
from models.session import Database
from models.tables import events
from models.tokens import Purpose, Ref
from tests.support.api import Api, Tenant
from tests.support.no_tls import NO_TLS
from tests.support.push_service import PushService, decode
from worker.tracker import Tracker

Report = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def message(tenant: Tenant) -> dict[str, Any]:
    """A push message of a contact with one browser."""
    contact = await tenant.contact()
    browser = PushService(port=1).subscribe().browser
    keys = {"endpoint": browser.endpoint, "p256dh": browser.p256dh, "auth": browser.auth}
    await tenant.post("/push", {"contactId": contact, **keys})
    sent: dict[str, Any] = await tenant.send(contact, channel="PUSH")
    return sent


def uuid_of(message: dict[str, Any]) -> UUID:
    found = ids.parse(Kind.MESSAGE, message["id"])
    assert found is not None
    return found


@pytest.fixture
def token(keyring: Keyring, message: dict[str, Any]) -> str:
    return keyring.tokens.make(Purpose.BEACON, Ref(uuid_of(message), 1))


@pytest.fixture
async def report(api: Api, token: str) -> Any:
    """A service worker's request: no key, no cookie."""
    async with httpx.AsyncClient(
        base_url=api.url, trust_env=False, verify=NO_TLS, headers={"Origin": "https://shop.example.org"}
    ) as it:

        async def send(content: str, to: str = token, **headers: str) -> httpx.Response:
            return await it.post(f"/t/p/{to}", content=content, headers=headers)

        yield send


async def stored(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(events)) or 0)


async def test_beacons_make_a_push_messages_life(
    tenant: Tenant, database: Database, message: dict[str, Any], report: Report
) -> None:
    for type_, status in (("closed", "QUEUED"), ("opened", "OPENED"), ("clicked", "CLICKED")):
        answer = await report(f'{{"type": "{type_}", "at": "2099-01-01T00:00:00Z"}}')
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "*"
        await Tracker(database).pull()
        assert (await tenant.get(f"/messages/{message['id']}"))["status"] == status
    listed = (await tenant.get("/events"))["data"]
    assert [(each["provider"], each["type"], each["providerEvent"], each["messageId"]) for each in listed] == [
        ("wireroom", "clicked", "clicked", message["id"]),
        ("wireroom", "opened", "opened", message["id"]),
        ("wireroom", "ignored", "closed", message["id"]),
    ]
    # A browser's clock is what its owner says: at most five minutes are believed.
    assert all(each["at"] < "2099" for each in listed)


async def test_each_thing_is_stored_once_a_run(
    database: Database, message: dict[str, Any], report: Report, keyring: Keyring
) -> None:
    for _ in range(3):  # of three browsers
        assert (await report('{"type":"clicked"}')).status_code == 204
    assert await stored(database) == 1
    second = keyring.tokens.make(Purpose.BEACON, Ref(uuid_of(message), 2))
    assert (await report('{"type":"clicked"}', second)).status_code == 204
    assert await stored(database) == 2


@pytest.mark.parametrize("media", ["text/plain;charset=UTF-8", "application/json"])
async def test_a_beacon_may_be_text_so_that_no_preflight_is_needed(
    database: Database, report: Report, media: str
) -> None:
    assert (await report('{"type":"opened"}', **{"Content-Type": media})).status_code == 204
    assert await stored(database) == 1


async def test_a_preflight_lets_any_site_report(api: Api, token: str) -> None:
    asked = {
        "Origin": "https://shop.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as it:
        answer = await it.options(f"/t/p/{token}", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "Content-Type"


async def test_no_other_token_opens_the_door(
    database: Database, message: dict[str, Any], report: Report, keyring: Keyring, token: str
) -> None:
    ref = Ref(uuid_of(message), 1)
    others = [keyring.tokens.make(purpose, ref) for purpose in Purpose if purpose is not Purpose.BEACON]
    nobodys = keyring.tokens.make(Purpose.BEACON, Ref(ids.new_id(), 1))
    changed = ("A" if token[10] != "A" else "B").join((token[:10], token[11:]))
    answers = [await report('{"type":"clicked"}', bad) for bad in (*others, nobodys, changed, token[:-1], "x", "%00")]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert await stored(database) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"type":"danced"}', 400),
        ('{"type":"complained"}', 400),
        ("{}", 400),
        ("", 400),
        ("type=clicked", 400),
        ('{"type":"clicked","messageId":"msg_1"}', 400),
        ('{"type":"clicked","at":"yesterday"}', 400),
        ('{"type":"clicked","at":"0001-01-01T00:00:00Z"}', 400),
        ('{"type":"clicked"' + " " * 1024 + "}", 413),
    ],
)
async def test_what_is_no_beacon_is_not_stored(database: Database, report: Report, body: str, status: int) -> None:
    assert (await report(body)).status_code == status
    assert await stored(database) == 0


async def test_the_key_that_pages_subscribe_with(api: Api, tenant: Tenant) -> None:
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as anybody:
        answer = await anybody.get(f"/push/{tenant.workspace}/key")
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        point = decode(answer.json()["key"])
        assert (len(point), point[:1]) == (65, b"\x04")
        other = await api.tenant()
        assert (await anybody.get(f"/push/{other.workspace}/key")).json() == answer.json()
        for unknown in (ids.show(Kind.WORKSPACE, ids.new_id()), "x"):
            assert (await anybody.get(f"/push/{unknown}/key")).status_code == 404


async def test_the_script_that_a_service_worker_imports(api: Api) -> None:
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as anybody:
        answer = await anybody.get("/sw.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert 'addEventListener("push"' in answer.text
