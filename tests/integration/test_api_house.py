import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import redis

from api_shim import openapi
from api_shim.routing import DOCUMENTED, OPERATIONS
from tests.support.api import Api, Tenant, serving
from tests.support.broker import ValkeyServer
from tests.support.no_tls import NO_TLS
from tests.support.processes import free_environment
from tests.support.waiting import wait_until
from wireroom.ports import free_port


async def test_the_document_holds_every_operation(api: Api, tenant: Tenant) -> None:
    document = (await tenant.root.get("/openapi.json")).json()
    # What is proved valid elsewhere is what is served.
    assert document == msgspec.json.decode(msgspec.json.encode(openapi.document(OPERATIONS, api.url)))
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert listed == {(each.method, each.path.replace(":path", "")) for each in OPERATIONS}
    assert len({each["operationId"] for methods in document["paths"].values() for each in methods.values()}) == len(
        listed
    )
    assert document["servers"] == [{"url": api.url}]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == set(document["components"]["schemas"])
    assert not re.search(r'"\$ref": "#/(?!components/(schemas|responses|examples)/)', json.dumps(document))
    described = [schema.get("description", "") for schema in document["components"]["schemas"].values()]
    assert not any("\n " in description or "``" in description for description in described)


async def test_the_page_needs_nothing_from_elsewhere(tenant: Tenant) -> None:
    answer = await tenant.root.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r'(src|href)="(https?:)?//', answer.text)
    assert "<script" not in answer.text
    for operation in DOCUMENTED:
        assert operation.path.replace(":path", "") in answer.text
    assert "`" not in re.sub(r"<pre>.*?</pre>", "", answer.text, flags=re.DOTALL)
    linked = set(re.findall(r'href="(/problems/[^"]+)"', answer.text))
    assert "/problems/no-address" in linked
    assert (await tenant.root.get("/problems/no-address")).status_code == 200
    assert (await tenant.root.get("/problems/nothing")).status_code == 404


async def test_who_comes_without_an_address_is_shown_the_documentation(tenant: Tenant) -> None:
    answer = await tenant.root.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "docs")
    assert (await tenant.root.get("/", follow_redirects=True)).url.path == "/docs"
    assert (await tenant.root.get("/favicon.ico")).status_code == 204


async def test_health(tenant: Tenant) -> None:
    assert (await tenant.root.get("/health/live")).json() == {"status": "ok"}
    assert (await tenant.root.get("/health/ready")).json() == {"status": "ok", "missing": []}


async def test_without_a_broker_everything_is_accepted(tmp_path: Path, sqlite_url: str, valkey: ValkeyServer) -> None:
    valkey.kill()
    async with serving(tmp_path, sqlite_url, valkey.url) as api:
        tenant = await api.tenant()
        contact = await tenant.contact()
        assert (await tenant.send(contact))["status"] == "QUEUED"
        ready = await tenant.root.get("/health/ready")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["broker"])
        valkey.start()

        async def is_ready() -> bool:
            return (await tenant.root.get("/health/ready")).status_code == 200

        await wait_until(is_ready)


async def test_a_broker_that_answers_and_takes_nothing_is_missing(
    tmp_path: Path, sqlite_url: str, valkey: ValkeyServer
) -> None:
    async with serving(tmp_path, sqlite_url, valkey.url) as api:
        tenant = await api.tenant()
        with redis.Redis.from_url(valkey.url) as client:
            client.replicaof("127.0.0.1", 1)
        ready = await tenant.root.get("/health/ready")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["broker"])


async def test_without_a_database_it_starts_and_says_so(tmp_path: Path, redis_url: str) -> None:
    url = f"sqlite:///{tmp_path / 'missing' / 'wireroom.db'}"
    async with (
        serving(tmp_path, url, redis_url) as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as client,
    ):
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["database"])
        headers = {"Authorization": "Bearer wr_live_" + "x" * 49}
        answer = await client.get("/messages", headers=headers)
        assert (answer.status_code, answer.json()["internal_code"]) == (503, None)
        assert answer.headers["retry-after"] == "1"
        other = await client.get("/api/workspaces/ws_1/messages", headers=headers)
        assert (other.status_code, other.json()["type"]) == (503, "/problems/storage-unavailable")


async def test_without_a_schema_it_starts_and_says_so(tmp_path: Path, empty_postgres_url: str, redis_url: str) -> None:
    async with (
        serving(tmp_path, empty_postgres_url, redis_url) as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as client,
    ):
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["missing"]) == (503, ["schema"])


async def test_an_error_of_ours_tells_nothing(
    tmp_path: Path, empty_postgres_url: str, redis_url: str, caplog: Any
) -> None:
    async with (
        serving(tmp_path, empty_postgres_url, redis_url) as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS) as client,
    ):
        headers = {"Authorization": "Bearer canary"}
        second = await client.get("/messages", headers=headers)
        assert (second.status_code, second.json()["internal_code"]) == (500, "internal_error")
        first = await client.get("/api/workspaces/ws_1/messages", headers=headers)
        assert first.json() == {"type": "/problems/internal", "title": "An error of ours", "status": 500}
    assert "canary" not in caplog.text


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return True
    writer.close()
    return False


async def test_the_process_finishes_what_is_in_flight(tmp_path: Path, sqlite_url: str, redis_url: str) -> None:
    port = free_port()
    environment = free_environment() | {
        "WIREROOM_DATA_DIR": str(tmp_path),
        "WIREROOM_DATABASE_URL": sqlite_url,
        "WIREROOM_REDIS_URL": redis_url,
        "WIREROOM_BIND": f"127.0.0.1:{port}",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api_shim.app", env=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=NO_TLS) as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/health/live")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(answers, timeout=60)
        api = Api(f"http://127.0.0.1:{port}", sqlite_url)
        tenant = await api.tenant()
        await api.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/workspaces/{tenant.workspace}/contacts HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        writer.write(f"{head}Authorization: Bearer {tenant.token}\r\nExpect: 100-continue\r\n\r\n".encode())
        await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")  # from here on it is in flight
        process.send_signal(signal.SIGTERM)
        await wait_until(lambda: refuses(port))
        writer.write(b"{}")
        await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()
        assert await asyncio.wait_for(process.wait(), 30) in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
