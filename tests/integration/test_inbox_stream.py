"""Inboxes as streams of events: whatever process wrote it, whichever the reader is connected to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from api_shim.inbox_events import frames
from api_shim.inbox_stream import Stream, Streams
from api_shim.inbox_types import InboxItemView
from api_shim.problems import Problem
from models.session import Database
from models.store import inbox
from models.store.inbox import Act, ItemRow, News
from models.vocabulary import Channel
from tests.support.api import Api, Tenant, serving
from tests.support.api_process import api_process
from tests.support.inboxes import deliver
from tests.support.no_tls import NO_TLS
from tests.support.scene import Scene
from tests.support.waiting import wait_until


class Event(msgspec.Struct):
    """One event; ``id`` is what a browser sends when it connects again."""

    name: str
    id: str
    data: Any


class Source:
    """What a browser's EventSource does: reads events for as long as it is open."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[Event] = []
        self.ended = False

    @property
    def items(self) -> list[str]:
        """The ids of the items that came, each time that they came."""
        return [event.data["id"] for event in self.events if event.name == "item"]

    @property
    def unread(self) -> int:
        """What was said last of how many are unread."""
        return int([event.data["unread"] for event in self.events if event.name == "inbox"][-1])

    async def read(self, url: str, token: str, headers: dict[str, str], query: dict[str, str]) -> None:
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, verify=NO_TLS, timeout=60) as client,
            client.stream("GET", "/inbox/stream", params={"token": token, **query}, headers=headers) as answer,
        ):
            self.status, self.headers = answer.status_code, dict(answer.headers)
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    self.events.append(Event(fields["event"], fields["id"], msgspec.json.decode(fields["data"])))
                    fields = {}
        self.ended = True


@contextlib.asynccontextmanager
async def listening(
    url: str, token: str, last: str | None = None, *, origin: str | None = None, **query: str
) -> AsyncIterator[Source]:
    """A source that the server has answered."""
    source = Source()
    given = {"Last-Event-ID": last, "Origin": origin}
    headers = {name: value for name, value in given.items() if value is not None}
    task = asyncio.create_task(source.read(url, token, headers, query))
    try:
        await wait_until(lambda: source.events or task.done())
        yield source
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


async def someone(api: Api) -> tuple[Tenant, str, str]:
    """A tenant, a contact, and the token of their inbox."""
    tenant = await api.tenant()
    contact = await tenant.contact()
    made = await tenant.post(f"/contacts/{contact}/inbox-token", {})
    return tenant, contact, str(made["token"])


async def send(tenant: Tenant, contact: str) -> str:
    return str((await tenant.send(contact, channel="ONSITE"))["id"])


async def test_what_is_new_comes_and_what_changes_comes_again(api: Api, database: Database) -> None:
    tenant, contact, token = await someone(api)
    old = await send(tenant, contact)
    await deliver(database)
    async with listening(api.url, token) as source, listening(api.url, token) as other_tab:
        assert source.status == 200
        assert source.headers["content-type"].startswith("text/event-stream")
        assert source.headers["cache-control"] == "no-store"
        assert [(event.name, event.id, event.data) for event in source.events] == [("inbox", "1", {"unread": 1})]
        new = await send(tenant, contact)
        await deliver(database)
        await wait_until(lambda: source.items == [new] and source.unread == 2)
        headers = {"Authorization": f"Bearer {token}"}
        answer = await tenant.root.post(f"/inbox/{old}/read", headers=headers)
        assert answer.status_code == 200
        await wait_until(lambda: source.items == other_tab.items == [new, old] and source.unread == 1)
        items = [event for event in other_tab.events if event.name == "item"]
        assert items[-1].data == answer.json()["item"]
        assert [event.id for event in items] == ["2", "3"]


async def test_a_reader_that_comes_back_gets_what_it_missed(api: Api, database: Database) -> None:
    tenant, contact, token = await someone(api)
    first = await send(tenant, contact)
    await deliver(database)
    async with listening(api.url, token, after="0") as source:
        await wait_until(lambda: source.items == [first])
        last = source.events[-1].id
    batch = [{"contactId": contact, "channel": "ONSITE", "body": "B"}] * 250
    missed = [each["message"]["id"] for each in (await tenant.post("/messages/batch", batch, 200))["data"]]
    await deliver(database)
    async with listening(api.url, token, last, after="0") as source:
        await wait_until(lambda: len(source.items) >= 250)
        assert source.items == missed
        assert source.events[-1].id == "251" or source.events[-2].id == "251"
    for query in ({"after": "251"}, {"after": "999999"}, {}):
        async with listening(api.url, token, **query) as source:
            assert [(event.name, event.id) for event in source.events] == [("inbox", "251")]


