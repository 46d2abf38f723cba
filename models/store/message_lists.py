"""Which messages a list shows, and in which order: ids first, whatever a row holds besides.

By id, the order of age, every list is read along an index, however far down. An index that has before the id what a
message is filed under (``lifecycle.filed_under``) is read as one list for each, merged: ``_by_id`` asks for that.
"""

from collections.abc import Collection
from enum import StrEnum
from itertools import product
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    Uuid,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from models.faults import Fault
from models.lifecycle import FILES_OF, File
from models.store import counts
from models.store.status_sql import at_fault, effective_expression, filed_under, least, parts_at_fault
from models.tables import message_details, messages
from models.vocabulary import Channel, Fact, State, Status

SortValue = int | str | UUID | None


class MessageFilter(msgspec.Struct, frozen=True):
    """Which messages of a workspace; every condition that is given must hold.

    ``phrases``: each is words (``models.subject_words``) that the subject must hold one right after the other.
    """

    channel: Channel | None = None
    status: Status | None = None
    contact_id: UUID | None = None
    campaign_id: UUID | None = None
    journey_id: UUID | None = None
    held: bool | None = None
    fault: Fault | None = None
    phrases: tuple[tuple[str, ...], ...] = ()


class SortKey(StrEnum):
    """What a list can be sorted by: the names of the "messages" dialect. Equal ones are sorted by their ids."""

    ID = "id"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    STEP = "step"
    MEDIUM = "medium"
    CUSTOMER_ID = "customer_id"
    CAMPAIGN_ID = "campaign_id"
    JOURNEY_ID = "journey_id"


class Order(msgspec.Struct, frozen=True):
    """How a list is sorted. Messages without a value come last in both directions."""

    key: SortKey = SortKey.ID
    descending: bool = True


NEWEST_FIRST: Final = Order()


class Anchor(msgspec.Struct, frozen=True):
    """A place in a list: the message ``id``, whose sort key had ``value`` (None also where the list is by id).

    ``before``: the messages whose keys are less, else those whose keys are greater; never the message itself.
    """

    id: UUID
    before: bool
    value: SortValue = None


FACTS_SHOWN: Final = {
    SortKey.SENT: Fact.SENT,
    SortKey.DELIVERED: Fact.DELIVERED,
    SortKey.OPENED: Fact.OPENED,
    SortKey.CLICKED: Fact.CLICKED,
    SortKey.COMPLAINED: Fact.COMPLAINED,
}
"""The keys that are the time of one fact, or of those that imply it."""

_COLUMNS: Final[dict[SortKey, ColumnElement[Any]]] = {
    SortKey.ID: messages.c.id,
    SortKey.STEP: message_details.c.step,
    SortKey.MEDIUM: messages.c.channel,
    SortKey.CUSTOMER_ID: messages.c.contact_id,
    SortKey.CAMPAIGN_ID: messages.c.campaign_id,
    SortKey.JOURNEY_ID: messages.c.journey_id,
}
TIMES: Final = frozenset({*FACTS_SHOWN, SortKey.BOUNCED})
_NULLABLE_IDS: Final = frozenset({SortKey.CAMPAIGN_ID, SortKey.JOURNEY_ID})


def can_be_none(key: SortKey) -> bool:
    """Whether some messages have no value."""
    return key in TIMES or key in _NULLABLE_IDS


# The best way to a list depends on the values. Compiling a query takes longer than most lists. And rows found by a
# word lie apart: with the default, meant for turning disks, reading every subject in order looks cheaper than it is.
# Those at fault are a hundred times as many as PostgreSQL believes, which knows nothing of a status and its reasons
# together: it may find it cheaper to sort them all than to read them in the order in which their index has them.
_FOR_LISTS: Final = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),"
    " set_config('random_page_cost', '1.1', true), set_config('enable_sort', :sorts, true)"
)


