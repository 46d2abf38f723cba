"""The audit log: entries are written beside what they tell of, and never changed (a trigger of migration 0011)."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.audit import Action, Actor, ActorKind, Details, Ending, Thing
from models.ids import Kind, new_id, since
from models.session import now_ms
from models.store import clock
from models.store.rows import fetch_page
from models.tables import audit_entries

_STRANGERS_KEPT_MS: Final = 30 * 86_400_000
"""How long sign-ins to accounts that do not exist are kept: whoever likes makes them."""


class NewEntry(msgspec.Struct, frozen=True):
    """What is to be told. ``workspace_id`` None: it concerns no workspace, or nobody knows which."""

    workspace_id: UUID | None
    actor: Actor
    action: Action
    ending: Ending = Ending.DONE
    thing: Thing | None = None
    details: Details = {}
    request_id: str | None = None


class EntryRow(msgspec.Struct, frozen=True):
    """An entry. ``at`` is milliseconds (UTC), by the database."""

    id: UUID
    workspace_id: UUID | None
    at: int
    actor_kind: ActorKind
    actor_id: UUID | None
    action: Action
    ending: Ending
    object_kind: Kind | None
    object_id: UUID | None
    details: Details
    request_id: str | None

    @property
    def actor(self) -> Actor:
        """Who did it."""
        return Actor(self.actor_kind, self.actor_id)

    @property
    def thing(self) -> Thing | None:
        """What it was done to."""
        if self.object_kind is None or self.object_id is None:
            return None
        return Thing(self.object_kind, self.object_id)


class EntryFilter(msgspec.Struct, frozen=True):
    """What is asked for; all that is given holds. ``since`` (included) and ``until`` are milliseconds (UTC)."""

    actor: Actor | None = None
    action: Action | None = None
    ending: Ending | None = None
    thing: Thing | None = None
    request_id: str | None = None
    since: int | None = None
    until: int | None = None


async def add(connection: AsyncConnection, *entries: NewEntry) -> None:
    """Write entries, all of now."""
    columns = [
        {
            "id": new_id(),
            "workspace_id": each.workspace_id,
            "actor_kind": each.actor.kind.value,
            "actor_id": each.actor.id,
            "action": each.action.value,
            "ending": each.ending.value,
            "object_kind": None if each.thing is None else each.thing.kind.value,
            "object_id": None if each.thing is None else each.thing.id,
            "details": each.details,
            "request_id": each.request_id,
        }
        for each in entries
    ]
    await connection.execute(insert(audit_entries).values(at=now_ms()), columns)


async def page(
    connection: AsyncConnection, workspace_id: UUID, wanted: EntryFilter, *, limit: int, offset: int
) -> tuple[list[EntryRow], int]:
    """A page of a workspace's entries, the newest first, and how many there are."""
    conditions = [audit_entries.c.workspace_id == workspace_id, *_conditions(wanted)]
    return await fetch_page(connection, audit_entries, EntryRow, conditions, limit=limit, offset=offset)


async def house_page(connection: AsyncConnection, wanted: EntryFilter, *, limit: int) -> tuple[list[EntryRow], int]:
    """The newest entries of all workspaces and of none, and how many there are: for who runs the house alone."""
    return await fetch_page(connection, audit_entries, EntryRow, _conditions(wanted), limit=limit, offset=0)


async def forget(connection: AsyncConnection, kept_ms: int, most: int) -> int:
    """Remove up to ``most`` entries that are older than ``kept_ms``, and as many of strangers' that are a month old.

    Returns how many of the one kind or of the other, whichever are more.
    """
    now = await clock.read(connection)
    entry = audit_entries.c
    removed = await _remove(connection, entry.id < since(now - kept_ms), most)
    strange = and_(entry.workspace_id.is_(None), entry.actor_kind == ActorKind.NOBODY.value)
    return max(removed, await _remove(connection, and_(strange, entry.id < since(now - _STRANGERS_KEPT_MS)), most))


async def _remove(connection: AsyncConnection, condition: ColumnElement[bool], most: int) -> int:
    some = select(audit_entries.c.id).where(condition).order_by(audit_entries.c.id).limit(most)
    return (await connection.execute(delete(audit_entries).where(audit_entries.c.id.in_(some)))).rowcount


def _conditions(wanted: EntryFilter) -> Sequence[ColumnElement[bool]]:
    entry = audit_entries.c
    conditions = {
        entry.action: wanted.action and wanted.action.value,
        entry.ending: wanted.ending and wanted.ending.value,
        entry.request_id: wanted.request_id,
        entry.actor_kind: wanted.actor and wanted.actor.kind.value,
        entry.actor_id: wanted.actor and wanted.actor.id,
        entry.object_kind: wanted.thing and wanted.thing.kind.value,
        entry.object_id: wanted.thing and wanted.thing.id,
    }
    found = [column == value for column, value in conditions.items() if value is not None]
    if wanted.since is not None:
        found.append(entry.at >= wanted.since)
    if wanted.until is not None:
        found.append(entry.at < wanted.until)
    return found