async def test_a_wrong_cursor_is_refused(api: Api) -> None:
    _, _, token = await someone(api)
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as client:
        for after in ("x", "-1", "1.5", "", "9" * 19):
            answer = await client.get("/inbox/stream", params={"token": token, "after": after})
            assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-parameter")
        answer = await client.get("/inbox/stream", params={"token": token}, headers={"Last-Event-ID": "x"})
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-header")
        assert (await client.head("/inbox/stream", params={"token": token})).status_code == 200


async def test_nobody_hears_of_anothers_inbox(api: Api, database: Database) -> None:
    tenant, contact, token = await someone(api)
    other_tenant, other, others_token = await someone(api)
    async with listening(api.url, token) as source, listening(api.url, others_token) as others:
        mine, theirs = await send(tenant, contact), await send(other_tenant, other)
        await deliver(database)
        await wait_until(lambda: source.items and others.items)
        assert (source.items, others.items) == ([mine], [theirs])


async def test_an_erased_persons_stream_ends(api: Api) -> None:
    tenant, contact, token = await someone(api)
    async with listening(api.url, token) as source:
        assert (await tenant.call("DELETE", f"/contacts/{contact}")).status_code == 204
        await wait_until(lambda: source.ended)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_stream_ends_when_its_site_is_no_longer_allowed(api: Api) -> None:
    tenant, _, token = await someone(api)
    site, other = "https://www.example.org", "https://shop.example.org"
    await tenant.call("PATCH", "/settings", json={"allowedOrigins": [site, other]})
    async with (
        listening(api.url, token, origin=site) as source,
        listening(api.url, token, origin=other) as stays,
        listening(api.url, token) as no_page,
    ):
        assert (source.status, stays.status, no_page.status) == (200, 200, 200)
        await tenant.call("PATCH", "/settings", json={"allowedOrigins": [other]})
        await wait_until(lambda: source.ended, timeout=60)  # it is asked every 15 s
        assert not stays.ended
        assert not no_page.ended


async def test_there_are_so_many_streams_and_no_more(api: Api) -> None:
    _, _, token = await someone(api)
    async with contextlib.AsyncExitStack() as tabs:
        for _ in range(10):
            assert (await tabs.enter_async_context(listening(api.url, token))).status == 200
        async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as client:
            answer = await client.get("/inbox/stream", params={"token": token})
        assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-streams")
        assert answer.headers["retry-after"] == "5"

    async def free() -> bool:
        async with listening(api.url, token) as source:
            return source.status == 200

    await wait_until(free)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_items_reach_readers_on_every_process_and_tokens_no_log(
    tmp_path: Path, database: Database, database_url: str, redis_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        serving(tmp_path, database_url, redis_url) as api,
        api_process(tmp_path, database_url, redis_url) as one,
        api_process(tmp_path, database_url, redis_url) as two,
    ):
        tenant, contact, token = await someone(api)
        urls = [f"http://127.0.0.1:{process.port}" for process in (one, two)]
        async with listening(urls[0], token) as first, listening(urls[1], token) as second:
            message = await send(tenant, contact)
            await deliver(database)
            await wait_until(lambda: first.items == second.items == [message])
            one.process.terminate()
            await wait_until(lambda: first.ended)
            await one.ended()
            other = await send(tenant, contact)
            await deliver(database)
            async with listening(urls[1], token, first.events[-1].id) as again:
                await wait_until(lambda: again.items == [other] and second.items == [message, other])
    said = capfd.readouterr()
    assert token not in said.out + said.err


# --- What one process does for all


