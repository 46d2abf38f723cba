"""Senders over HTTP: made, shown without their secrets, changed, removed, and refused with the field's name."""

from pathlib import Path
from typing import Any, Final

import pytest

from channels.vapid import new_key
from models import ids
from models.ids import Kind, new_id
from models.session import Database
from models.store import sender_rests
from models.vocabulary import Channel
from tests.support.api import Api, Tenant
from tests.support.push_service import encode

SECRET: Final = "kR7mW2qLx9VbT4nY"
MAIL: Final = {"smtpUrl": f"smtps://shop:{SECRET}@smtp.example.com", "from": "Shop <shop@example.org>"}
BOT: Final = {"botToken": f"7654321:{SECRET}"}


def body(credentials: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "first", "credentials": credentials} | fields


async def patch(tenant: Tenant, path: str, changes: Any, status: int = 200) -> Any:
    answer = await tenant.call("PATCH", path, json=changes)
    assert answer.status_code == status, answer.text
    return answer.json()


def written_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_a_sender_has_a_rate_and_its_server_so_many_connections(tenant: Tenant) -> None:
    url = MAIL["smtpUrl"] + "?connections=2"
    made = await tenant.post("/channels/EMAIL", body(MAIL | {"smtpUrl": url}, ratePerSecond=20))
    path = f"/channels/EMAIL/{made['id']}"
    assert (made["ratePerSecond"], made["hint"]["host"]) == (20, "smtp.example.com:465")
    for rate in (0.1, 10_000, None):
        assert (await patch(tenant, path, {"ratePerSecond": rate}))["ratePerSecond"] == rate
        assert (await tenant.get(path))["ratePerSecond"] == rate
    for wrong in (0, 0.09, 10_001, -1, "fast", [1]):
        await patch(tenant, path, {"ratePerSecond": wrong}, 400)
    refused = await patch(tenant, path, {"credentials": MAIL | {"smtpUrl": MAIL["smtpUrl"] + "?connections=0"}}, 400)
    assert [each["pointer"] for each in refused["errors"]] == ["#/credentials/smtpUrl"]
    assert (await tenant.post("/channels/EMAIL", body(MAIL)))["ratePerSecond"] is None


