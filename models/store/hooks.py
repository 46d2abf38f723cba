"""Hooks: the addresses under which providers report to a workspace. Secrets are stored sealed."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from models.evidence import Provider
from models.store.rows import change_one, fetch_one, fetch_page, insert_one
from models.tables import hooks


class HookRow(msgspec.Struct, frozen=True):
    """A hook; ``hook_key``, both signing keys and ``basic_auth`` are sealed. Times are milliseconds (UTC).

    ``signing_key_previous`` is good until ``signing_key_previous_until``.
    """

    id: UUID
    workspace_id: UUID
    provider: Provider
    hook_key: bytes
    signing_key: bytes | None
    signing_key_previous: bytes | None
    signing_key_previous_until: int | None
    basic_auth: bytes | None
    topic_arns: list[str]
    created_at: int


class NewHook(msgspec.Struct, frozen=True):
    """What a hook is made of; ``hook_key_digest`` (32 bytes) is what an incoming request is looked up by."""

    provider: Provider
    hook_key_digest: bytes
    hook_key: bytes
    signing_key: bytes | None
    basic_auth: bytes | None
    topic_arns: list[str]


async def create(connection: AsyncConnection, workspace_id: UUID, new: NewHook) -> HookRow:
    """Store a hook."""
    return await insert_one(connection, hooks, HookRow, workspace_id=workspace_id, **msgspec.structs.asdict(new))


async def by_key_digest(connection: AsyncConnection, digest: bytes) -> HookRow | None:
    """The hook that an incoming request names, whatever its workspace."""
    return await fetch_one(connection, hooks, HookRow, [hooks.c.hook_key_digest == digest])


async def get(connection: AsyncConnection, workspace_id: UUID, hook_id: UUID) -> HookRow | None:
    """The hook, where it exists in this workspace."""
    return await fetch_one(connection, hooks, HookRow, [hooks.c.workspace_id == workspace_id, hooks.c.id == hook_id])


async def page(
    connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int
) -> tuple[list[HookRow], int]:
    """A page of hooks and their number."""
    conditions = [hooks.c.workspace_id == workspace_id]
    return await fetch_page(connection, hooks, HookRow, conditions, limit=limit, offset=offset)


async def change(
    connection: AsyncConnection, workspace_id: UUID, hook_id: UUID, values: Callable[[HookRow], Mapping[str, Any]]
) -> HookRow | None:
    """Write the columns that ``values`` gives for the row as it stands; None where there is none."""
    wanted = [hooks.c.workspace_id == workspace_id, hooks.c.id == hook_id]
    return await change_one(connection, hooks, HookRow, wanted, values)


async def remove(connection: AsyncConnection, workspace_id: UUID, hook_id: UUID) -> bool:
    """Remove a hook; its events stay. False where there is none."""
    result = await connection.execute(
        delete(hooks).where(hooks.c.workspace_id == workspace_id, hooks.c.id == hook_id).returning(hooks.c.id)
    )
    return result.first() is not None
