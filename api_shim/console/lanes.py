"""What waits in each lane, as a page and as the JSON of which the page's script draws."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from api_shim.console.pages import BELOW, Page, PageCall, Values
from api_shim.operations import Call, Operation, Reply
from models import ids
from models.ids import Kind
from models.store import counts, lane_depths, pauses, recent
from models.store.lane_depths import MOST_COUNTED, Depth
from models.timestamps import show
from models.vocabulary import Channel, Lane, Scope


class LaneView(msgspec.Struct, rename="camel"):
    """One lane, its messages counted up to ``mostCounted``. ``waitedMs``: how long its next has been due.

    ``accepted``: how many came since the place that was asked from; null where none was.
    """

    lane: Lane
    ready: int
    later: int
    in_flight: int
    waited_ms: int | None
    accepted: int | None


class ChannelView(msgspec.Struct, rename="camel"):
    """A channel. ``unended``: its messages that wait or are being sent, exactly."""

    channel: Channel
    unended: int
    rests_until: str | None
    lanes: list[LaneView]


class LanesView(msgspec.Struct, rename="camel"):
    """All lanes. ``cursor``: the newest message, from which to ask the next time; null where there is none."""

    cursor: str | None
    most_counted: int
    channels: list[ChannelView]


class LanesQuery(msgspec.Struct):
    """``after``: the ``cursor`` of an earlier answer."""

    after: str = ""


async def view(call: PageCall) -> Values:
    """The page, with the numbers of now."""
    return {"lanes": await _look(call, None)}


async def numbers(call: Call) -> Reply:
    """The numbers of now."""
    after = ids.parse(Kind.MESSAGE, call.query(LanesQuery).after)
    return Reply(await _look(call, after), headers={"Cache-Control": "no-store"})


async def _look(call: Call, after: UUID | None) -> LanesView:
    own = call.workspace_id
    async with call.services.database.read() as connection:
        newest = await recent.newest(connection, own)
        came = None
        if after is not None and newest is not None:
            came = await recent.accepted(connection, own, after, newest)
        unended = await counts.unended(connection, own)
        depths = await lane_depths.depths(connection, own)
        rests = await pauses.standing(connection)
    return LanesView(
        cursor=None if newest is None else ids.show(Kind.MESSAGE, newest),
        most_counted=MOST_COUNTED,
        channels=[
            ChannelView(
                channel=channel,
                unended=unended.get(channel, 0),
                rests_until=show(rests[channel].until) if channel in rests else None,
                lanes=[_lane(each, came) for each in depths if each.channel is channel],
            )
            for channel in Channel
        ],
    )


def _lane(depth: Depth, came: Mapping[tuple[Channel, Lane], int] | None) -> LaneView:
    return LaneView(
        lane=depth.lane,
        ready=depth.ready,
        later=depth.later,
        in_flight=depth.in_flight,
        waited_ms=depth.waited,
        accepted=None if came is None else came.get((depth.channel, depth.lane), 0),
    )


PAGES: Final = (Page("/lanes", "lanes.html", view, title="Lanes"),)
OPERATIONS: Final = (
    Operation(
        "GET",
        f"{BELOW}/lanes.json",
        numbers,
        summary="What waits in each lane",
        tag="Console",
        scope=Scope.MESSAGES_READ,
        query=LanesQuery,
        needs_session=True,
        responses={200: LanesView},
    ),
)
