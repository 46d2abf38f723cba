"""A workspace's own senders, in the "workspace" dialect. Their credentials are read here once, and never shown."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.problems import FieldError, Problem
from api_shim.workspaces.sender_types import (
    RestView,
    SenderCredentials,
    SenderHint,
    SenderPatch,
    SenderRequest,
    SenderView,
)
from channels.senders import TYPES, BadCredentials, Credentials, check, keep
from models import ids
from models.audit import Action
from models.ids import Kind
from models.sealing import SealedFor
from models.store import clock, sender_rests, senders
from models.store.senders import NewSender, SenderRow
from models.timestamps import show
from models.vocabulary import Channel

_MOST: Final = 50
_POINTER: Final = "#/credentials"
_ALONE: Final[Mapping[Channel, str]] = {
    Channel.PUSH: "PUSH has one sender: browsers subscribe with its key, and take messages of no other.",
    Channel.TELEGRAM: "TELEGRAM has one sender: chats are begun with its bot, and know no other. Change it instead.",
}


def resting_of(row: SenderRow, now: int) -> RestView | None:
    """Until when the sender is left alone; None where it is in use."""
    if row.resting_until is None or row.resting_until <= now:
        return None
    return RestView(until=show(row.resting_until), reason=row.last_error or "")


def view_of(row: SenderRow, now: int) -> SenderView:
    """The sender as it is shown."""
    return SenderView(
        id=ids.show(Kind.SENDER, row.id),
        channel=row.channel,
        name=row.name,
        hint=msgspec.convert(row.hint, SenderHint),
        position=row.position,
        weight=row.weight,
        rate_per_second=row.per_second,
        paused=row.paused,
        resting=resting_of(row, now),
        last_error=row.last_error,
        version=row.version,
        created_at=show(row.created_at),
        updated_at=show(row.updated_at),
    )


def channel_in(call: Call) -> Channel:
    """The channel that the path names; raises Problem (404)."""
    name = call.path("channel")
    if name not in Channel.__members__:
        raise problems.not_found("channel")
    return Channel(name)


async def create(call: Call, request: SenderRequest) -> Reply:
    """Make a sender."""
    channel = channel_in(call)
    kept = await _sealed(call, channel, request.credentials)
    new = NewSender(
        channel=channel,
        name=request.name,
        position=request.position,
        weight=request.weight,
        per_second=request.rate_per_second,
        paused=request.paused,
        **kept,
    )
    async with changing(call, Action.SENDER_CREATE) as change:
        _check_room(channel, await senders.lock(change.connection, call.workspace_id, channel))
        row = await senders.create(change.connection, call.workspace_id, new)
        await sender_rests.wake(change.connection, call.workspace_id, channel)
        now = await clock.read(change.connection)
        change.of(Kind.SENDER, row.id, channel=channel.value)
    await _felt(call)
    return Reply(view_of(row, now))


async def get(call: Call) -> Reply:
    """One sender."""
    channel, sender_id = channel_in(call), call.path_id("senderId", Kind.SENDER, "sender")
    async with call.services.database.read() as connection:
        row = await senders.get(connection, call.workspace_id, channel, sender_id)
        now = await clock.read(connection)
    if row is None:
        raise problems.not_found("sender")
    return Reply(view_of(row, now))


async def patch(call: Call, request: SenderPatch) -> Reply:
    """Change a sender; with new credentials it is tried at once."""
    channel, sender_id = channel_in(call), call.path_id("senderId", Kind.SENDER, "sender")
    changed = {
        name: value
        for name in ("name", "position", "weight", "paused")
        if (value := getattr(request, name)) is not UNSET
    }
    if request.rate_per_second is not UNSET:
        changed["per_second"] = request.rate_per_second
    if request.credentials is not UNSET:
        changed |= await _sealed(call, channel, request.credentials)

    def values(old: SenderRow) -> Mapping[str, Any]:
        return changed

    async with changing(call, Action.SENDER_CHANGE) as change:
        change.of(Kind.SENDER, sender_id)
        row = await senders.change(change.connection, call.workspace_id, channel, sender_id, values)
        if row is None:
            raise problems.not_found("sender")
        if not row.paused:
            await sender_rests.wake(change.connection, call.workspace_id, channel)
        now = await clock.read(change.connection)
    await _felt(call)
    return Reply(view_of(row, now))


async def remove(call: Call) -> Reply:
    """Remove a sender with its credentials; what waits for it goes by the others."""
    channel, sender_id = channel_in(call), call.path_id("senderId", Kind.SENDER, "sender")
    async with changing(call, Action.SENDER_REMOVE) as change:
        change.of(Kind.SENDER, sender_id)
        if not await senders.remove(change.connection, call.workspace_id, channel, sender_id):
            raise problems.not_found("sender")
        await sender_rests.wake(change.connection, call.workspace_id, channel)
    await _felt(call)
    return Reply()


async def _felt(call: Call) -> None:
    (await call.services.intake()).senders.forget(call.workspace_id)


async def _sealed(call: Call, channel: Channel, given: SenderCredentials) -> dict[str, Any]:
    """The columns of checked credentials; raises Problem (400, 409)."""
    credentials = _of_channel(channel, given)
    allow_nets = call.services.channel_settings.webhook_allow_nets
    try:
        # In a thread: reading a private key may take long.
        hint = await asyncio.to_thread(check, credentials, allow_nets)
    except BadCredentials as error:
        raise problems.invalid(str(error), f"{_POINTER}/{error.field}") from None
    keyring = await call.services.keyring()
    return {"credentials": keyring.seal(keep(credentials), SealedFor.SENDER), "hint": hint}


def _of_channel(channel: Channel, given: SenderCredentials) -> Credentials:
    """What the channel needs, and nothing else; raises Problem (400, 409)."""
    if channel not in TYPES:
        raise Problem(
            problems.CONFLICT, f"{channel} needs no sender: every contact has a secret or an inbox of its own."
        )
    wanted = {each.encode_name: each for each in msgspec.structs.fields(TYPES[channel])}
    present = {
        each.encode_name: value
        for each in msgspec.structs.fields(SenderCredentials)
        if (value := getattr(given, each.name)) is not None
    }
    for name in present.keys() - wanted.keys():
        raise problems.invalid(f"{channel} has no such credential", f"{_POINTER}/{name}")
    for name, each in wanted.items():
        if each.required and name not in present:
            raise Problem(problems.MISSING_FIELD, errors=(FieldError(f"{channel} needs it", f"{_POINTER}/{name}"),))
    return msgspec.convert(present, TYPES[channel])


def _check_room(channel: Channel, present: Sequence[SenderRow]) -> None:
    if channel in _ALONE and present:
        raise Problem(problems.CONFLICT, _ALONE[channel])
    if len(present) >= _MOST:
        raise Problem(problems.CONFLICT, f"A channel has at most {_MOST} senders.")
