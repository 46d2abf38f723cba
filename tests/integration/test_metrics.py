"""``GET /metrics`` of the API, of workers and of the keeper, as Prometheus asks for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import metrics as api_metrics
from api_shim.house_levels import HouseLevels
from models.errors import StorageUnavailable
from models.metrics import Counts, Process
from models.session import Database
from models.store import counts
from models.tables import message_counts
from tests.support import scene as scenes
from tests.support.api import serving
from tests.support.exposed import Exposed, exposed
from tests.support.house import House
from tests.support.no_tls import NO_TLS
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until
from wireroom.ports import free_port
from worker.metrics_server import MetricsServer
from worker.settings import MetricsSettings

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, verify=NO_TLS)


async def scrape(client: httpx.AsyncClient) -> Exposed:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Exposed(answer.text)


async def test_the_api_tells_of_the_house_and_of_itself(tmp_path: Path, database_url: str, redis_url: str) -> None:
    async with serving(tmp_path, database_url, redis_url) as api:
        tenant = await api.tenant()
        sent = await tenant.send(await tenant.contact(email="canary@example.org"))
        nobody = await tenant.contact(email=None)
        await tenant.post("/messages", {"contactId": nobody, "channel": "EMAIL", "subject": "a", "body": "b"}, 422)
        await tenant.root.get("/no-such-place")
        await tenant.root.request("TRACE", f"/messages/{sent['id']}")
        async with client_of(api.url) as anybody:
            text = (await anybody.get("/metrics")).text
            assert (await anybody.head("/metrics")).status_code == 200
        seen = Exposed(text)
        assert (seen.value("wireroom_database_up"), seen.value("wireroom_broker_up")) == (1, 1)
        assert seen.value("wireroom_messages", channel="EMAIL", status="QUEUED") == 1
        assert seen.value("wireroom_messages_ready", channel="EMAIL", lane="transactional") == 1
        assert seen.of("wireroom_workers") == {("alive",): 0, ("stale",): 0}
        assert seen.of("wireroom_messages_accepted_total") == {("EMAIL", "transactional"): 1}
        assert seen.of("wireroom_messages_refused_total") == {("EMAIL", "no_address"): 1}
        requests = seen.of("wireroom_http_requests_total")  # method, route, status
        assert requests["POST", "/api/workspaces/{workspaceId}/messages", "200"] == 1
        assert requests["POST", "/api/workspaces/{workspaceId}/messages", "422"] == 1
        assert requests["other", "other", "404"] == requests["other", "/messages/{messageId}", "405"] == 1
        for secret in ("canary", "example.org", tenant.workspace, tenant.token, sent["id"], sent["id"][4:]):
            assert secret not in text


async def test_messages_that_are_astray_are_told(tmp_path: Path, scene: Scene, redis_url: str) -> None:
    await scene.send(await scene.contact())
    async with scene.database.write() as connection:
        await counts.fold(connection, 1000)
        await connection.execute(update(message_counts).values(number=7))
    async with serving(tmp_path, str(scene.database.engine.url), redis_url) as api, client_of(api.url) as client:

        async def told() -> dict[tuple[str, ...], float]:
            return (await scrape(client)).of("wireroom_messages_astray")

        assert await wait_until(told) == {(): 6}


async def test_without_a_database_it_answers_and_shows_nothing_old(tmp_path: Path, redis_url: str) -> None:
    async with serving(tmp_path, NOWHERE, redis_url) as api, client_of(api.url) as client:
        seen = await scrape(client)
    assert (seen.value("wireroom_database_up"), seen.value("wireroom_broker_up")) == (0, 1)
    assert seen.of("wireroom_messages") == seen.of("wireroom_workers") == seen.of("wireroom_messages_astray") == {}
    assert seen.of("wireroom_build_info")


class Counted(Database):
    """Counts its readings; while ``gate`` is closed they wait, and while it is ``away`` they fail."""

    readings = 0
    away = False
    gate: asyncio.Event | None = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        self.readings += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StorageUnavailable("away")
        async with super().read() as connection:
            yield connection


async def test_a_storm_of_questions_costs_one_reading(scene: Scene) -> None:
    database = Counted(scene.database.engine)
    house = HouseLevels(database, scene.wakeups)
    seen = await asyncio.gather(*(house.read() for _ in range(200)))
    assert all(each.levels is seen[0].levels is not None for each in [*seen, await house.read()])
    await house.drain()
    assert database.readings == 3  # the levels; to compare, the workspaces, and one


async def test_a_database_that_hangs_is_not_waited_for_and_not_asked_again(scene: Scene) -> None:
    database = Counted(scene.database.engine)
    database.gate = asyncio.Event()
    house = HouseLevels(database, scene.wakeups, patience_s=0.01)
    assert [(await house.read()).levels for _ in range(3)] == [None, None, None]
    assert database.readings == 1
    database.gate.set()
    assert await wait_until(lambda: known(house))
    await house.drain()


async def known(house: HouseLevels) -> bool:
    return (await house.read()).levels is not None


async def test_what_was_read_before_is_not_shown_once_the_database_is_away(scene: Scene) -> None:
    database = Counted(scene.database.engine)
    house = HouseLevels(database, scene.wakeups, fresh_s=0)
    assert await known(house)
    await house.drain()
    database.away = True

    async def unknown() -> bool:
        return not await known(house)

    await wait_until(unknown)
    seen = await house.read()
    assert (seen.levels, seen.astray) == (None, None)
    assert exposed(api_metrics.families(seen, [])).value("wireroom_database_up") == 0
    await house.drain()


# --- Workers and the keeper


async def answered(port: int) -> Exposed | None:
    async with client_of(f"http://127.0.0.1:{port}") as client:
        try:
            return await scrape(client)
        except httpx.TransportError:
            return None


async def test_each_process_takes_a_port_and_gives_it_back() -> None:
    first = free_port()
    settings = MetricsSettings("127.0.0.1", range(first, first + 2))
    counted = Counts("wireroom_things_total", "Things.")
    counted.add()
    servers = [MetricsServer(settings, [Process(str(n)), counted], look_again_s=0.01) for n in range(3)]
    for server in servers:
        server.start()
    try:
        await wait_until(lambda: len([server for server in servers if server.port is not None]) == 2)
        waiting = next(server for server in servers if server.port is None)
        assert {server.port for server in servers} == {first, first + 1, None}
        seen = await answered(first)
        assert seen is not None
        assert seen.value("wireroom_things_total") == 1
        await next(server for server in servers if server.port == first).stop()
        await wait_until(lambda: waiting.port == first)
        assert await wait_until(lambda: answered(first))
    finally:
        for server in servers:
            await server.stop()
    assert await answered(first) is None


async def is_closed(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):  # where the server had not read all that was sent
        assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_those_who_say_nothing_leave_room_for_others() -> None:
    port = free_port()
    server = MetricsServer(MetricsSettings("127.0.0.1", range(port, port + 1)), [Process("worker")], longest_s=0.5)
    server.start()
    streams = []
    try:
        await wait_until(lambda: server.port is not None)
        for said in [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"] * 15:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            streams.append((reader, writer))

        async def scraped() -> bool:
            async with client_of(f"http://127.0.0.1:{port}") as client:
                return (await client.get("/metrics")).status_code == 200

        await wait_until(scraped)
        for reader, _ in streams:
            await is_closed(reader)
    finally:
        for _, writer in streams:
            writer.close()
        await server.stop()


async def test_a_head_without_end_is_not_kept() -> None:
    port = free_port()
    server = MetricsServer(MetricsSettings("127.0.0.1", range(port, port + 1)), [Process("worker")], longest_s=600)
    server.start()
    try:
        await wait_until(lambda: server.port is not None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (1 << 20))
        await is_closed(reader)
        writer.close()
    finally:
        await server.stop()


async def test_a_worker_and_the_keeper_tell_what_they_did(
    tmp_path: Path, sqlite_url: str, redis_url: str, mail_sink: SmtpSink
) -> None:
    first = free_port()
    ports = range(first, first + 6)
    bind = {"WIREROOM_METRICS_BIND": f"127.0.0.1:{ports[0]}-{ports[-1]}"}
    database = Database.connect(sqlite_url)
    house = House(tmp_path, database_url=sqlite_url, redis_url=redis_url, smtp_port=mail_sink.port)
    try:
        async with scenes.opened(tmp_path, database, redis_url, scenes.channel_settings(mail_sink.port)) as scene:
            await scene.send(await scene.contact(email="canary@example.org"))
            house.start_worker(**bind)
            house.start_keeper(**bind)
            parts: dict[str, Exposed] = {}

            async def told() -> bool:
                for seen in [await answered(port) for port in ports]:
                    if seen is not None:
                        ((part, _),) = seen.of("wireroom_build_info")
                        parts[part] = seen
                sent = "worker" in parts and parts["worker"].of("wireroom_attempts_total")
                return bool(sent) and "keeper" in parts and bool(parts["keeper"].of("wireroom_keeper_turns_total"))

            await wait_until(told, timeout=40)
        worker, lane = parts["worker"], {"channel": "EMAIL", "lane": "transactional"}
        assert worker.of("wireroom_attempts_total") == {("EMAIL", "none", "transactional", "accepted"): 1}
        assert worker.value("wireroom_pickup_delay_seconds_count", **lane) == 1
        assert worker.value("wireroom_claimed_messages_sum", **lane) == 1
        assert worker.value("wireroom_worker_slots", channel="EMAIL") == 800
        assert (worker.value("wireroom_worker_lease_held"), worker.value("wireroom_worker_broker_up")) == (1, 1)
        turns = parts["keeper"].of("wireroom_keeper_turns_total")
        assert {outcome for _, outcome in turns} == {"done"}
        for each in parts.values():
            assert not any(
                "@" in value or "canary" in value for sample in each.samples for value in sample.labels.values()
            )
    finally:
        await asyncio.to_thread(house.close)
        await database.close()
