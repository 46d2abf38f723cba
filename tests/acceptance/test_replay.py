"""``wireroom replay`` as a person runs it, against a running API."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.session import Database
from models.tables import messages
from tests.support.api import Api, Tenant, serving
from tests.support.commands import Answer, wireroom

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


async def run(tenant: Tenant, api: Api, *arguments: str) -> Answer:
    who = {"WIREROOM_WORKSPACE": tenant.workspace, "WIREROOM_TOKEN": tenant.token, "WIREROOM_PUBLIC_URL": api.url}
    return await wireroom("replay", *arguments, **who)


async def test_what_failed_is_counted_then_sent_again_then_nothing_is_left(api: Api, database: Database) -> None:
    tenant = await api.tenant()
    contact = await tenant.contact()
    for _ in range(250):
        await tenant.send(contact)
    over = {"state": "failed", "turn": None, "ended_at": messages.c.queued_at, "failure_reason": "exhausted"}
    async with database.write() as connection:
        await connection.execute(messages.update().values(**over))
    dry = await run(tenant, api, "--since", "1h", "--dry-run")
    assert (dry.code, dry.out.strip()) == (0, "250 messages"), dry.err
    other = await run(tenant, api, "--since", "1h", "--channel", "push", "--json")
    assert other.json() == {"matching": 0, "retried": 0, "refused": {}}
    done = await run(tenant, api, "--since", "1h", "--reason", "exhausted")
    assert (done.code, done.out.strip()) == (0, "250 sent again"), done.err
    assert (await tenant.get("/messages", status="QUEUED"))["pagination"]["total"] == 250
    again = await run(tenant, api, "--since", "2020-01-31", "--json")
    assert again.json() == {"matching": 0, "retried": 0, "refused": {}}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_wrong_usage_and_strangers(api: Api) -> None:
    tenant = await api.tenant()
    wrong = [await run(tenant, api), await run(tenant, api, "--since", "soon")]
    assert [answer.code for answer in wrong] == [2, 2]
    stranger = await run(await api.tenant(set()), api, "--since", "1h")
    assert stranger.code == 1
    assert "403" in stranger.err
    unknown = await run(tenant, api, "--since", "1h", "--campaign", "cmp_1", "--json")
    assert unknown.code == 1
    assert "unknown_campaign" in unknown.json()["error"]
    assert not any("Traceback" in answer.err for answer in (*wrong, stranger, unknown))
