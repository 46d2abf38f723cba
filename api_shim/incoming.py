"""What is reported of messages, by whomever: durable once this returns, and applied wherever the message is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.problems import Problem
from api_shim.services import Services
from models.errors import StorageUnavailable
from models.events import ParsedEvent
from models.evidence import Provider
from models.store import arriving, events
from models.store.arriving import Arrived

log = structlog.get_logger(__name__)

Effect = Callable[[AsyncConnection, int], Awaitable[None]]
"""Done in the transaction that stores events; it is told how many of them are new."""

# How many events are stored before other requests, and other writers of the database, get their turn.
_AT_ONCE: Final = 1_000
# Requests of so many are stored two at a time. Left alone, all go in step: the database is idle while all of them are
# read, and this process while all of them are stored. One at a time leaves the database idle between its statements.
_MANY: Final = 200


async def store(
    services: Services,
    parsed: Sequence[ParsedEvent],
    *,
    workspace_id: UUID,
    source_id: UUID,
    provider: Provider,
    beside: Effect | None = None,
) -> int:
    """Store the events and apply them; returns how many are new. ``source_id``: within it events are told apart.

    The tracker is woken for those that wait. Where it ends half-way, the provider repeats the whole request.
    """
    new = left = 0
    for start in range(0, len(parsed), _AT_ONCE):
        chunk = parsed[start : start + _AT_ONCE]
        began_ns = time.time_ns()
        arrived = await _store(services, chunk, workspace_id, source_id, provider, beside)
        if arrived.new > arrived.left:
            await services.traces.reported(services.database, workspace_id, source_id, chunk, began_ns)
        new += arrived.new
        left += arrived.left
        await asyncio.sleep(0)
    if left:
        services.wakeups.poke("tracker", "events")
    return new


async def _store(
    services: Services,
    chunk: Sequence[ParsedEvent],
    workspace_id: UUID,
    source_id: UUID,
    provider: Provider,
    beside: Effect | None,
) -> Arrived:
    about: dict[str, Any] = {"workspace_id": workspace_id, "source_id": source_id, "provider": provider.value}
    try:
        async with AsyncExitStack() as turn:
            if len(chunk) >= _MANY:
                await turn.enter_async_context(services.reports_turn)
            async with services.database.write() as connection:
                # The next one's turn comes before the facts are written, which takes the database as long as the rest.
                arrived = await arriving.take_in(connection, **about, events_=chunk, once_stored=turn.aclose)
                if beside is not None:
                    await beside(connection, arrived.new)
        return arrived
    except (StorageUnavailable, Problem):
        raise
    except Exception:
        # One event that cannot be applied must not stop the others: all are kept, and the tracker takes each alone.
        log.exception("events.not_applied")
    async with services.database.write() as connection:
        new = await events.insert(connection, **about, events_=chunk)
        if beside is not None:
            await beside(connection, new)
    return Arrived(new, new)
