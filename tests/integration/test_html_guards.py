"""Every page of HTML that any route answers is guarded: it loads what it names alone, and nobody frames it."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import pytest
from starlette.routing import Route

from api_shim.app import create_app
from api_shim.examples import catalogue
from api_shim.routing import OPERATIONS
from api_shim.settings import ApiSettings
from tests.support.api import Api, Tenant, serving
from tests.support.consoles import desk
from tests.support.example_world import World
from tests.support.people import person
from tests.support.scene import channel_settings, storage_settings

HTML: Final = "text/html; charset=utf-8"
PART: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
FRAMED: Final = "/console/{workspaceId}/templates/{templateId}/preview"
"""A mail as its readers see it, with styles of its own: in a frame of ours, of no origin, and nothing runs there."""
OF_FRAMED: Final = {
    "sandbox": "",
    "default-src": "'none'",
    "style-src": "'unsafe-inline'",
    "img-src": "data:",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'self'",
}
REFERRERS: Final = {"no-referrer", "same-origin"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind: pages are the same on both."""
    return sqlite_url


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


def paths(folder: Path) -> list[str]:
    """Every path that the server knows, its parts in braces."""
    storage = storage_settings(folder, f"sqlite:///{folder}/none.db", f"unix://{folder}/none.sock")
    app = create_app(ApiSettings.read({}), storage, channel_settings())
    return [each.path for each in app.routes if isinstance(each, Route)]


def policy_of(answer: httpx.Response) -> dict[str, str]:
    given = answer.headers.get("content-security-policy", "")
    return dict(each.strip().partition(" ")[::2] for each in given.split(";"))


def wrong_with(answer: httpx.Response) -> list[str]:
    policy, headers = policy_of(answer), answer.headers
    loose = [
        f"{name} {value}" for name, value in policy.items() if "unsafe" in value or "*" in value or "http" in value
    ]
    kept: Mapping[str, bool] = {
        "default-src": policy.get("default-src") == "'none'",
        "base-uri": policy.get("base-uri") == "'none'",
        "frame-ancestors": policy.get("frame-ancestors") == "'none'",
        "form-action": policy.get("form-action") in ("'self'", "'none'"),
        "nosniff": headers.get("x-content-type-options") == "nosniff",
        "referrer-policy": headers.get("referrer-policy") in REFERRERS,
    }
    return loose + [name for name, is_kept in kept.items() if not is_kept]


async def test_every_page_is_guarded(api: Api, tenant: Tenant, database_url: str, tmp_path: Path) -> None:
    await person(database_url, tenant.workspace)
    world = World(tenant)
    await world.build()
    known = {**catalogue.in_paths(), "command": "cancel"}
    seen: dict[str, list[str]] = {}
    framed: list[dict[str, str]] = []
    async with desk(api.url) as robin, desk(api.url) as anybody:
        assert (await robin.sign_in()).status_code == 303
        for path in paths(tmp_path):
            where = PART.sub(lambda part: quote(world.real(known.get(part[1], "none")), safe=""), path)
            for browser in (robin, anybody):
                async with browser.stream("GET", where) as answer:
                    media = answer.headers.get("content-type", "")
                    if not media.startswith("text/event-stream"):
                        await answer.aread()
                if path == FRAMED and answer.is_success:
                    framed.append(policy_of(answer))
                if media.startswith("text/html"):
                    seen.setdefault(path, []).extend(wrong_with(answer))
    assert {path: wrong for path, wrong in seen.items() if wrong and path != FRAMED} == {}
    assert framed == [OF_FRAMED]
    of_the_table = {each.path for each in OPERATIONS if HTML in (each.response_media, *each.other_media.values())}
    assert of_the_table <= seen.keys()
    assert {"/console", "/console/{workspaceId}", "/console/{workspaceId}/messages/{messageId}"} <= seen.keys()
