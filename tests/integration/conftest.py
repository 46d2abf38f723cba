"""The HTTP server, once on each kind of database, and somebody who looks at its console."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from models.secrets import Keyring, load_keyring
from models.session import Database
from tests.support.api import Api, Tenant, serving
from tests.support.consoles import Desk, desk
from tests.support.no_tls import NO_TLS
from tests.support.people import person
from tests.support.scene import storage_settings


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A running server on a fresh database."""
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    """A workspace of it, with a key that may do everything."""
    return await api.tenant()


@pytest.fixture
async def keyring(tmp_path: Path, database: Database, redis_url: str) -> Keyring:
    """The one that the server has."""
    return await load_keyring(database, storage_settings(tmp_path, str(database.engine.url), redis_url))


@pytest.fixture
async def reader(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """Anybody: no key, no cookie."""
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, verify=NO_TLS, timeout=20) as anybody:
        yield anybody


@pytest.fixture
async def robin(api: Api, tenant: Tenant, database_url: str) -> AsyncIterator[Desk]:
    """An admin of the tenant's workspace, signed in at the console."""
    await person(database_url, tenant.workspace)
    async with desk(api.url) as opened:
        answer = await opened.sign_in()
        assert answer.status_code == 303, answer.text
        yield opened