async def test_a_sender_is_made_shown_changed_and_removed(
    tenant: Tenant, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await tenant.post("/channels/EMAIL", body(MAIL, weight=3))
    path = f"/channels/EMAIL/{made['id']}"
    assert made["id"].startswith("snd_")
    hint = {"host": "smtp.example.com:465", "user": "shop", "from": "Shop <shop@example.org>"}
    shown = {"name": "first", "channel": "EMAIL", "weight": 3, "position": 0, "paused": False, "version": 1}
    assert made | shown | {"hint": hint, "resting": None, "lastError": None} == made
    assert await tenant.get(path) == made
    channel = await tenant.get("/channels/EMAIL")
    assert (channel["source"], channel["configured"], channel["senders"]) == ("workspace", True, [made])
    assert (await tenant.get("/channels"))["data"][0] == channel

    changed = await patch(tenant, path, {"name": "second", "position": 2, "paused": True})
    assert changed == made | {"name": "second", "position": 2, "paused": True, "updatedAt": changed["updatedAt"]}
    assert (await tenant.get("/channels/EMAIL"))["source"] == "environment"
    mended = await patch(tenant, path, {"credentials": MAIL | {"smtpUrl": "smtp://a:b@mail.example.com:2525"}})
    assert (mended["hint"]["host"], mended["version"]) == ("mail.example.com:2525", 2)
    assert await patch(tenant, path, {}) == mended

    assert SECRET not in str([made, channel, changed, mended])
    assert SECRET not in "".join(capfd.readouterr())
    assert SECRET.encode() not in written_in(tmp_path)
    for expected in (204, 404):
        assert (await tenant.call("DELETE", path)).status_code == expected
    assert (await tenant.get("/channels/EMAIL"))["senders"] == []


async def test_a_channel_is_configured_by_a_sender(tenant: Tenant, api: Api) -> None:
    contact = await tenant.contact(telegramChatId="4711")
    message = {"contactId": contact, "channel": "TELEGRAM", "body": "Hi"}
    refused = await tenant.post("/messages", message, 422)
    assert refused["failureReason"] == "channel_not_configured"
    made = await tenant.post("/channels/TELEGRAM", body(BOT))
    assert made["hint"] == {"botId": "7654321"}
    assert (await tenant.post("/messages", message, 200))["status"] == "QUEUED"
    second = await tenant.post("/channels/TELEGRAM", body(BOT), 409)
    assert second["type"] == "/problems/conflict"
    wrong = await tenant.contact(telegramChatId=None)
    assert (await tenant.post("/messages", message | {"contactId": wrong}, 422))["failureReason"] == "no_address"
    other = await api.tenant()
    theirs = await other.contact(telegramChatId="4711")
    assert (await other.post("/messages", message | {"contactId": theirs}, 422))["type"].endswith("not-configured")
    await patch(tenant, f"/channels/TELEGRAM/{made['id']}", {"paused": True})
    await tenant.post("/messages", message, 422)


async def test_it_says_until_when_and_why_it_rests(tenant: Tenant, database: Database) -> None:
    first = await tenant.post("/channels/EMAIL", body(MAIL))
    second = await tenant.post("/channels/EMAIL", body(MAIL))

    async def rest(sender: Any, ms: int, said: str) -> None:
        sender_id = ids.parse(Kind.SENDER, sender["id"])
        assert sender_id is not None
        async with database.write() as connection:
            await sender_rests.rest(connection, sender_id, 1, said, ms=ms)

    await rest(first, 60_000, "535 no")
    channel = await tenant.get("/channels/EMAIL")
    assert channel["resting"] is None
    assert [each["resting"] and each["resting"]["reason"] for each in channel["senders"]] == ["535 no", None]
    await rest(second, 30_000, "421 later")
    assert (await tenant.get("/channels/EMAIL"))["resting"]["reason"] == "421 later"
    await patch(tenant, f"/channels/EMAIL/{second['id']}", {"credentials": MAIL})
    assert (await tenant.get("/channels/EMAIL"))["resting"] is None


async def test_a_site_subscribes_with_the_workspaces_own_key(tenant: Tenant, api: Api) -> None:
    async def key(of: Tenant) -> str:
        return str((await of.root.get(f"/push/{of.workspace}/key")).json()["key"])

    operators = await key(tenant)
    vapid = {"vapidPrivateKey": encode(new_key()), "vapidSubject": "mailto:push@example.org"}
    made = await tenant.post("/channels/PUSH", body(vapid))
    assert await key(tenant) == made["hint"]["vapidPublicKey"] != operators
    assert await key(await api.tenant()) == operators
    assert (await tenant.post("/channels/PUSH", body(vapid), 409))["type"] == "/problems/conflict"
    assert vapid["vapidPrivateKey"] not in str(made)


async def test_another_workspaces_sender_is_as_good_as_none(tenant: Tenant, api: Api) -> None:
    made = await tenant.post("/channels/EMAIL", body(MAIL))
    other = await api.tenant()
    own = await other.post("/channels/EMAIL", body(MAIL))
    for path in (f"/channels/EMAIL/{made['id']}", f"/channels/TELEGRAM/{own['id']}"):
        for method in ("GET", "PATCH", "DELETE"):
            asked = {"json": {"paused": True}} if method == "PATCH" else {}
            assert (await other.call(method, path, **asked)).status_code == 404
    assert [each["id"] for each in (await other.get("/channels/EMAIL"))["senders"]] == [own["id"]]
    assert await tenant.get(f"/channels/EMAIL/{made['id']}") == made
    unknown = await tenant.call("GET", f"/channels/EMAIL/{ids.show(Kind.SENDER, new_id())}")
    assert unknown.status_code == 404


_KEY: Final = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"  # pragma: allowlist secret


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_senders_that_cannot_be(tenant: Tenant) -> None:
    cases: list[tuple[Channel, Any, str]] = [
        (Channel.EMAIL, {"from": "a@example.org"}, "smtpUrl"),
        (Channel.EMAIL, {"smtpUrl": "smtps://mail.example.com"}, "from"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "http://mail.example.com"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtps://10.0.0.1"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtps://169.254.169.254:25"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtps://[::1]"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtps://8.8.8.8:6379"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtp+plain://8.8.8.8"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtps://2130706433"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": "smtps://mail.example.com?ca=/etc/passwd"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"smtpUrl": f"smtps://x:{SECRET}@mail example"}, "smtpUrl"),
        (Channel.EMAIL, MAIL | {"from": "nobody"}, "from"),
        (Channel.EMAIL, MAIL | {"from": "a@example.org\r\nBcc: b@example.org"}, "from"),
        (Channel.EMAIL, MAIL | {"dkimKey": _KEY}, "dkimSelector"),
        (Channel.EMAIL, MAIL | {"dkimKey": _KEY, "dkimSelector": "wr1"}, "dkimKey"),
        (Channel.EMAIL, MAIL | {"bounceDomain": "a b"}, "bounceDomain"),
        (Channel.EMAIL, MAIL | BOT, "botToken"),
        (Channel.TELEGRAM, {}, "botToken"),
        (Channel.TELEGRAM, {"botToken": f"{SECRET}"}, "botToken"),
        (Channel.TELEGRAM, BOT | {"apiUrl": "http://127.0.0.1"}, "apiUrl"),
        (Channel.PUSH, {"vapidPrivateKey": SECRET, "vapidSubject": "mailto:a@example.org"}, "vapidPrivateKey"),
        (Channel.PUSH, {"vapidPrivateKey": encode(new_key()), "vapidSubject": "a"}, "vapidSubject"),
    ]
    for channel, credentials, field in cases:
        problem = await tenant.post(f"/channels/{channel}", body(credentials), 400)
        assert [each["pointer"] for each in problem["errors"]] == [f"#/credentials/{field}"], credentials
        assert SECRET not in str(problem)
    for channel in (Channel.WEBHOOK, Channel.ONSITE):
        assert (await tenant.post(f"/channels/{channel}", body({}), 409))["type"] == "/problems/conflict"
    await tenant.post("/channels/SMS", body(MAIL), 404)
    assert all(each["senders"] == [] for each in (await tenant.get("/channels"))["data"])