async def ids_of_page(
    connection: AsyncConnection,
    workspace_id: UUID,
    wanted: MessageFilter,
    *,
    limit: int,
    offset: int = 0,
    order: Order = NEWEST_FIRST,
    anchor: Anchor | None = None,
) -> list[UUID]:
    """The ids of a page, in the list's order. Up to the ``anchor`` where it lies behind them, else from it on."""
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        in_order = wanted.fault is not None and order.key is SortKey.ID and not wanted.phrases
        await connection.execute(_FOR_LISTS, {"sorts": "off" if in_order else "on"})
    channels: Collection[Channel] = tuple(Channel)
    if wanted.status is not None and File.SENT in FILES_OF[wanted.status]:
        # Found among others that are filed as they are: where there are none, all of these would be read for nothing.
        channels = await counts.channels_with(connection, workspace_id, wanted.status, campaign_id=wanted.campaign_id)
        if not (channels if wanted.channel is None else wanted.channel in channels):
            return []
    backwards = anchor is not None and anchor.before != order.descending
    descending = order.descending != backwards
    conditions = _conditions(workspace_id, wanted, is_sqlite=is_sqlite)
    if order.key is SortKey.ID:
        if anchor is not None:
            # Said of both tables, since a database that reads both in order begins each where it is told to.
            ids = (messages.c.id, message_details.c.message_id) if wanted.phrases else (messages.c.id,)
            conditions.extend(each < anchor.id if anchor.before else each > anchor.id for each in ids)
        query = _by_id(conditions, wanted, channels, most=limit + offset, descending=descending)
    else:
        query = _by_value(conditions, wanted, order, anchor, descending=descending, is_sqlite=is_sqlite)
    found = [row[0] for row in await connection.execute(query.limit(limit).offset(offset))]
    return found[::-1] if backwards else found


def counting(workspace_id: UUID, wanted: MessageFilter, *, is_sqlite: bool) -> Select[int]:
    """The query that counts them, one by one."""
    query = select(func.count()).select_from(_source(joined=bool(wanted.phrases)))
    return query.where(*_conditions(workspace_id, wanted, is_sqlite=is_sqlite))


def _source(*, joined: bool) -> Any:
    if not joined:
        return messages
    return messages.join(message_details, message_details.c.message_id == messages.c.id)


