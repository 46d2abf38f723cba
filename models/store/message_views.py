"""Messages as they are read back: one row of ``messages`` joined with its details."""

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.lifecycle import effective, status_of
from models.store import counts
from models.store.message_lists import (
    FACTS_SHOWN,
    NEWEST_FIRST,
    Anchor,
    Order,
    SortKey,
    SortValue,
    counting,
    ids_of_page,
)
from models.store.message_lists import MessageFilter as MessageFilter
from models.store.recordset import among, kept_to
from models.store.settling import settled_at
from models.tables import attempts, events, message_details, messages, template_versions
from models.vocabulary import BounceType, Channel, EventType, Fact, FailureReason, Lane, Outcome, State, Status


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message as stored. Times are milliseconds (UTC)."""

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    channel: Channel
    lane: Lane
    state: State
    queued_at: int
    due_at: int
    campaign_id: UUID | None = None
    journey_id: UUID | None = None
    template_id: UUID | None = None
    step: int = 1
    subject: str | None = None
    topic: str | None = None
    essential: bool = False
    metadata: dict[str, Any] = {}
    expires_at: int | None = None
    run: int = 1
    tries: int = 0
    sending_at: int | None = None
    ended_at: int | None = None
    failure_reason: FailureReason | None = None
    sent_at: int | None = None
    delivered_at: int | None = None
    opened_at: int | None = None
    clicked_at: int | None = None
    soft_bounced_at: int | None = None
    hard_bounced_at: int | None = None
    failed_at: int | None = None
    unsubscribed_at: int | None = None
    complained_at: int | None = None
    machine_opened_at: int | None = None
    machine_clicked_at: int | None = None

    @property
    def facts(self) -> dict[Fact, int | None]:
        """The facts of the present run."""
        return dict(zip(Fact, _FACTS(self), strict=True))

    @property
    def is_new(self) -> bool:
        """Whether nothing has become of it yet."""
        return self.sending_at is None and self.ended_at is None and _FACTS(self) == _NO_FACTS

    @property
    def status(self) -> Status:
        """The shown status."""
        return status_of(self.facts, self.state)


class AttemptRow(msgspec.Struct, frozen=True):
    """One attempt of a message, of any run. ``settled_at``: when an event proved that it arrived (``settling``)."""

    run: int
    started_at: int
    ended_at: int
    outcome: Outcome
    code: str | None
    detail: str | None
    settled_at: int | None


class MessageEventRow(msgspec.Struct, frozen=True):
    """One event that was matched to a message."""

    id: UUID
    provider: str
    type: EventType
    provider_event: str
    at: int
    received_at: int
    bounce_type: BounceType | None
    reason: str | None
    machine: bool


_FACTS: Final = attrgetter(*(f"{fact.value}_at" for fact in Fact))
_NO_FACTS: Final = (None,) * len(Fact)
_DETAIL_FIELDS = ("step", "subject", "topic", "essential", "metadata")
_OWN_FIELDS = tuple(
    name for name in MessageRow.__struct_fields__ if name not in _DETAIL_FIELDS and name != "template_id"
)


def _rows() -> Select[Any]:
    return (
        select(
            *(messages.c[name] for name in _OWN_FIELDS),
            *(message_details.c[name] for name in _DETAIL_FIELDS),
            template_versions.c.template_id,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .outerjoin(template_versions, template_versions.c.id == message_details.c.template_version_id)
    )


def _read(row: Any) -> MessageRow:
    return msgspec.convert(row._mapping, MessageRow)


async def get(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> MessageRow | None:
    """The message, where it exists in this workspace."""
    found = await get_many(connection, workspace_id, [message_id])
    return found.get(message_id)


async def get_many(
    connection: AsyncConnection, workspace_id: UUID, message_ids: Collection[UUID]
) -> dict[UUID, MessageRow]:
    """Those of ``message_ids`` that exist in this workspace."""
    if not message_ids:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    rows = await connection.execute(
        _rows().where(
            kept_to(messages.c.workspace_id, [workspace_id], is_sqlite=is_sqlite),
            among(messages.c.id, message_ids, is_sqlite=is_sqlite),
        )
    )
    return {row.id: _read(row) for row in rows}


_NEAR_PAGES: Final = 10
"""Up to there a page is found from the list's beginning whatever its length, which need not be known then."""


async def list_page(
    connection: AsyncConnection,
    workspace_id: UUID,
    wanted: MessageFilter,
    *,
    limit: int,
    offset: int = 0,
    order: Order = NEWEST_FIRST,
    anchor: Anchor | None = None,
) -> list[MessageRow]:
    """A page in the list's order, as ``ids_of_page`` finds it; the newest first where nothing else is said."""
    after = await _after(connection, workspace_id, wanted, order, offset) if offset > _NEAR_PAGES * limit else None
    if after is None:
        ids = await ids_of_page(
            connection, workspace_id, wanted, limit=limit, offset=offset, order=order, anchor=anchor
        )
    else:
        back = Order(order.key, descending=not order.descending)
        skipped, most = max(0, after - limit), min(limit, after)
        ids = (await ids_of_page(connection, workspace_id, wanted, limit=most, offset=skipped, order=back))[::-1]
    rows = await get_many(connection, workspace_id, ids)
    return [rows[each] for each in ids if each in rows]