async def contact_with(scene: Scene, number: int) -> tuple[UUID, list[UUID]]:
    contact = await scene.contact()
    sent = [(await scene.send(contact, channel=Channel.ONSITE)).id for _ in range(number)]
    await deliver(scene.database)
    return contact, sent


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_slow_reader_holds_one_batch_and_goes_on_from_there(scene: Scene) -> None:
    contact, sent = await contact_with(scene, 3)
    streams = Streams(scene.database)
    slow, quick = streams.open(scene.workspace_id, contact, 0), streams.open(scene.workspace_id, contact, 0)
    first = await quick.take(10)
    assert first is not None
    assert [item.message_id for item in first.items] == sent
    for message in sent:
        async with scene.database.write() as connection:
            await inbox.act(connection, scene.workspace_id, contact, message, Act.READ)
        news = await quick.take(10)
        assert news is not None
        assert [item.message_id for item in news.items] == [message]
    assert not slow.listens
    held = await slow.take(10)
    assert held is not None
    assert [item.read_at for item in held.items] == [None] * 3
    rest = await slow.take(10)
    assert rest is not None
    assert [(item.message_id, item.read_at is not None) for item in rest.items] == [(each, True) for each in sent]
    for stream in (slow, quick, slow):
        streams.leave(stream)
    await streams.drain()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_bounds_and_the_end_of_all(scene: Scene) -> None:
    streams = Streams(scene.database, most=6, most_of_one=2)
    ann, bob = await scene.contact(), await scene.contact()
    first, _ = streams.open(scene.workspace_id, ann, 0), streams.open(scene.workspace_id, ann, 0)
    with pytest.raises(Problem):
        streams.open(scene.workspace_id, ann, 0)
    streams.open(scene.workspace_id, bob, 0)
    with pytest.raises(Problem):  # the workspace has half of all
        streams.open(scene.workspace_id, bob, 0)
    other = await scene.workspace()
    streams.open(other, await scene.contact(workspace_id=other), 0)
    streams.leave(first)
    streams.leave(first)
    last = streams.open(scene.workspace_id, ann, 0)
    streams.close()
    async with asyncio.timeout(10):
        assert await last.take(60) is None
        await streams.drain()
    assert last.ended
    with pytest.raises(Problem):
        streams.open(scene.workspace_id, bob, 0)


async def take(stream: Stream) -> News:
    news = await stream.take(10)
    assert news is not None
    return news


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_begins_anew_again_and_again_holds_nobody_back(scene: Scene) -> None:
    greedy, other = sorted([await scene.contact(), await scene.contact()])
    for contact, number in ((greedy, 150), (other, 1)):
        for _ in range(number):
            await scene.send(contact, channel=Channel.ONSITE)
    await deliver(scene.database)
    streams = Streams(scene.database)

    async def begin_anew() -> None:
        while True:
            stream = streams.open(scene.workspace_id, greedy, 0)
            await stream.take(10)
            streams.leave(stream)

    beginning = asyncio.create_task(begin_anew())
    stream = streams.open(scene.workspace_id, other, 0)
    try:
        assert len((await take(stream)).items) == 1
    finally:
        beginning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beginning
        streams.leave(stream)
        streams.close()
        await streams.drain()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_where_one_look_is_not_enough_the_next_follows_at_once(scene: Scene) -> None:
    late, sent = await contact_with(scene, 250)
    people = [await scene.contact() for _ in range(110)]
    await asyncio.gather(*(scene.send(each, channel=Channel.ONSITE) for each in people))
    await deliver(scene.database)
    streams = Streams(scene.database, look_every_s=600)
    others = [streams.open(scene.workspace_id, each, 0) for each in people]
    stream = streams.open(scene.workspace_id, late, 0)
    found: list[UUID] = []
    try:
        for each in others:
            assert len((await take(each)).items) == 1
        while len(found) < len(sent):
            found += [item.message_id for item in (await take(stream)).items]
        assert found == sent
    finally:
        streams.close()
        await streams.drain()


class Asked:
    """Answers whether a site is still allowed; notes how often it was asked."""

    def __init__(self, *answers: bool) -> None:
        self.times = 0
        self._answers = answers

    async def __call__(self) -> bool:
        self.times += 1
        return self._answers[self.times - 1]


def shown(row: ItemRow) -> InboxItemView:
    raise AssertionError(f"{row.message_id} was shown to a site that is not allowed")


async def test_the_site_is_asked_for_with_every_heartbeat() -> None:
    asked = Asked(True, True, False)
    stream = Stream(UUID(int=1), UUID(int=2), 0, asyncio.Event())
    sent = [each async for each in frames(stream, b"first", shown, int(time.time()) + 60, asked, heartbeat_s=0.01)]
    assert sent == [b"first", b":\n\n", b":\n\n"]
    assert asked.times == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_comes_all_the_time_puts_the_question_off_for_nobody(scene: Scene) -> None:
    contact, _ = await contact_with(scene, 1)
    async with scene.database.read() as connection:
        news = (await inbox.look(connection, {contact: 0}, most=9)).news[contact]
    stream = Stream(scene.workspace_id, contact, 0, asyncio.Event())
    stream.put(news)
    asked = Asked(False)
    sent = [each async for each in frames(stream, b"first", shown, int(time.time()) + 60, asked, heartbeat_s=0)]
    assert (sent, asked.times) == ([b"first"], 1)
