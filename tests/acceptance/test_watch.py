"""``wireroom watch`` as a person runs it, against a running API."""

import json

import pytest

from tests.support.api import Api, Tenant
from tests.support.commands import interrupted, wireroom
from wireroom.ports import free_port

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def settings(tenant: Tenant) -> dict[str, str]:
    where = {"WIREROOM_PUBLIC_URL": str(tenant.root.base_url)}
    return where | {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token}


async def test_one_look_and_a_line_for_each(tenant: Tenant) -> None:
    await tenant.send(await tenant.contact())
    once = await wireroom("watch", "--once", **settings(tenant))
    assert (once.code, once.out.count("\n")) == (0, 1), once.err
    assert "EMAIL transactional 1 ready, 0 later, 0 in flight, oldest" in once.out
    watched = await interrupted(
        lambda out: out.count("\n") >= 2, "watch", "--json", "--interval", "0.5", **settings(tenant)
    )
    assert (watched.code, watched.err) == (0, "")
    first, second = (json.loads(line) for line in watched.out.splitlines()[:2])
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