def _conditions(workspace_id: UUID, wanted: MessageFilter, *, is_sqlite: bool) -> list[ColumnElement[bool]]:
    conditions = [messages.c.workspace_id == workspace_id]
    for column, value in (
        (messages.c.channel, wanted.channel),
        (messages.c.contact_id, wanted.contact_id),
        (messages.c.campaign_id, wanted.campaign_id),
        (messages.c.journey_id, wanted.journey_id),
        (messages.c.status, wanted.status),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.held is not None:
        # Written out, so that the index of the held ones is seen to fit.
        is_held = messages.c.state == literal(State.HELD.value, literal_execute=True)
        conditions.append(is_held if wanted.held else ~is_held)
    if wanted.fault is not None:
        conditions.append(at_fault(wanted.fault))
    if wanted.phrases:
        conditions.extend(_in_subject(wanted.phrases, is_sqlite=is_sqlite))
    return conditions


def _in_subject(phrases: tuple[tuple[str, ...], ...], *, is_sqlite: bool) -> list[ColumnElement[bool]]:
    words = message_details.c.subject_words
    joined = words if is_sqlite else func.array_to_string(words, " ")
    spaced = literal(" ") + type_coerce(joined, Text) + literal(" ")
    in_a_row = [phrase for phrase in phrases if is_sqlite or len(phrase) > 1]
    place = func.instr if is_sqlite else func.strpos
    # Not LIKE: PostgreSQL takes a pattern that long for one that next to no subject holds, and reads them all.
    conditions = [place(spaced, f" {' '.join(phrase)} ") != 0 for phrase in in_a_row]
    if not is_sqlite:
        # Of a phrase the longest word, likely the rarest. PostgreSQL knows how many subjects hold one word; of several
        # it believes that they meet by chance, and then reads all that hold them instead of walking along the list.
        every = sorted({max(phrase, key=len) for phrase in phrases})
        conditions.append(type_coerce(words, ARRAY(Text)).contains(every))
    return conditions


def _by_id(
    conditions: list[ColumnElement[bool]],
    wanted: MessageFilter,
    channels: Collection[Channel],
    *,
    most: int,
    descending: bool,
) -> Any:
    ids = select(messages.c.id).select_from(_source(joined=bool(wanted.phrases))).where(*conditions)
    sorted_ids = ids.order_by(messages.c.id.desc() if descending else messages.c.id)
    first, *others = _parts(wanted, channels)
    if not others:
        return sorted_ids.where(*first)
    parts = [sorted_ids.where(*each).limit(most).subquery() for each in (first, *others)]
    # Each part sorted and cut, although the whole is: PostgreSQL plans each for itself, and merges what is in order.
    merged = union_all(*(select(part.c.id) for part in parts))
    return merged.order_by(literal_column("id").desc() if descending else literal_column("id"))


def _parts(wanted: MessageFilter, channels: Collection[Channel]) -> list[tuple[ColumnElement[bool], ...]]:
    """Conditions that part the wanted ones so that an index has each part in the order of the ids."""
    if wanted.contact_id or wanted.journey_id or wanted.held or wanted.phrases:
        return [_filed(wanted)]
    if wanted.fault:
        return [(part, *_filed(wanted)) for part in parts_at_fault(wanted.fault)]
    if not (wanted.channel or wanted.status or wanted.campaign_id):
        return [()]
    files = [(filed_under(each),) for each in (FILES_OF[wanted.status] if wanted.status else File)]
    any_channel = wanted.channel or wanted.campaign_id
    each_channel = [()] if any_channel else [(messages.c.channel == channel,) for channel in channels]
    return [(*file, *channel) for file, channel in product(files, each_channel)]


def _filed(wanted: MessageFilter) -> tuple[ColumnElement[bool], ...]:
    """What leads to messages of a status, where that is much less than all."""
    files = FILES_OF[wanted.status] if wanted.status else tuple(File)
    return () if File.SENT in files else (filed_under(*files),)


def _by_value(
    conditions: list[ColumnElement[bool]],
    wanted: MessageFilter,
    order: Order,
    anchor: Anchor | None,
    *,
    descending: bool,
    is_sqlite: bool,
) -> Any:
    key = _never_null(_value(order.key, is_sqlite=is_sqlite), order)
    source = _source(joined=bool(wanted.phrases) or order.key is SortKey.STEP)
    query = select(messages.c.id).select_from(source).where(*conditions, *_filed(wanted))
    if anchor is not None:
        value = literal(_none_as(order) if anchor.value is None else anchor.value, key.type)
        place, here = tuple_(key, messages.c.id), tuple_(value, literal(anchor.id, Uuid()))
        query = query.where(place < here if anchor.before else place > here)
    ordering = (key, messages.c.id)
    return query.order_by(*(each.desc() for each in ordering) if descending else ordering)


def _value(key: SortKey, *, is_sqlite: bool) -> ColumnElement[Any]:
    if key in FACTS_SHOWN:
        return effective_expression(FACTS_SHOWN[key], is_sqlite=is_sqlite)
    if key is SortKey.BOUNCED:
        return least(messages.c.hard_bounced_at, messages.c.soft_bounced_at, is_sqlite=is_sqlite)
    return _COLUMNS[key]


def _never_null(value: ColumnElement[Any], order: Order) -> ColumnElement[Any]:
    return func.coalesce(value, literal(_none_as(order), value.type)) if can_be_none(order.key) else value


def _none_as(order: Order) -> int | UUID:
    """The value that comes last in this order: for messages that have none."""
    if order.key in TIMES:
        return -1 if order.descending else 2**62
    return UUID(int=0) if order.descending else UUID(int=2**128 - 1)
