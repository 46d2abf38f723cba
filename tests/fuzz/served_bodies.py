"""The broken bodies of ``hook_bodies`` to a real server: it answers each, in time, with what is documented."""

import asyncio
import gzip
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from api_shim.hook_providers import PROVIDERS
from channels.guarded_http import Answer
from channels.providers.contract import HookRequest
from models.evidence import Provider
from tests.fuzz.bounce_mails import SEED
from tests.fuzz.figures import LONGEST_S, Figures
from tests.fuzz.hook_bodies import HookBodies
from tests.fuzz.orders import CREDENTIALS
from tests.support import provider_requests as requests
from tests.support.api import Tenant, serving

HOOKS: Final = list(PROVIDERS)
_AT_ONCE: Final = 4
_ANSWERS: Final = frozenset({200, 401, 406, 413, 415})
_COMPRESSED: Final = 7


@asynccontextmanager
async def house(folder: Path, database_url: str, redis_url: str) -> AsyncIterator[Tenant]:
    """A workspace on a server that asks no Amazon for its certificate."""

    async def amazon(_url: str) -> Answer:
        return Answer(200, "OK", {}, requests.certificate(int(time.time()) - 86_400))

    async with serving(folder, database_url, redis_url, fetch=amazon) as api:
        yield await api.tenant()


async def post_broken(tenant: Tenant, provider: Provider, count: int, seed: int = SEED) -> Figures:
    """Post ``count`` broken bodies to a hook of the provider, some at once. Raises AssertionError.

    What takes long may have waited for its neighbours, and for this process to make them: alone it has to be quick, in
    one of three tries, since others may use the machine.
    """
    url = (await tenant.post("/hooks", {"provider": provider} | CREDENTIALS.get(provider, {})))["url"]
    bodies, figures = HookBodies(provider, seed, url), Figures(count, warm=count // 3)
    numbers, slow = iter(range(count)), list[HookRequest]()

    async def post_some(client: aiohttp.ClientSession) -> None:
        for number in numbers:
            request = _compressed(bodies.next(time.time()), number)
            status, taken = await _post(client, url, request, number)
            figures.slowest_s = max(figures.slowest_s, taken)
            figures.refused += status != 200
            figures.look(number)
            if taken > LONGEST_S:
                slow.append(request)

    async with aiohttp.ClientSession(trust_env=False) as client:
        async with asyncio.TaskGroup() as posting:
            for _ in range(min(_AT_ONCE, count)):
                posting.create_task(post_some(client))
        for request in slow:
            taken = min([(await _post(client, url, request, count))[1] for _ in range(3)])
            assert taken < LONGEST_S, f"{taken:.2f} s alone"
    figures.check_memory()
    return figures


async def _post(client: aiohttp.ClientSession, url: str, request: HookRequest, number: int) -> tuple[int, float]:
    """The status of the answer, and how long it took (seconds)."""
    begun = time.perf_counter()
    async with client.post(url, data=io.BytesIO(request.body), headers=dict(request.headers)) as answer:
        said = await answer.text()
        assert answer.status in _ANSWERS, f"number {number}: {answer.status} {said}"
    return answer.status, time.perf_counter() - begun


def _compressed(request: HookRequest, number: int) -> HookRequest:
    """Some of them as gzip, and of these some cut off."""
    if number % _COMPRESSED:
        return request
    body = gzip.compress(request.body, compresslevel=1)
    cut = body[: len(body) // 2] if number % 2 else body
    return HookRequest(headers=dict(request.headers) | {"content-encoding": "gzip"}, body=cut, urls=request.urls)
