"""Sandboxes: made when they are first asked for, and what their built-in peers report, which may be due later."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.errors import NotFound
from models.events import ParsedEvent
from models.evidence import Provider
from models.sandboxes import is_sandbox, sandbox_of
from models.session import now_ms
from models.store import clock, workspaces
from models.store.bulk import insert_columns_ignoring
from models.store.events import by_dedupe, columns_of
from models.store.rows import upsert
from models.tables import events
from models.tables import workspaces as table


class DueReport(NamedTuple):
    """What a peer reports, ``after_ms`` from now: until then it is kept, whatever dies meanwhile."""

    event: ParsedEvent
    after_ms: int


async def ensure(connection: AsyncConnection, workspace_id: UUID) -> UUID:
    """The sandbox of a workspace, which is made where there is none; raises NotFound for an unknown workspace."""
    sandbox_id = sandbox_of(workspace_id)
    if is_sandbox(workspace_id) or await workspaces.get(connection, sandbox_id) is not None:
        return sandbox_id
    live = await workspaces.get(connection, workspace_id)
    if live is None:
        raise NotFound("no such workspace")
    # Names are given once: with the id behind it, nobody has taken it.
    name = f"{live.name} (sandbox {ids.encode(sandbox_id)})"
    insert = upsert(table, is_sqlite=connection.dialect.name == "sqlite").on_conflict_do_nothing()
    await connection.execute(insert.values(id=sandbox_id, name=name, settings={}, created_at=now_ms()))
    return sandbox_id


async def report(connection: AsyncConnection, workspace_id: UUID, reports: Sequence[DueReport]) -> int:
    """Store what peers report, for the tracker to apply when it is due; returns how many are new."""
    now = await clock.read(connection)
    due = sorted(reports, key=lambda each: by_dedupe(each.event))
    given = columns_of(
        [each.event for each in due],
        workspace_id=workspace_id,
        source_id=workspace_id,
        provider=Provider.SANDBOX.value,
        now=now,
    )
    columns = given | {
        "run": [each.event.run for each in due],
        "at": [now + each.after_ms for each in due],
        "retry_at": [now + each.after_ms if each.after_ms else None for each in due],
    }
    return await insert_columns_ignoring(connection, events, columns)
