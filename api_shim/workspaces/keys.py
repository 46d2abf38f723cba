"""API keys in the "workspace" dialect."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.audit import changing
from api_shim.decoding import milliseconds
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from api_shim.workspaces.key_types import KeyList, KeyPatch, KeyRequest, KeyView
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.stored import change_one, fetch_one, remove_one
from models import ids
from models.audit import Action
from models.errors import Conflict
from models.ids import Kind
from models.sandboxes import is_sandbox, sandbox_of
from models.secrets import new_token
from models.store import keys, sandboxes
from models.store.keys import KeyRow, prefix_of
from models.timestamps import show, show_optional
from models.vocabulary import Scope


def _view(row: KeyRow, token: str | None = None) -> KeyView:
    view = KeyView(
        id=ids.show(Kind.KEY, row.id),
        test=is_sandbox(row.workspace_id),
        name=row.name,
        hint=row.hint,
        scopes=sorted(row.scopes),
        created_at=show(row.created_at),
        expires_at=show_optional(row.expires_at),
        revoked_at=show_optional(row.revoked_at),
        last_used_at=show_optional(row.last_used_at),
    )
    if token is not None:
        view.token = token
    return view


async def create(call: Call, request: KeyRequest) -> Reply:
    """Make a key that may do no more than its maker."""
    own = call.caller.scopes
    scopes = own - {Scope.ESSENTIAL} if request.scopes is None else frozenset(request.scopes)
    if not scopes <= own:
        raise Problem(problems.MISSING_SCOPE, "A key cannot give scopes that it does not have.")
    expires_at = milliseconds(request.expires_at, "#/expiresAt")
    if expires_at is not None and expires_at <= time.time() * 1000:
        raise problems.invalid("lies in the past", "#/expiresAt")
    owner = sandbox_of(call.workspace_id) if request.test else call.workspace_id
    token, digest = new_token(prefix_of(owner))
    async with changing(call, Action.KEY_CREATE) as change:
        if request.test:
            await sandboxes.ensure(change.connection, call.workspace_id)
        row = await keys.create(
            change.connection,
            owner,
            name=request.name,
            digest=digest,
            hint=token[-4:],
            scopes=scopes,
            expires_at=expires_at,
        )
        change.of(Kind.KEY, row.id, scopes=sorted(scope.value for scope in scopes))
    return Reply(_view(row, token))


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of keys, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await keys.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    return Reply(KeyList(data=[_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One key."""
    return Reply(_view(await fetch_one(call, Kind.KEY, "key", keys.get)))


async def patch(call: Call, request: KeyPatch) -> Reply:
    """Change a key: at once in this process, within a second in others. Nobody gives or takes scopes they lack."""
    wanted = None if request.scopes is UNSET else frozenset(request.scopes)

    def values(old: KeyRow) -> Mapping[str, Any]:
        if old.revoked_at is not None:
            raise Conflict("The key was revoked, for good.")
        if wanted is not None and not wanted ^ old.scopes <= call.caller.scopes:
            raise Problem(problems.MISSING_SCOPE, "Nobody gives or takes scopes that they do not have.")
        named = {} if request.name is UNSET else {"name": request.name}
        return named if wanted is None else named | {"scopes": sorted(scope.value for scope in wanted)}

    row = await change_one(call, Kind.KEY, "key", Action.KEY_CHANGE, keys.change, values)
    call.services.authenticator.forget()
    return Reply(_view(row))


async def revoke(call: Call) -> Reply:
    """Revoke a key that may do no more than its revoker: at once in this process, within a second in others."""

    def checked(old: KeyRow) -> Mapping[str, Any]:
        if not old.scopes <= call.caller.scopes:
            raise Problem(problems.MISSING_SCOPE, "Only who has every scope of a key revokes it.")
        return {}

    async def revoked(connection: AsyncConnection, workspace_id: UUID, key_id: UUID) -> bool:
        await keys.change(connection, workspace_id, key_id, checked)
        return await keys.revoke(connection, workspace_id, key_id)

    try:
        await remove_one(call, Kind.KEY, "key", Action.KEY_REVOKE, revoked)
    finally:  # also where another process has revoked it already
        call.services.authenticator.forget()
    return Reply()
