"""The short form of ``long_hook_bodies``, and some of the same bodies to a real server."""

import time
from pathlib import Path

import aiohttp
import pytest

from channels.guarded_http import Answer
from models.evidence import Provider
from tests.fuzz.hook_bodies import HookBodies, read_broken
from tests.fuzz.orders import CREDENTIALS
from tests.support import provider_requests as requests
from tests.support.api import serving

HOOKS = [each for each in Provider if each not in (Provider.WIREROOM, Provider.BOUNCE_MAIL)]
A_SHORT_FORM = 200
TO_A_SERVER = 60


@pytest.mark.parametrize("provider", HOOKS)
def test_broken_bodies_are_read(provider: Provider) -> None:
    assert read_broken(provider, A_SHORT_FORM) < 1.0


@pytest.mark.timeout(240)
async def test_no_broken_body_breaks_the_server(tmp_path: Path, database_url: str, redis_url: str) -> None:
    async def amazon(_url: str) -> Answer:
        return Answer(200, "OK", {}, requests.certificate(int(time.time()) - 86_400))

    async with (
        serving(tmp_path, database_url, redis_url, fetch=amazon) as api,
        aiohttp.ClientSession(trust_env=False) as client,
    ):
        tenant = await api.tenant()
        for provider in [*HOOKS, Provider.BOUNCE_MAIL]:
            url = (await tenant.post("/hooks", {"provider": provider} | CREDENTIALS.get(provider, {})))["url"]
            bodies = HookBodies(provider, url=url)
            for number in range(TO_A_SERVER):
                request = bodies.next(time.time())
                async with client.post(url, data=request.body, headers=dict(request.headers)) as answer:
                    assert answer.status in (200, 401, 406, 413), f"{provider}, number {number}: {await answer.text()}"
