"""``wireroom watch`` as a person runs it, against a running API."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support import quick_starts
from tests.support.api import Api, Tenant
from tests.support.commands import wireroom
from tests.support.processes import free_environment
from tests.support.waiting import wait_until
from wireroom.ports import free_port

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def settings(tenant: Tenant) -> dict[str, str]:
    where = {"WIREROOM_PUBLIC_URL": str(tenant.root.base_url)}
    return where | {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token}


async def test_one_look_and_a_line_for_each(tenant: Tenant, tmp_path: Path) -> None:
    await tenant.send(await tenant.contact())
    once = await wireroom("watch", "--once", **settings(tenant))
    assert (once.code, once.out.count("\n")) == (0, 1), once.err
    assert "EMAIL transactional 1 ready, 0 later, 0 in flight, oldest" in once.out
    files = quick_starts.Files(*(tmp_path / each for each in ("given", "out", "err")))
    files.given.touch()
    arguments = ("watch", "--json", "--interval", "0.5")
    process = await asyncio.to_thread(quick_starts.start, arguments, free_environment() | settings(tenant), files)
    await wait_until(lambda: files.out.exists() and files.out.read_text().count("\n") >= 2, timeout=30)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    await asyncio.to_thread(process.join)
    assert (process.exitcode, files.err.read_text()) == (0, "")
    process.close()
    first, second = (json.loads(line) for line in files.out.read_text().splitlines()[:2])
    assert first["statuses"] == second["statuses"] != []
    assert (first["ratesPerSecond"], second["ratesPerSecond"]) == ({}, {"EMAIL": {"accepted": 0.0, "ended": 0.0}})
    assert (second["attention"], second["missed"]) == ([], None)


async def test_who_may_not_look_is_told_so(api: Api, tenant: Tenant) -> None:
    stranger = await api.tenant(set())
    refused = await wireroom("watch", "--once", **settings(stranger))
    away = await wireroom("watch", **settings(tenant) | {"WIREROOM_PUBLIC_URL": f"http://127.0.0.1:{free_port()}"})
    wrong = await wireroom("watch", "--interval", "0.1", **settings(tenant))
    assert (refused.code, away.code, wrong.code) == (1, 1, 2)
    assert "403" in refused.err
    assert "is `wireroom up` running there?" in away.err
