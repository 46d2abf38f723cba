"""What readers want to get: read and changed by the link of a message, and held to at once."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx
from sqlalchemy import func, select

from api_shim.paced import Pace
from api_shim.reader_limits import OF_A_MESSAGE, UNPROVED
from models import ids
from models.secrets import Keyring
from models.session import Database
from models.tables import events, suppressions
from models.tokens import Purpose, Ref
from tests.support.api import Api, Tenant
from tests.support.reader_links import refused, uuid_of
from tests.support.reader_links import token_of as narrow_token_of
from tests.support.reader_links import whole_token_of as token_of
from worker.tracker import Tracker

PREFERENCES = "/api/preferences"
UNSUBSCRIBE = "/api/unsubscribe"


async def rows(database: Database) -> tuple[int, int]:
    async with database.read() as connection:
        counts = [await connection.scalar(select(func.count()).select_from(table)) for table in (events, suppressions)]
    return int(counts[0] or 0), int(counts[1] or 0)


async def read(reader: httpx.AsyncClient, token: str) -> dict[str, Any]:
    """The preferences, by channel."""
    answer = await reader.get(PREFERENCES, params={"token": token})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return {each["channel"]: each for each in answer.json()["channels"]}


async def put(reader: httpx.AsyncClient, token: str, *channels: dict[str, Any]) -> httpx.Response:
    return await reader.put(PREFERENCES, params={"token": token}, json={"channels": list(channels)})


async def test_a_token_says_what_it_opts_out_of_and_does_so(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact(email="annette@example.org")
    message = await tenant.send(contact, topic="news")
    params = {"token": token_of(message, keyring)}
    assert (await reader.head(UNSUBSCRIBE, params=params)).status_code == 200
    shown = await reader.get(UNSUBSCRIBE, params=params)
    offered = {"channel": "EMAIL", "topic": "news", "address": "a•••@example.org", "unsubscribed": False}
    assert shown.json() == offered
    assert await rows(database) == (0, 0)
    for body in (b"", b"List-Unsubscribe=One-Click", b"{}"):
        answer = await reader.post(UNSUBSCRIBE, params=params, content=body)
        assert (answer.status_code, answer.json()) == (200, offered | {"unsubscribed": True})
    assert await rows(database) == (1, 1)
    assert await refused(tenant, contact, topic="news") == "opted_out"
    assert await refused(tenant, contact, topic="other") is None
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "UNSUBSCRIBED"


async def test_preferences_are_of_what_a_reader_was_written_about(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact(email="annette@example.org", telegramChatId="123456789")
    message = await tenant.send(contact, topic="news")
    await tenant.send(contact, topic="offers")
    await tenant.send(contact, topic="reset", essential=True)
    await tenant.send(contact, channel="ONSITE", topic="news")
    other = await tenant.contact(email="bob@example.org")
    await tenant.send(other, topic="not for Annette")
    shown = await read(reader, token_of(message, keyring))
    assert shown == {
        "EMAIL": {
            "channel": "EMAIL",
            "address": "a•••@example.org",
            "subscribed": True,
            "blocked": False,
            "topics": [{"topic": "news", "subscribed": True}, {"topic": "offers", "subscribed": True}],
        },
        "ONSITE": {
            "channel": "ONSITE",
            "address": None,
            "subscribed": True,
            "blocked": False,
            "topics": [{"topic": "news", "subscribed": True}],
        },
    }
    assert await rows(database) == (0, 0)


async def test_what_is_wanted_holds_at_once_and_can_be_taken_back(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact(telegramChatId="123456789")
    message = await tenant.send(contact, topic="news")
    token = token_of(message, keyring)
    stop = {"channel": "EMAIL", "topics": [{"topic": "offers", "subscribed": False}]}
    quiet = {"channel": "ONSITE", "subscribed": False}
    await put(reader, token, stop, quiet)
    answer = await put(reader, token, stop, quiet)
    assert answer.status_code == 200, answer.text
    assert await rows(database) == (0, 2)
    assert answer.json()["channels"] == list((await read(reader, token)).values())
    assert await refused(tenant, contact, topic="offers") == "opted_out"
    assert await refused(tenant, contact, topic="news") is None
    assert await refused(tenant, contact, channel="ONSITE") == "opted_out"
    assert await refused(tenant, contact, channel="ONSITE", essential=True) is None

    # Of the message's own topic: as by its button.
    await put(reader, token, {"channel": "EMAIL", "subscribed": False})
    await Tracker(database).pull()
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "UNSUBSCRIBED"
    assert await rows(database) == (1, 3)
    assert (await read(reader, token))["EMAIL"]["subscribed"] is False

    all_again = {"channel": "EMAIL", "subscribed": True, "topics": [{"topic": "offers", "subscribed": True}]}
    await put(reader, token, all_again, quiet | {"subscribed": True})
    assert await rows(database) == (1, 0)
    assert await refused(tenant, contact, topic="offers") is None
    assert await refused(tenant, contact, channel="ONSITE") is None


async def test_who_changed_their_mind_stays_subscribed_however_late_the_tracker_comes(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    message = await tenant.send(contact, topic="news")
    token = token_of(message, keyring)
    await reader.post(f"/u/{token}")
    await put(reader, token, {"channel": "EMAIL", "topics": [{"topic": "news", "subscribed": True}]})
    await Tracker(database).pull()
    assert await refused(tenant, contact, topic="news") is None
    assert (await tenant.get(f"/messages/{message['id']}"))["status"] == "UNSUBSCRIBED"
    await reader.post(f"/u/{token}")
    assert await refused(tenant, contact, topic="news") == "opted_out"


async def test_a_dead_address_is_not_the_readers_to_revive(
    tenant: Tenant, reader: httpx.AsyncClient, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    token = token_of(await tenant.send(contact, topic="news"), keyring)
    await tenant.post("/suppressions", {"channel": "EMAIL", "address": "ann@example.org"})
    answer = await put(reader, token, {"channel": "EMAIL", "subscribed": True})
    (shown,) = answer.json()["channels"]
    assert (shown["subscribed"], shown["blocked"]) == (True, True)
    assert await refused(tenant, contact) == "suppressed"


async def test_a_link_decides_for_the_address_it_went_to(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact(telegramChatId="123456789")
    await tenant.send(contact, channel="ONSITE", topic="private")
    elsewhere = token_of(await tenant.send(contact, to="lawyer@example.net", topic="news"), keyring)
    former = token_of(await tenant.send(contact, topic="news"), keyring)
    await tenant.call("PATCH", f"/contacts/{contact}", json={"email": "new@example.org"})
    for token, address in ((elsewhere, "l•••@example.net"), (former, "a•••@example.org")):
        shown = await read(reader, token)
        assert {channel: each["address"] for channel, each in shown.items()} == {"EMAIL": address}
        assert [each["topic"] for each in shown["EMAIL"]["topics"]] == ["news"]
        assert (await put(reader, token, {"channel": "ONSITE", "subscribed": False})).status_code == 400
        assert (await put(reader, token, {"channel": "EMAIL", "subscribed": False})).status_code == 200
    assert await refused(tenant, contact) is None
    assert await refused(tenant, contact, to="lawyer@example.net") == "opted_out"
    assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
    erased = await read(reader, former)
    assert erased == {
        "EMAIL": {
            "channel": "EMAIL",
            "address": None,
            "subscribed": False,
            "blocked": False,
            "topics": [{"topic": "news", "subscribed": True}],
        }
    }


async def test_another_workspace_has_preferences_of_its_own(
    api: Api, tenant: Tenant, reader: httpx.AsyncClient, keyring: Keyring
) -> None:
    other = await api.tenant()
    contact, theirs = await tenant.contact(), await other.contact()
    token = token_of(await tenant.send(contact), keyring)
    await other.send(theirs, topic="theirs")
    await put(reader, token, {"channel": "EMAIL", "subscribed": False})
    assert await refused(tenant, contact) == "opted_out"
    assert await refused(other, theirs) is None
    assert "theirs" not in str(await read(reader, token))


async def test_bad_tokens_and_bad_wishes_change_nothing(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    message = await tenant.send(await tenant.contact())
    good = token_of(message, keyring)
    other_purpose = keyring.tokens.make(Purpose.CLICK, Ref(uuid_of(message), 1))
    nobodys = keyring.tokens.make(Purpose.OPT_OUT, Ref(ids.new_id(), 1))
    answers = set()
    for token in (good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), other_purpose, nobodys, "x", "ü" * 50):
        for method, path in (("GET", PREFERENCES), ("PUT", PREFERENCES), ("GET", UNSUBSCRIBE), ("POST", UNSUBSCRIBE)):
            answer = await reader.request(method, path, params={"token": token}, json={"channels": []})
            answers.add((answer.status_code, answer.text))
    assert {status for status, _ in answers} == {404}
    assert len(answers) == 1
    for params in ({}, {"token": ""}, {"token": "x" * 201}):
        assert (await reader.get(PREFERENCES, params=params)).status_code == 400
    twice = {"channel": "EMAIL", "topics": [{"topic": "a", "subscribed": True}, {"topic": "a", "subscribed": False}]}
    many = {"channel": "EMAIL", "topics": [{"topic": f"{n}", "subscribed": False} for n in range(100)]}
    unknown = {"channel": "EMAIL", "subscribed": False, "all": True}
    for wish in (twice, {"channel": "SMS"}, {"channel": "TELEGRAM", "subscribed": True}, unknown):
        assert (await put(reader, good, wish)).status_code == 400
    assert await rows(database) == (0, 0)
    assert (await put(reader, good, many)).status_code == 200
    more = {"channel": "EMAIL", "topics": [{"topic": "one more", "subscribed": False}]}
    assert (await put(reader, good, more)).status_code == 400
    assert (await rows(database))[1] == 100


async def test_the_form_says_what_it_shows_and_nothing_else_is_changed(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    token = token_of(await tenant.send(contact, topic="news: <daily>"), keyring)
    path = f"/u/{token}/preferences"
    shown = await reader.get(path)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "news: &lt;daily&gt;" in shown.text
    assert "ann@" not in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert (await reader.head(path)).status_code == 200
    for form in ({}, {"on": "EMAIL"}):
        assert (await reader.post(path, data=form)).status_code == 200
    assert await rows(database) == (0, 0)

    saved = await reader.post(path, data={"shown": ["EMAIL", "EMAIL:news: <daily>"], "on": ["EMAIL"]})
    assert 'role="status"' in saved.text
    assert await refused(tenant, contact, topic="news: <daily>") == "opted_out"
    assert await refused(tenant, contact, topic="offers") is None
    before = await rows(database)
    for bad in (
        b"\xff",
        b"shown",
        b"shown=SMS",
        b"shown=TELEGRAM",
        b"shown=EMAIL:",
        b"shown=EMAIL:a%0ab",
        b"a=1&" * 2001,
    ):
        answer = await reader.post(path, content=bad)
        assert answer.status_code == 400, bad
    for method in ("GET", "POST"):
        unknown = await reader.request(method, f"/u/{token[:-4]}AAAA/preferences")
        assert (unknown.status_code, "This link does not work" in unknown.text) == (404, True)
    assert await rows(database) == before


async def test_a_page_of_any_site_may_ask(tenant: Tenant, reader: httpx.AsyncClient, keyring: Keyring) -> None:
    token = token_of(await tenant.send(await tenant.contact()), keyring)
    asked = {"Origin": "https://www.example.org", "Access-Control-Request-Method": "PUT"}
    for path in (PREFERENCES, UNSUBSCRIBE):
        allowed = await reader.options(path, headers=asked)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, "*")
        assert "PUT" in allowed.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in allowed.headers
        for given, status in ((token, 200), ("x", 404), ("", 400)):
            answer = await reader.get(path, params={"token": given}, headers=asked)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")


async def until_refused(pace: Pace, usual: int, *ways: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    """Ask in each way by turns until all were refused, no sooner and no later than the pace has it; the refusals."""
    began, allowed = time.monotonic(), 0
    refusals: dict[int, httpx.Response] = {}
    while len(refusals) < len(ways):
        for number, ask in enumerate(ways):
            answer = await ask()
            if answer.status_code == 429:
                refusals[number] = answer
                assert allowed >= pace.at_once
            else:
                assert answer.status_code == usual
                allowed += 1
                assert allowed <= pace.at_once + (time.monotonic() - began) / pace.seconds
    return [refusals[number] for number in range(len(ways))]


async def test_what_changes_something_is_bounded_by_message_and_looking_is_not(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact()
    token = token_of(await tenant.send(contact), keyring)
    other = token_of(await tenant.send(contact), keyring)
    ways: list[tuple[str, str, Any]] = [
        ("POST", f"/u/{token}", None),
        ("POST", f"{UNSUBSCRIBE}?token={token}", None),
        ("PUT", f"{PREFERENCES}?token={token}", {"channels": []}),
        ("POST", f"/u/{token}/preferences", None),
    ]
    asks = [partial(reader.request, method, path, json=body) for method, path, body in ways]
    _, _, refused_, _ = await until_refused(OF_A_MESSAGE, 200, *asks)
    assert refused_.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused_.headers["retry-after"]) <= 6
    assert refused_.headers["access-control-allow-origin"] == "*"
    assert (await reader.get(f"/u/{token}")).status_code == 200
    assert (await reader.post(f"/u/{other}", data={"List-Unsubscribe": "One-Click"})).status_code == 200


async def test_guesses_are_bounded_and_stop_no_click_of_a_mail_program(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    token = token_of(await tenant.send(await tenant.contact()), keyring)
    await until_refused(UNPROVED, 404, partial(reader.post, "/u/guess"))
    assert (await reader.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})).status_code == 200


async def test_a_forwarded_mails_link_to_unsubscribe_shows_and_decides_its_own_topic_alone(
    tenant: Tenant, reader: httpx.AsyncClient, database: Database, keyring: Keyring
) -> None:
    contact = await tenant.contact(telegramChatId="123456789")
    message = await tenant.send(contact, topic="news")
    await tenant.send(contact, topic="my illness")
    await put(reader, token_of(message, keyring), {"channel": "EMAIL", "topics": [{"topic": "x", "subscribed": False}]})
    token = narrow_token_of(message, keyring)
    before = await rows(database)
    shown = await read(reader, token)
    assert list(shown) == ["EMAIL"]
    assert [each["topic"] for each in shown["EMAIL"]["topics"]] == ["news"]
    own, other = ({"topic": topic, "subscribed": False} for topic in ("news", "my illness"))
    for wish in (
        {"channel": "EMAIL", "subscribed": False},
        {"channel": "EMAIL", "topics": [own, other]},
        {"channel": "EMAIL", "topics": [{"topic": "x", "subscribed": True}]},
        {"channel": "ONSITE", "subscribed": False},
    ):
        assert (await put(reader, token, wish)).status_code == 400
    assert (await reader.post(f"/u/{token}/preferences", data={"shown": "EMAIL"})).status_code == 400
    assert await rows(database) == before
    page = (await reader.get(f"/u/{token}/preferences")).text
    assert page.count('type="checkbox"') == 1
    assert "illness" not in page
    assert "/preferences" not in (await reader.get(f"/u/{token}")).text
    assert "/preferences" in (await reader.get(f"/u/{token_of(message, keyring)}")).text
    assert "/preferences" in (await reader.post(f"/u/{token}")).text
    assert await refused(tenant, contact, topic="news") == "opted_out"
    assert (await reader.post(f"/u/{token}/preferences", data={"shown": "EMAIL:news", "on": "EMAIL:news"})).is_success
    assert await refused(tenant, contact, topic="news") is None
