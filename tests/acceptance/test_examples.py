"""The programs in examples/, run as a reader of docs/client.md would, against a running API."""

import asyncio
import base64
import contextlib
import hmac
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from channels import standard_webhooks
from tests.support.api import Tenant
from tests.support.no_tls import NO_TLS
from tests.support.processes import free_environment
from tests.support.waiting import wait_until
from wireroom.ports import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node: sh tools/peers.sh installs one")
PYTHON = pytest.param(sys.executable, "py", id="python")
NODE = pytest.param("node", "mjs", id="node", marks=needs_node)


async def begin(program: str, name: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"}
    return await asyncio.create_subprocess_exec(
        *(program, str(EXAMPLES / name), *arguments),
        env=free_environment() | path | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("program", "end"), [pytest.param("sh", "sh", id="curl"), PYTHON, NODE])
async def test_what_is_sent_twice_is_sent_once(program: str, end: str, tenant: Tenant) -> None:
    contact = await tenant.contact()
    who = {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token}
    who["WIREROOM_PUBLIC_URL"] = str(tenant.root.base_url).rstrip("/")
    for _ in range(2):
        process = await begin(program, f"send.{end}", contact, **who)
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
        sent = await tenant.get("/messages")
        assert len(sent["data"]) == 3
        told = re.findall(r"\bmsg_[0-9a-z]{26}\b", said)
        assert {message["id"] for message in sent["data"]} <= set(told)
        assert (await tenant.get(f"/messages/{told[0]}/why"))["because"] in said


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_whoever_tries_one_after_the_other_sends_no_more(tenant: Tenant) -> None:
    contact = await tenant.contact()
    who = {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token}
    who["WIREROOM_PUBLIC_URL"] = str(tenant.root.base_url).rstrip("/")
    for program, end in (("sh", "sh"), (sys.executable, "py")):
        process = await begin(program, f"send.{end}", contact, **who)
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0, said
    assert len((await tenant.get("/messages"))["data"]) == 3


@contextlib.asynccontextmanager
async def receiving(program: str, end: str, secret: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    port = free_port()
    process = await begin(program, f"receive.{end}", str(port), WEBHOOK_SECRET=secret)

    async def listens() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    try:
        await wait_until(listens, timeout=30)
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(("program", "end"), [PYTHON, NODE])
async def test_events_are_proved_and_taken_once(program: str, end: str) -> None:
    secret = standard_webhooks.new_secret()
    body = b'{"type": "message.delivered", "data": {"messageId": "msg_1"}}'

    def headers(signed_with: str, at: float) -> dict[str, str]:
        signature = standard_webhooks.sign([signed_with], message_id="msg_1:delivered", timestamp=int(at), body=body)
        return {
            "webhook-id": "msg_1:delivered",
            "webhook-timestamp": str(int(at)),
            "webhook-signature": f"v1,AAAA {signature}",
        }

    now = time.time()
    async with (
        receiving(program, end, secret) as (url, process),
        httpx.AsyncClient(trust_env=False, verify=NO_TLS) as sender,
    ):
        good = headers(secret, now)
        posted = [
            (await sender.post(url, content=content, headers=given)).status_code
            for content, given in (
                (body, good),
                (body, good),
                (body, headers(standard_webhooks.new_secret(), now)),
                (body, headers(secret, now - 1000)),
                (body + b" ", good),
                (body, {name: value for name, value in good.items() if name != "webhook-id"}),
            )
        ]
    assert posted == [204, 204, 401, 401, 401, 401]
    assert process.stdout is not None
    assert (await process.stdout.read()).decode().count("message.delivered msg_1\n") == 1


@pytest.mark.parametrize(("program", "end"), [PYTHON, NODE])
async def test_without_a_secret_nothing_is_taken(program: str, end: str) -> None:
    at, body = str(int(time.time())), b'{"type": "message.delivered", "data": {"messageId": "msg_1"}}'
    forged = base64.b64encode(hmac.digest(b"", f"msg_1.{at}.".encode() + body, "sha256")).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,{forged}"}
    async with receiving(program, end, "whsec_") as (url, _), httpx.AsyncClient(trust_env=False, verify=NO_TLS) as one:
        assert (await one.post(url, content=body, headers=headers)).status_code == 401


def test_the_page_shows_the_very_programs() -> None:
    shown = re.findall(r"^```\w+\n(.*?)^```$", (ROOT / "docs" / "client.md").read_text(), re.DOTALL | re.MULTILINE)
    programs = [(EXAMPLES / name).read_text() for name in ("send.sh", "send.py", "send.mjs")]
    assert [block for block in shown if block.count("\n") > 3] == programs
