"""Sending again what did not arrive, many messages at a time. What ``commands.retry`` does to one holds for each.

What was sent again has not failed any more: asking twice sends nothing twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Boolean, ColumnElement, Uuid, and_, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Parked, Standing, check_standing
from models.errors import Refused
from models.faults import REPORTED, Fault
from models.store import commands, turns
from models.store.recordset import Columns, parameters, recordset
from models.store.status_sql import at_fault, least, undelivered
from models.tables import message_details, messages
from models.vocabulary import Channel, FailureReason, Lane, Status

_SENT_AGAIN: Final[Columns] = {"id": Uuid(), "turn": BigInteger(), "paused": Boolean()}
# What a person called back or gave up: sent again only where that is what they ask for.
_A_PERSONS_WORD: Final = (FailureReason.CANCELLED.value, FailureReason.GIVEN_UP.value)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages: those that FAILED ``since`` then (milliseconds, UTC) and of which all that is given holds.

    ``bounced``: BOUNCED ones too. ``address_digest`` and ``topic``: to that address, about that topic.
    """

    since: int
    channel: Channel | None = None
    reason: FailureReason | None = None
    fault: Fault | None = None
    campaign_id: UUID | None = None
    bounced: bool = False
    address_digest: bytes | None = None
    topic: str | None = None


class Replayed(msgspec.Struct, frozen=True):
    """What became of some messages. ``last``: go on after it, None where there are no more.

    ``refused``: how many would end at once, by reason, and stay as they are. ``woken``: the lanes that got work.
    """

    last: UUID | None
    retried: int
    refused: Mapping[FailureReason, int]
    woken: frozenset[tuple[Channel, Lane]]


def _conditions(workspace_id: UUID, wanted: Wanted, *, is_sqlite: bool) -> list[ColumnElement[bool]]:
    reported = least(messages.c.failed_at, messages.c.hard_bounced_at, messages.c.soft_bounced_at, is_sqlite=is_sqlite)
    conditions = [
        messages.c.workspace_id == workspace_id,
        undelivered(),
        commands.ended_undelivered(),
        func.coalesce(reported, messages.c.ended_at) >= wanted.since,
        _because(wanted.reason),
    ]
    if not wanted.bounced:
        conditions.append(messages.c.status == Status.FAILED.value)
    if wanted.fault is not None:
        conditions.append(at_fault(wanted.fault))
    if wanted.channel is not None:
        conditions.append(messages.c.channel == wanted.channel.value)
    if wanted.campaign_id is not None:
        conditions.append(messages.c.campaign_id == wanted.campaign_id)
    if wanted.address_digest is not None:
        to_it = [
            message_details.c.message_id == messages.c.id,
            message_details.c.address_digest == wanted.address_digest,
        ]
        if wanted.topic is not None:
            to_it.append(message_details.c.topic == wanted.topic)
        conditions.append(exists().where(*to_it))
    return conditions


def _because(reason: FailureReason | None) -> ColumnElement[bool]:
    own = messages.c.failure_reason
    if reason is None:
        return func.coalesce(own, "").not_in(_A_PERSONS_WORD)
    reported = [status.value for status, each in REPORTED.items() if each is reason]
    if not reported:
        return own == reason.value
    return (own == reason.value) | and_(own.is_(None), messages.c.status.in_(reported))


async def count(connection: AsyncConnection, workspace_id: UUID, wanted: Wanted) -> int:
    """How many messages match now."""
    is_sqlite = connection.dialect.name == "sqlite"
    query = select(func.count()).select_from(messages).where(*_conditions(workspace_id, wanted, is_sqlite=is_sqlite))
    return int(await connection.scalar(query) or 0)


async def retry_some(
    connection: AsyncConnection, workspace_id: UUID, wanted: Wanted, *, after: UUID | None, most: int
) -> Replayed:
    """Begin a new run of up to ``most`` messages that match, the oldest first, those with ids above ``after``.

    Those that somebody else is changing at this moment are left out.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    conditions = _conditions(workspace_id, wanted, is_sqlite=is_sqlite)
    if after is not None:
        conditions.append(messages.c.id > after)
    rows = await connection.scalars(
        select(messages.c.id).where(*conditions).order_by(messages.c.id).limit(most).with_for_update(skip_locked=True)
    )
    ids = rows.all()
    if not ids:
        return Replayed(None, 0, {}, frozenset())
    standings = await commands.standings(connection, workspace_id, ids)
    ready: list[tuple[UUID, turns.Group]] = []
    parked: list[UUID] = []
    refused: Counter[FailureReason] = Counter()
    for each in ids:
        lane, standing = standings[each]
        reason = _refusal(standing)
        if isinstance(reason, FailureReason):
            refused[reason] += 1
        elif reason is Parked:
            parked.append(each)
        else:
            ready.append((each, (*lane, workspace_id)))
    await _send_again(connection, ready, parked)
    last = ids[-1] if len(ids) == most else None
    woken = frozenset((channel, lane) for _, (channel, lane, _) in ready)
    return Replayed(last, len(ready) + len(parked), refused, woken)


def _refusal(standing: Standing) -> FailureReason | type[Parked] | None:
    try:
        check_standing(standing)
    except Refused as refused:
        return refused.reason
    except Parked:
        return Parked
    return None


async def _send_again(
    connection: AsyncConnection, ready: Sequence[tuple[UUID, turns.Group]], parked: Sequence[UUID]
) -> None:
    places = await turns.allot(connection, Counter(group for _, group in ready))
    changes: list[tuple[UUID, int | None, bool]] = [(each, None, True) for each in parked]
    for each, group in ready:
        changes.append((each, places[group], False))
        places[group] += 1
    if changes:
        is_sqlite = connection.dialect.name == "sqlite"
        given = parameters("again", _SENT_AGAIN, changes, is_sqlite=is_sqlite)
        await connection.execute(_sending_again(is_sqlite), given)


@cache
def _sending_again(is_sqlite: bool) -> Any:
    again = recordset("again", _SENT_AGAIN, is_sqlite=is_sqlite)
    values = commands.a_new_run() | {"turn": again.c.turn, "paused": again.c.paused}
    return update(messages).where(messages.c.id == again.c.id).values(**values)
