"""The keeper's pruning: what is kept no longer goes a few rows at a time, and never in a hurry."""

import time
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import StorageUnavailable
from models.session import Database
from models.store import audit, clock, pruning, settings
from models.store.pruning import FIRST, Walked
from models.store.settings import WorkspaceSettings
from models.store.sign_ins import FORGOTTEN_MS
from worker.settings import AUDIT_DAYS

_BATCH: Final = 500
_ROUNDS: Final = 4
"""Transactions a turn: two thousand messages a second, which is more than a house of this size takes in for long."""
_REST_S: Final = 3_600.0
_DAY_MS: Final = 86_400_000

_Step = Callable[[AsyncConnection, UUID], Awaitable[Walked]]
"""One batch of a walk, from an id on."""


class Pruner:
    """Walks through all that may be old, a batch at a time; at the end it rests for an hour, then begins anew.

    Where it stands is kept in memory alone: who begins anew, or walks beside another one, finds less to remove.
    """

    def __init__(self, database: Database, audit_days: int = AUDIT_DAYS) -> None:
        """``audit_days``: how long entries of the audit log are kept."""
        self._database = database
        self._audit_ms = audit_days * _DAY_MS
        self._walks: list[_Step] = []
        self._place = FIRST
        self._begins_at = float("-inf")

    async def prune(self) -> None:
        """A few batches."""
        if not self._walks:
            if time.monotonic() < self._begins_at:
                return
            self._walks = await self._plan()
        for _ in range(_ROUNDS):
            if not self._walks:
                self._begins_at = time.monotonic() + _REST_S
                return
            walked = await self._step()
            if walked.last is None:
                self._walks.pop()
            self._place = walked.last or FIRST

    async def _step(self) -> Walked:
        try:
            async with self._database.write() as connection:
                return await self._walks[-1](connection, self._place)
        except StorageUnavailable:
            raise
        except Exception:
            # The other walks must go on; this one begins anew in an hour.
            self._walks.pop()
            self._place = FIRST
            raise

    async def _plan(self) -> list[_Step]:
        """Every walk of this pass."""
        async with self._database.read() as connection:
            now = await clock.read(connection)
            kept = await settings.retentions(connection)
        walks: list[_Step] = [_sessions, _sign_in_failures, _status_events, self._audit_entries]
        items = {own: now - days * _DAY_MS for own, each in kept.items() if (days := _inbox_days(each)) is not None}
        if items:
            walks.append(lambda it, after: pruning.remove_inbox_items(it, items, after=after, most=_BATCH))
        for own, each in kept.items():
            if each.retention_days is not None:
                before = now - each.retention_days * _DAY_MS
                walks += [_of(pruning.remove_unmatched_events, own, before), _of(pruning.remove_messages, own, before)]
        return walks

    async def _audit_entries(self, connection: AsyncConnection, after: UUID) -> Walked:
        removed = await audit.forget(connection, self._audit_ms, _BATCH)
        return Walked(after if removed == _BATCH else None, removed)


def _inbox_days(kept: WorkspaceSettings) -> int | None:
    """How long inbox items are kept where that is shorter than their messages are."""
    own, all_ = kept.inbox_retention_days, kept.retention_days
    return None if own is None or (all_ is not None and own >= all_) else own


def _of(remove: Callable[..., Awaitable[Walked]], workspace_id: UUID, before: int) -> _Step:
    return lambda connection, after: remove(connection, workspace_id, before, after=after, most=_BATCH)


async def _sessions(connection: AsyncConnection, after: UUID) -> Walked:
    removed = await pruning.remove_ended_sessions(connection, _BATCH)
    return Walked(after if removed == _BATCH else None, removed)


async def _sign_in_failures(connection: AsyncConnection, after: UUID) -> Walked:
    removed = await pruning.remove_sign_in_failures(connection, FORGOTTEN_MS, _BATCH)
    return Walked(after if removed == _BATCH else None, removed)


async def _status_events(connection: AsyncConnection, after: UUID) -> Walked:
    removed = await pruning.remove_status_events(connection, _BATCH)
    return Walked(after if removed == _BATCH else None, removed)
