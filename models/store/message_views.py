"""Messages as they are read back: one row of ``messages`` joined with its details."""

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.lifecycle import status_of
from models.store.recordset import among
from models.store.status_sql import status_expression
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
    """One attempt of a message, of any run."""

    run: int
    started_at: int
    ended_at: int
    outcome: Outcome
    code: str | None
    detail: str | None


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


class MessageFilter(msgspec.Struct, frozen=True):
    """Which messages of a workspace; every condition that is given must hold. ``below``: ids before this one."""

    channel: Channel | None = None
    status: Status | None = None
    contact_id: UUID | None = None
    campaign_id: UUID | None = None
    journey_id: UUID | None = None
    held: bool | None = None
    subject_words: tuple[str, ...] = ()
    below: UUID | None = None


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
    rows = await connection.execute(
        _rows().where(
            messages.c.workspace_id == workspace_id,
            among(messages.c.id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
        )
    )
    return {row.id: _read(row) for row in rows}


def _conditions(workspace_id: UUID, wanted: MessageFilter) -> list[ColumnElement[bool]]:
    conditions = [messages.c.workspace_id == workspace_id]
    for column, value in (
        (messages.c.channel, wanted.channel),
        (messages.c.contact_id, wanted.contact_id),
        (messages.c.campaign_id, wanted.campaign_id),
        (messages.c.journey_id, wanted.journey_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.status is not None:
        conditions.append(status_expression() == wanted.status.value)
    if wanted.held is not None:
        is_held = messages.c.state == State.HELD.value
        conditions.append(is_held if wanted.held else ~is_held)
    if wanted.below is not None:
        conditions.append(messages.c.id < wanted.below)
    conditions.extend(message_details.c.subject.icontains(word, autoescape=True) for word in wanted.subject_words)
    return conditions


async def list_page(
    connection: AsyncConnection, workspace_id: UUID, wanted: MessageFilter, *, limit: int, offset: int = 0
) -> list[MessageRow]:
    """The newest first. The ids are found before the wide rows are read, so that a far page reads few of those."""
    ids = select(messages.c.id).where(*_conditions(workspace_id, wanted))
    if wanted.subject_words:
        ids = ids.join(message_details, message_details.c.message_id == messages.c.id)
    page = ids.order_by(messages.c.id.desc()).limit(limit).offset(offset).subquery()
    rows = await connection.execute(_rows().join(page, page.c.id == messages.c.id).order_by(messages.c.id.desc()))
    return [_read(row) for row in rows]


async def count(connection: AsyncConnection, workspace_id: UUID, wanted: MessageFilter) -> int:
    """How many there are, exactly."""
    query = select(func.count()).select_from(messages).where(*_conditions(workspace_id, wanted))
    if wanted.subject_words:
        query = query.join(message_details, message_details.c.message_id == messages.c.id)
    return int(await connection.scalar(query) or 0)


async def ids_above(
    connection: AsyncConnection, workspace_id: UUID, wanted: MessageFilter, first: UUID, *, limit: int
) -> list[UUID]:
    """The ids right above ``first``, the nearest first: what is needed to page back towards the newest."""
    query = select(messages.c.id).where(*_conditions(workspace_id, wanted), messages.c.id > first)
    if wanted.subject_words:
        query = query.join(message_details, message_details.c.message_id == messages.c.id)
    rows = await connection.execute(query.order_by(messages.c.id).limit(limit))
    return [row[0] for row in rows]


async def attempts_of(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> Sequence[AttemptRow]:
    """The message's attempts, the first one first."""
    rows = await connection.execute(
        select(*(attempts.c[name] for name in AttemptRow.__struct_fields__))
        .join(messages, messages.c.id == attempts.c.message_id)
        .where(messages.c.workspace_id == workspace_id, attempts.c.message_id == message_id)
        .order_by(attempts.c.token)
    )
    return [msgspec.convert(row._mapping, AttemptRow) for row in rows]


async def events_of(connection: AsyncConnection, workspace_id: UUID, message_id: UUID) -> Sequence[MessageEventRow]:
    """The events that were matched to the message, the earliest first."""
    rows = await connection.execute(
        select(*(events.c[name] for name in MessageEventRow.__struct_fields__))
        .where(events.c.workspace_id == workspace_id, events.c.message_id == message_id)
        .order_by(events.c.at, events.c.id)
    )
    return [msgspec.convert(row._mapping, MessageEventRow) for row in rows]
