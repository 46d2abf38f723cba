"""What waits in each lane, what is being sent, and what became of the latest messages: a workspace at one look."""

from collections import Counter
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api_shim.operations import Call, Operation, Reply, asking
from api_shim.workspaces.nouns import BASE
from models import ids
from models.faults import Fault, fault_of
from models.store import clock, counts, lane_depths, pauses, recent
from models.timestamps import show
from models.vocabulary import Channel, Lane, Scope, Status

_MINUTE_MS: Final = 60_000


class LanesQuery(msgspec.Struct):
    """``minutes``: how far back the latest messages go."""

    minutes: Annotated[int, Meta(ge=1, le=1440)] = 5


class LaneView(msgspec.Struct, rename="camel"):
    """One lane; its messages are counted up to 10,000.

    ``ready``: they wait for a worker; ``later``: for a time, their own or that of their next try. ``oldestSeconds``:
    for how long the next of the ready ones has been due, null where there is none.
    """

    channel: Channel
    lane: Lane
    ready: int
    later: int
    in_flight: int
    oldest_seconds: float | None


class StatusCountView(msgspec.Struct):
    """How many messages of a channel stand in a status: ``total`` of all that are kept, ``recent`` of the latest."""

    channel: Channel
    status: Status
    total: int
    recent: int


class WorkspaceLanesView(msgspec.Struct, rename="camel"):
    """The workspace ``at`` a time. ``held``: of how many messages nobody knows whether they arrived.

    ``undelivered``: how many of the latest did not arrive, by whose fault that was. ``resting``: the channels whose
    sender is misconfigured, and which are not tried for a while. ``statuses``: those that any message has.
    """

    at: str
    minutes: int
    lanes: list[LaneView]
    statuses: list[StatusCountView]
    held: int
    undelivered: dict[Fault, int]
    resting: list[Channel]


async def look(call: Call, query: LanesQuery) -> Reply:
    """The workspace as it stands."""
    own = call.workspace_id
    async with call.services.database.read() as connection:
        now = await clock.read(connection)
        since = ids.since(now - query.minutes * _MINUTE_MS)
        depths = await lane_depths.depths(connection, own)
        totals = await counts.by_channel(connection, own)
        latest = await recent.by_status(connection, own, since)
        astray = await recent.undelivered_by_reason(connection, own, since)
        held = await counts.total(connection, own, held=True)
        resting = await pauses.standing(connection)
    undelivered = Counter[Fault]()
    for (status, reason), number in astray.items():
        fault = fault_of(status, reason)
        if fault is not None:
            undelivered[fault] += number
    return Reply(
        WorkspaceLanesView(
            at=show(now),
            minutes=query.minutes,
            lanes=[
                LaneView(
                    channel=each.channel,
                    lane=each.lane,
                    ready=each.ready,
                    later=each.later,
                    in_flight=each.in_flight,
                    oldest_seconds=None if each.waited is None else each.waited / 1000,
                )
                for each in depths
            ],
            statuses=[
                StatusCountView(channel, status, totals.get((channel, status), 0), latest.get((channel, status), 0))
                for channel in Channel
                for status in Status
                if (channel, status) in totals or (channel, status) in latest
            ],
            held=held,
            undelivered=dict(undelivered),
            resting=[channel for channel in Channel if channel in resting],
        )
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        f"{BASE}/lanes",
        summary="Say what waits in each lane, what is being sent, and what became of the latest messages",
        tag="Messages",
        scope=Scope.MESSAGES_READ,
        responses={200: WorkspaceLanesView},
        **asking(LanesQuery, look),
    ),
)
