"""How much there is of everything, over all workspaces: what metrics show of the database.

Each number comes of a few index probes, or of counts that are kept anyway. What may be many is counted up to ``MOST``
and no further: a backlog of a million must not be read for being looked at.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Integer, bindparam, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import counts, keeping, pauses, workers
from models.store.claim_rows import SUSPECT_AFTER
from models.suppression_reasons import SuppressionReason
from models.tables import events, messages, status_events, subscriptions, suppressions, workspaces
from models.vocabulary import Channel, Lane, NoticeState, Status

MOST: Final = 10_000
"""So many, or more."""

ByLane = Mapping[tuple[Channel, Lane], int]


class Levels(msgspec.Struct, frozen=True):
    """``messages``, ``in_flight`` and ``held`` are exact, and have no key for none; ``MOST`` ends the others.

    ``waited_ms``: how long the next of each lane has been due, 0 for an empty one. ``stale_workers`` are not known to
    be dead, but do not renew their lease. ``resting``: channels that are misconfigured.
    """

    messages: Mapping[tuple[Channel, Status], int]
    in_flight: Mapping[Channel, int]
    held: Mapping[Channel, int]
    ready: ByLane
    waited_ms: ByLane
    suspects: ByLane
    events_waiting: int
    events_parked: int
    status_events_waiting: int
    endpoints_off: int
    subscriptions_off: int
    workers: int
    stale_workers: int
    resting: frozenset[Channel]


async def read(connection: AsyncConnection, most: int = MOST) -> Levels:
    """As it is now: some fifteen statements, each of bounded work but for the sums of counts and of workspaces."""
    by_status: Counter[tuple[Channel, Status]] = Counter()
    in_flight: Counter[Channel] = Counter()
    held: Counter[Channel] = Counter()
    for each in await counts.of_all(connection):
        by_status[each.channel, each.status] += each.number
        if each.held:
            held[each.channel] += each.number
        elif each.status is Status.SENDING:
            in_flight[each.channel] += each.number
    row = (await connection.execute(_ONE_ROW, {"most": most})).one()._mapping
    following = await keeping.next_rows(connection)
    beats = await workers.heartbeats(connection, workers.LEASE_MS)
    stale = sum(beat.stale for beat in beats)
    return Levels(
        messages=by_status,
        in_flight=in_flight,
        held=held,
        ready={lane: row[_name("ready", *lane)] for lane in _LANES},
        waited_ms={lane: max(following[lane].waited, 0) if lane in following else 0 for lane in _LANES},
        suspects={lane: row[_name("suspects", *lane)] for lane in _LANES},
        **{name: int(row[name] or 0) for name in _NUMBERS},
        workers=len(beats) - stale,
        stale_workers=stale,
        resting=frozenset(await pauses.standing(connection)),
    )


_LANES: Final = [(channel, lane) for channel in Channel for lane in Lane]


def _name(of: str, channel: Channel, lane: Lane) -> str:
    return f"{of} {channel} {lane}"


def _up_to_most(*conditions: ColumnElement[bool]) -> Any:
    rows = select(literal(1)).where(*conditions).limit(bindparam("most", type_=Integer)).subquery()
    return select(func.count()).select_from(rows).scalar_subquery()


def _in_lane(channel: Channel, lane: Lane) -> tuple[ColumnElement[bool], ...]:
    return messages.c.channel == channel.value, messages.c.lane == lane.value, messages.c.turn.is_not(None)


def _switched_off() -> Any:
    """Of each workspace, since the index begins with that."""
    reasons = (SuppressionReason.ENDPOINT_GONE.value, SuppressionReason.ENDPOINT_FAILING.value)
    of_one = select(func.count()).where(
        suppressions.c.workspace_id == workspaces.c.id,
        suppressions.c.channel == Channel.WEBHOOK.value,
        suppressions.c.reason.in_(reasons),
    )
    return select(func.sum(of_one.correlate(workspaces).scalar_subquery())).select_from(workspaces).scalar_subquery()


# Words stand in the statement where a partial index needs them: a parameter would hide that it may be used.
_SUSPECT: Final = messages.c.crashes >= literal(SUSPECT_AFTER, literal_execute=True)
_PENDING: Final = status_events.c.state == literal(NoticeState.PENDING.value, literal_execute=True)
_NUMBERS: Final[Mapping[str, Any]] = {
    "events_waiting": _up_to_most(events.c.applied_at.is_(None), events.c.retry_at.is_(None)),
    "events_parked": _up_to_most(events.c.applied_at.is_(None), events.c.retry_at.is_not(None)),
    "status_events_waiting": _up_to_most(_PENDING),
    "endpoints_off": _switched_off(),
    "subscriptions_off": select(func.count()).where(subscriptions.c.disabled_at.is_not(None)).scalar_subquery(),
}
_ONE_ROW: Final = select(
    *(_up_to_most(*_in_lane(*lane)).label(_name("ready", *lane)) for lane in _LANES),
    *(_up_to_most(*_in_lane(*lane), _SUSPECT).label(_name("suspects", *lane)) for lane in _LANES),
    *(number.label(name) for name, number in _NUMBERS.items()),
)