async def _after(
    connection: AsyncConnection, workspace_id: UUID, wanted: MessageFilter, order: Order, offset: int
) -> int | None:
    """How many come from ``offset`` on; None where the list is not better read from its other end."""
    if order.key is not SortKey.ID or not _is_counted(wanted):
        return None
    total = await count(connection, workspace_id, wanted)
    return max(0, total - offset) if offset > total // 2 else None


class ListedPage(msgspec.Struct, frozen=True):
    """A page, and whether there is anything in front of it and behind it."""

    rows: list[MessageRow]
    preceded: bool
    followed: bool


async def read_page(
    connection: AsyncConnection,
    workspace_id: UUID,
    wanted: MessageFilter,
    order: Order,
    *,
    limit: int,
    number: int = 1,
    anchor: Anchor | None = None,
) -> ListedPage:
    """The page at the ``anchor``; without one, the page of that ``number``, from 1."""
    offset = 0 if anchor is not None else (number - 1) * limit
    rows = await list_page(connection, workspace_id, wanted, limit=limit + 1, offset=offset, order=order, anchor=anchor)
    more = len(rows) > limit
    if anchor is None or not rows:
        return ListedPage(rows[:limit], preceded=number > 1, followed=more)
    if anchor.before == order.descending:
        rows = rows[:limit]
        edge = Anchor(rows[0].id, not anchor.before, sort_value(rows[0], order.key))
    else:
        rows = rows[-limit:]
        edge = Anchor(rows[-1].id, not anchor.before, sort_value(rows[-1], order.key))
    beyond = await ids_of_page(connection, workspace_id, wanted, limit=1, order=order, anchor=edge)
    ahead, behind = (bool(beyond), more) if anchor.before == order.descending else (more, bool(beyond))
    return ListedPage(rows, preceded=ahead, followed=behind)


def sort_value(row: MessageRow, key: SortKey) -> SortValue:
    """What a list by ``key`` sorts the row by; None where it has none."""
    if key in FACTS_SHOWN:
        return effective(row.facts, FACTS_SHOWN[key])
    if key is SortKey.BOUNCED:
        return min((at for at in (row.hard_bounced_at, row.soft_bounced_at) if at is not None), default=None)
    value: SortValue = getattr(row, _FIELDS[key])
    return value


_FIELDS: Final = {
    SortKey.ID: "id",
    SortKey.STEP: "step",
    SortKey.MEDIUM: "channel",
    SortKey.CUSTOMER_ID: "contact_id",
    SortKey.CAMPAIGN_ID: "campaign_id",
    SortKey.JOURNEY_ID: "journey_id",
}


async def count(connection: AsyncConnection, workspace_id: UUID, wanted: MessageFilter) -> int:
    """How many there are, exactly: from the counts where they tell, else by counting (one contact has few)."""
    if not _is_counted(wanted):
        query = counting(workspace_id, wanted, is_sqlite=connection.dialect.name == "sqlite")
        return int(await connection.scalar(query) or 0)
    return await counts.total(
        connection,
        workspace_id,
        campaign_id=wanted.campaign_id,
        channel=wanted.channel,
        status=wanted.status,
        held=wanted.held,
    )


def _is_counted(wanted: MessageFilter) -> bool:
    return not (wanted.contact_id or wanted.journey_id or wanted.fault or wanted.phrases)


ATTEMPT_COLUMNS: Final = (
    *(attempts.c[name] for name in AttemptRow.__struct_fields__ if name != "settled_at"),
    settled_at().label("settled_at"),
)


async def attempts_of(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> Sequence[AttemptRow]:
    """The message's attempts, the first one first."""
    rows = await connection.execute(
        select(*ATTEMPT_COLUMNS)
        .join(messages, messages.c.id == attempts.c.message_id)
        .where(messages.c.workspace_id == workspace_id, attempts.c.message_id == message_id)
        .order_by(attempts.c.token)
    )
    return [msgspec.convert(row._mapping, AttemptRow) for row in rows]


async def events_of(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> Sequence[MessageEventRow]:
    """The events that were matched to the message, the earliest first; hits once it is known whose they are."""
    rows = await connection.execute(
        select(*(events.c[name] for name in MessageEventRow.__struct_fields__))
        .where(events.c.workspace_id == workspace_id, events.c.message_id == message_id, events.c.retry_at.is_(None))
        .order_by(events.c.at, events.c.id)
    )
    return [msgspec.convert(row._mapping, MessageEventRow) for row in rows]
