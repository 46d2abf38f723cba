"""Sending again what did not arrive, some messages per request."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call, Operation, Reply, taking
from api_shim.workspaces.nouns import BAD_BODY, BASE
from api_shim.workspaces.paging import Moment
from models import ids, timestamps
from models.audit import Action
from models.errors import Refused
from models.faults import Fault
from models.ids import Kind
from models.store import campaigns, replays
from models.store.replays import Wanted
from models.vocabulary import Channel, FailureReason, Scope


class ReplayRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Which messages: those that FAILED ``since`` then, of which everything that is given holds.

    ``bounced``: BOUNCED ones too. What a person cancelled or gave up is left, unless its ``reason`` is asked for.
    ``dryRun`` counts them and changes nothing. ``after``: ``next`` of the answer before.
    """

    since: Moment
    channel: Channel | None = None
    reason: FailureReason | None = None
    fault: Fault | None = None
    campaign_id: str | None = None
    bounced: bool = False
    dry_run: bool = False
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 100


class ReplayView(msgspec.Struct, rename="camel", kw_only=True):
    """What was done. ``matching``: how many messages match, in a dry run, else null.

    ``refused``: how many stay as they are because they would end at once, by reason. ``next``: give it as ``after``
    to go on; null where there are no more.
    """

    matching: int | None
    retried: int
    refused: dict[FailureReason, int]
    next: str | None


async def replay(call: Call, request: ReplayRequest) -> Reply:
    """Count the messages, or send some of them again."""
    wanted = await _wanted(call, request)
    if request.dry_run:
        async with call.services.database.read() as connection:
            matching = await replays.count(connection, call.workspace_id, wanted)
        return Reply(ReplayView(matching=matching, retried=0, refused={}, next=None))
    after = None if request.after is None else ids.parse(Kind.MESSAGE, request.after)
    if request.after is not None and after is None:
        raise problems.invalid("It is no message's id.", "#/after")
    async with changing(call, Action.MESSAGE_REPLAY) as change:
        done = await replays.retry_some(change.connection, call.workspace_id, wanted, after=after, most=request.limit)
        change.details = {"retried": done.retried}
    for channel, lane in done.woken:
        call.services.wakeups.poke(channel.value.lower(), lane.value)
    more = None if done.last is None else ids.show(Kind.MESSAGE, done.last)
    return Reply(ReplayView(matching=None, retried=done.retried, refused=dict(done.refused), next=more))


async def _wanted(call: Call, request: ReplayRequest) -> Wanted:
    campaign_id = None if request.campaign_id is None else ids.parse(Kind.CAMPAIGN, request.campaign_id)
    if request.campaign_id is not None:
        async with call.services.database.read() as connection:
            found = campaign_id and await campaigns.get_campaign(connection, call.workspace_id, campaign_id)
        if not found:
            raise Refused(FailureReason.UNKNOWN_CAMPAIGN, "There is no such campaign.", "#/campaignId")
    return Wanted(
        since=timestamps.from_datetime(request.since),
        channel=request.channel,
        reason=request.reason,
        fault=request.fault,
        campaign_id=campaign_id,
        bounced=request.bounced,
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        f"{BASE}/messages/replay",
        summary="Send again what did not arrive since a time: up to 200 messages a request, or a dry run that counts",
        tag="Messages",
        scope=Scope.MESSAGES_WRITE,
        responses={200: ReplayView},
        errors=(*BAD_BODY, problems.REFUSALS[FailureReason.UNKNOWN_CAMPAIGN]),
        **taking(ReplayRequest, replay),
    ),
)
