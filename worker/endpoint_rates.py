"""How many WEBHOOK messages a second one endpoint gets of a workspace that set it, over all workers.

It costs nothing where no workspace did, but for one short query in two seconds.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

from channels.endpoint_limits import origin_of
from models.session import Database
from models.store import settings
from models.store.claims import Claim
from models.vocabulary import Lane
from worker.paces import Pace, Paces
from worker.routes import Route, Wait

_REMEMBERED_S: Final = 2.0
_MOST_NAMES: Final = 4096


class EndpointRates:
    """Which workspaces have a rate, and the paces of their endpoints."""

    def __init__(self, database: Database, paces: Paces) -> None:
        self._database = database
        self._paces = paces
        self._rates: Mapping[UUID, float] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def spread(self, claims: Sequence[Claim], routes: dict[UUID, Route], lane: Lane) -> dict[UUID, Route | Wait]:
        """By message id: at its turn by its route, or when to come back; raises StorageUnavailable."""
        rates = await self._known()
        spread: dict[UUID, Route | Wait] = dict(routes)
        by_endpoint: dict[tuple[UUID, str], list[Claim]] = {}
        for claim in claims if rates else ():
            if claim.workspace_id in rates:
                by_endpoint.setdefault((claim.workspace_id, _name(claim.address or "")), []).append(claim)
        for (workspace_id, name), theirs in by_endpoint.items():
            spread |= self._pace(workspace_id, name, rates[workspace_id], lane).spread(theirs, routes)
        return spread

    async def of(self, workspace_id: UUID, url: str, lane: Lane) -> Pace | None:
        """The pace of one endpoint, None where the workspace set no rate; raises StorageUnavailable."""
        rates = await self._known()
        return self._pace(workspace_id, _name(url), rates[workspace_id], lane) if workspace_id in rates else None

    def _pace(self, workspace_id: UUID, name: str, per_second: float, lane: Lane) -> Pace:
        return self._paces.of(f"endpoint:{workspace_id}:{name}", per_second, lane)

    async def _known(self) -> Mapping[UUID, float]:
        if time.monotonic() >= self._read_at + _REMEMBERED_S:
            async with self._reading:
                if time.monotonic() >= self._read_at + _REMEMBERED_S:
                    async with self._database.look() as connection:
                        self._rates = await settings.endpoint_rates(connection)
                    self._read_at = time.monotonic()
        return self._rates


@lru_cache(_MOST_NAMES)
def _name(url: str) -> str:
    """What tells an endpoint from others in the limiter, and names nobody."""
    return hashlib.sha256(origin_of(url).encode()).hexdigest()[:32]
