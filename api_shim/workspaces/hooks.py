"""Hooks and the events that came in by them, in the "workspace" dialect."""

import secrets
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from api_shim.audit import changing
from api_shim.hook_providers import changed_key, check_topics
from api_shim.hook_providers import signing_key as new_key
from api_shim.operations import Call, Reply
from api_shim.workspaces.hook_types import (
    EventList,
    EventQuery,
    EventView,
    HookList,
    HookPatch,
    HookRequest,
    HookView,
)
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.rotation import rotated
from api_shim.workspaces.stored import change_one, fetch_one, remove_one
from api_shim.workspaces.views import event_fields, shown
from models import ids
from models.audit import Action
from models.evidence import Provider
from models.ids import Kind
from models.sealing import SealedFor
from models.secrets import Keyring, token_digest
from models.store import event_views, hooks
from models.store.event_views import EventFilter, EventRow
from models.store.hooks import HookRow, NewHook
from models.timestamps import show, show_optional

_KEY_BYTES: Final = 24


def _view(call: Call, keyring: Keyring, row: HookRow, *, signing_key: str | None = None) -> HookView:
    hook_key = keyring.open_text(row.hook_key, SealedFor.HOOK_KEY)
    return HookView(
        id=ids.show(Kind.HOOK, row.id),
        provider=row.provider,
        hook_key=hook_key,
        url=f"{call.services.settings.public_url}/hooks/{row.provider}/{hook_key}",
        topic_arns=row.topic_arns,
        basic_auth=row.basic_auth is not None,
        created_at=show(row.created_at),
        previous_signing_key_until=show_optional(row.signing_key_previous_until),
        signing_key=UNSET if signing_key is None else signing_key,
    )


async def create(call: Call, request: HookRequest) -> Reply:
    """Make a hook; its signing key is shown in this answer alone."""
    provider = Provider(request.provider)
    signing_key = new_key(provider, request.signing_key)
    check_topics(provider, request.topic_arns)
    keyring = await call.services.keyring()
    hook_key = secrets.token_urlsafe(_KEY_BYTES)
    new = NewHook(
        provider=provider,
        hook_key_digest=token_digest(hook_key),
        hook_key=keyring.seal(hook_key.encode(), SealedFor.HOOK_KEY),
        signing_key=None if signing_key is None else keyring.seal(signing_key.encode(), SealedFor.HOOK_SIGNING_KEY),
        basic_auth=None
        if request.basic_auth is None
        else keyring.seal(request.basic_auth.encode(), SealedFor.HOOK_BASIC_AUTH),
        topic_arns=request.topic_arns,
    )
    async with changing(call, Action.HOOK_CREATE) as change:
        row = await hooks.create(change.connection, call.workspace_id, new)
        change.of(Kind.HOOK, row.id, provider=provider.value)
    return Reply(_view(call, keyring, row, signing_key=signing_key))


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of hooks, the newest first."""
    keyring = await call.services.keyring()
    async with call.services.database.read() as connection:
        rows, total = await hooks.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    data = [_view(call, keyring, row) for row in rows]
    return Reply(HookList(data=data, pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One hook."""
    row = await fetch_one(call, Kind.HOOK, "hook", hooks.get)
    return Reply(_view(call, await call.services.keyring(), row))


async def patch(call: Call, request: HookPatch) -> Reply:
    """Change a hook; a signing key that is new is shown in this answer alone."""
    provider = (await fetch_one(call, Kind.HOOK, "hook", hooks.get)).provider
    keyring = await call.services.keyring()
    signing_key = None if request.signing_key is UNSET else changed_key(provider, request.signing_key)
    changed: dict[str, Any] = {}
    if request.topic_arns is not UNSET:
        check_topics(provider, request.topic_arns)
        changed["topic_arns"] = request.topic_arns
    if isinstance(request.basic_auth, str):
        changed["basic_auth"] = keyring.seal(request.basic_auth.encode(), SealedFor.HOOK_BASIC_AUTH)
    elif request.basic_auth is None:
        changed["basic_auth"] = None

    def values(old: HookRow) -> Mapping[str, Any]:
        if signing_key is None:
            return changed
        return changed | rotated(keyring, SealedFor.HOOK_SIGNING_KEY, "signing_key", signing_key, old.signing_key)

    row = await change_one(call, Kind.HOOK, "hook", Action.HOOK_CHANGE, hooks.change, values)
    return Reply(_view(call, keyring, row, signing_key=signing_key))


async def remove(call: Call) -> Reply:
    """Remove a hook: what comes in by it from now on is refused."""
    await remove_one(call, Kind.HOOK, "hook", Action.HOOK_REMOVE, hooks.remove)
    return Reply()


async def list_events(call: Call, query: EventQuery) -> Reply:
    """A page of events, the newest first."""
    hook_id = None if query.hook_id is None else ids.parse(Kind.HOOK, query.hook_id)
    message_id = None if query.message_id is None else ids.parse(Kind.MESSAGE, query.message_id)
    if (hook_id is None) != (query.hook_id is None) or (message_id is None) != (query.message_id is None):
        return Reply(EventList(data=[], pagination=Pagination.of(query, 0)))
    wanted = EventFilter(
        source_id=hook_id, provider=query.provider, type=query.type, message_id=message_id, matched=query.matched
    )
    async with call.services.database.read() as connection:
        rows, total = await event_views.page(
            connection, call.workspace_id, wanted, limit=query.limit, offset=query.offset
        )
    data = [_event_view(row, call.workspace_id) for row in rows]
    return Reply(EventList(data=data, pagination=Pagination.of(query, total)))


def _event_view(row: EventRow, workspace_id: UUID) -> EventView:
    return EventView(
        **event_fields(row),
        hook_id=None if row.source_id == workspace_id else ids.show(Kind.HOOK, row.source_id),
        message_id=shown(Kind.MESSAGE, row.message_id or row.message_ref),
    )
