"""API keys: only their digests are kept."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.sandboxes import is_sandbox, sandbox_of
from models.session import now_ms
from models.store.recordset import among
from models.store.rows import change_one, fetch_one, fetch_page, insert_one
from models.tables import api_keys
from models.vocabulary import Scope

TOKEN_PREFIX: Final = "wr_live_"
"""How the secret of a workspace's key begins."""
TEST_PREFIX: Final = "wr_test_"
"""How that of a sandbox's does, for people to see: what a key opens is its workspace."""


class KeyRow(msgspec.Struct, frozen=True):
    """A key without its secret. ``hint`` is the secret's last characters. Times are milliseconds (UTC).

    ``last_used_at`` is coarse: as often as ``note_use`` is told to write it.
    """

    id: UUID
    workspace_id: UUID
    name: str
    hint: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None


def prefix_of(workspace_id: UUID) -> str:
    """How the secrets of a workspace's keys begin."""
    return TEST_PREFIX if is_sandbox(workspace_id) else TOKEN_PREFIX


def governed(workspace_id: UUID) -> ColumnElement[bool]:
    """The keys that a workspace decides on: its own and its sandbox's. A sandbox knows none but its own."""
    return api_keys.c.workspace_id.in_({workspace_id, sandbox_of(workspace_id)})


async def create(
    connection: AsyncConnection,
    workspace_id: UUID,
    *,
    name: str,
    digest: bytes,
    hint: str,
    scopes: Collection[Scope],
    expires_at: int | None,
) -> KeyRow:
    """Store a key; ``digest`` is ``models.secrets.token_digest`` of its secret (32 bytes)."""
    return await insert_one(
        connection,
        api_keys,
        KeyRow,
        workspace_id=workspace_id,
        name=name,
        digest=digest,
        hint=hint,
        scopes=sorted(scope.value for scope in scopes),
        expires_at=expires_at,
    )


async def by_digest(connection: AsyncConnection, digest: bytes) -> KeyRow | None:
    """The key of a secret, whatever its workspace: the only query that does not know one yet."""
    return await fetch_one(connection, api_keys, KeyRow, [api_keys.c.digest == digest])


async def get(connection: AsyncConnection, workspace_id: UUID, key_id: UUID) -> KeyRow | None:
    """The key, where it exists in this workspace or its sandbox."""
    conditions = [governed(workspace_id), api_keys.c.id == key_id]
    return await fetch_one(connection, api_keys, KeyRow, conditions)


async def page(connection: AsyncConnection, workspace_id: UUID, *, limit: int, offset: int) -> tuple[list[KeyRow], int]:
    """A page of keys, the revoked ones and the sandbox's too, and their number."""
    conditions = [governed(workspace_id)]
    return await fetch_page(connection, api_keys, KeyRow, conditions, limit=limit, offset=offset)


async def change(
    connection: AsyncConnection, workspace_id: UUID, key_id: UUID, values: Callable[[KeyRow], Mapping[str, Any]]
) -> KeyRow | None:
    """Write the columns that ``values`` gives for the row as it stands; None where there is none."""
    wanted = [governed(workspace_id), api_keys.c.id == key_id]
    return await change_one(connection, api_keys, KeyRow, wanted, values)


async def note_use(connection: AsyncConnection, key_ids: Collection[UUID], every_ms: int) -> None:
    """Note that these keys are in use, unless that was noted less than ``every_ms`` ago."""
    await connection.execute(
        update(api_keys)
        .where(
            among(api_keys.c.id, key_ids, is_sqlite=connection.dialect.name == "sqlite"),
            or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < now_ms() - every_ms),
        )
        .values(last_used_at=now_ms())
    )


async def revoke(connection: AsyncConnection, workspace_id: UUID, key_id: UUID) -> bool:
    """Revoke a key; False where there is none that is still good."""
    result = await connection.execute(
        update(api_keys)
        .where(governed(workspace_id), api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now_ms())
        .returning(api_keys.c.id)
    )
    return result.first() is not None
