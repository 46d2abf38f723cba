"""Letting a suppressed address be written to again, and sending what its suppression had stopped."""

from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.workspaces.paging import Pagination
from api_shim.workspaces.stored import change_one
from api_shim.workspaces.suppression_types import ReleaseList, ReleaseQuery, ReleaseReply, ReleaseRequest
from api_shim.workspaces.suppression_views import release_view
from api_shim.workspaces.suppressions import addresses_of
from models import ids
from models.audit import Action
from models.ids import Kind
from models.store import releases, replays, suppressions
from models.store.releases import ReleaseRow, Subject
from models.store.replays import Replayed, Wanted
from models.vocabulary import FailureReason, Scope, SuppressionKind

_RESENT_AT_ONCE: Final = 200
_NOTHING: Final = Replayed(None, 0, {}, frozenset())


async def remove(call: Call) -> Reply:
    """Release a suppression, without a word."""

    async def removed(connection: AsyncConnection, workspace_id: UUID, wanted: UUID) -> ReleaseRow | None:
        if await suppressions.get(connection, workspace_id, wanted) is None:
            return None
        return await releases.release(connection, workspace_id, wanted, by=call.caller.actor.shown(), note=None)

    await change_one(call, Kind.SUPPRESSION, "suppression", Action.SUPPRESSION_RELEASE, removed)
    return Reply()


async def release(call: Call, request: ReleaseRequest) -> Reply:
    """Release a suppression, and send again what FAILED because of it where that is asked for.

    What was released before is found by its id: a repetition goes on where the request before left off.
    """
    if request.resend:
        call.caller.need(Scope.MESSAGES_WRITE)
    wanted = call.path_id("suppressionId", Kind.SUPPRESSION, "suppression")
    after = None if request.after is None else ids.parse(Kind.MESSAGE, request.after)
    if request.after is not None and after is None:
        raise problems.invalid("It is no message's id.", "#/after")
    if request.dry_run:
        return await _count(call, wanted)
    done = _NOTHING
    async with changing(call, Action.SUPPRESSION_RELEASE) as change:
        by = call.caller.actor.shown()
        row = await releases.release(change.connection, call.workspace_id, wanted, by=by, note=request.note)
        if row is None:
            raise problems.not_found("suppression")
        if request.resend:
            done = await replays.retry_some(
                change.connection, call.workspace_id, _stopped(row), after=after, most=_RESENT_AT_ONCE
            )
        change.of(Kind.SUPPRESSION, wanted, retried=done.retried)
    for channel, lane in done.woken:
        call.services.wakeups.poke(channel.value.lower(), lane.value)
    more = None if done.last is None else ids.show(Kind.MESSAGE, done.last)
    refused = dict(done.refused)
    return Reply(
        ReleaseReply(released=release_view(row), matching=None, retried=done.retried, refused=refused, next=more)
    )


async def _count(call: Call, wanted: UUID) -> Reply:
    async with call.services.database.read() as connection:
        about = await releases.subject(connection, call.workspace_id, wanted)
        if about is None:
            raise problems.not_found("suppression")
        matching = await replays.count(connection, call.workspace_id, _stopped(about))
    return Reply(ReleaseReply(released=None, matching=matching, retried=0, refused={}, next=None))


def _stopped(about: Subject) -> Wanted:
    """The messages that a suppression stopped at the last moment; what it refused earlier was never stored."""
    dead = about.kind is SuppressionKind.DEAD
    return Wanted(
        since=about.suppressed_at,
        channel=about.channel,
        reason=FailureReason.SUPPRESSED if dead else FailureReason.OPTED_OUT,
        address_digest=about.address_digest,
        topic=about.topic or None,
    )


async def list_all(call: Call, query: ReleaseQuery) -> Reply:
    """A page of releases, the latest first."""
    at = await addresses_of(call, query.channel, query.address)
    async with call.services.database.read() as connection:
        rows, total = await releases.page(
            connection, call.workspace_id, query.channel, at, limit=query.limit, offset=query.offset
        )
    return Reply(ReleaseList(data=[release_view(row) for row in rows], pagination=Pagination.of(query, total)))
