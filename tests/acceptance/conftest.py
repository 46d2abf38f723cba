"""The HTTP server, once on each kind of database, for the tests that speak to nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.api import Api, Tenant, serving


@pytest.fixture
async def api(tmp_path: Path, database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A running server on a fresh database."""
    async with serving(tmp_path, database_url, redis_url) as running:
        yield running


@pytest.fixture
async def tenant(api: Api) -> Tenant:
    """A workspace of it, with a key that may do everything."""
    return await api.tenant()
