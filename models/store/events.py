"""Raw events: stored once, then matched to their message and merged into its facts."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import hits
from models.events import ParsedEvent
from models.evidence import Provider
from models.hits import SETTLES_MS
from models.ids import new_id
from models.lifecycle import clamp
from models.session import now_ms
from models.store import clock
from models.store.bulk import insert_ignoring
from models.store.recordset import among
from models.tables import attempts, events, message_details, messages
from models.vocabulary import BounceType, EventType

_SHORTEST_PAUSE_MS = 1_000
_LONGEST_PAUSE_MS = 3_600_000
_PARKED_FOR_MS = 72 * 3_600_000
_CLOCKS_APART_MS = 60_000
"""How far a provider's clock may be behind the database's."""


class RawEvent(msgspec.Struct, frozen=True):
    """A stored event that is not applied yet. ``hit``: what was kept of a request for a link of ours.

    ``is_ours``: nobody else reported it, so whatever it calls for beside its fact was done when it was stored.
    """

    id: UUID
    workspace_id: UUID
    type: EventType
    message_ref: UUID | None
    provider_ref: str | None
    run: int | None
    at: int
    received_at: int
    bounce_type: BounceType | None
    reason: str | None
    machine: bool
    hit: bytes | None = None
    is_ours: bool = False


class Target(msgspec.Struct, frozen=True):
    """The message of an event, as far as the tracker needs it. ``about_run``: the run that the event tells of."""

    id: UUID
    workspace_id: UUID
    run: int
    channel: str
    address: str | None
    address_digest: bytes
    topic: str | None
    about_run: int


async def insert(
    connection: AsyncConnection, *, workspace_id: UUID, source_id: UUID, provider: str, events_: Sequence[ParsedEvent]
) -> int:
    """Store raw events; those seen before are left alone. Returns how many are new.

    An event's time is fixed here, once: the provider's own, but not before its message was made nor more than
    five minutes after now.
    """
    if not events_:
        return 0
    now = await clock.read(connection)
    made = await _made_at(connection, workspace_id, [event.message_ref for event in events_ if event.message_ref])
    rows = [
        {
            "id": new_id(),
            "workspace_id": workspace_id,
            "source_id": source_id,
            "dedupe_key": event.dedupe,
            "provider": provider,
            "type": event.type.value,
            "provider_event": event.provider_event,
            "message_ref": event.message_ref,
            "message_id": event.message_ref if event.settles and event.message_ref in made else None,
            "provider_ref": event.provider_ref,
            "run": event.run,
            "recipient": event.recipient,
            "at": clamp(event.at, created_at=made.get(event.message_ref, 0), received_at=now),
            "received_at": now,
            "bounce_type": None if event.bounce_type is None else event.bounce_type.value,
            "reason": event.reason,
            "machine": event.machine,
            "raw": event.raw,
            "retry_at": now + SETTLES_MS if event.settles else None,
        }
        for event in sorted(events_, key=lambda event: event.dedupe)
    ]
    return await insert_ignoring(connection, events, rows)


async def has_room(
    connection: AsyncConnection, *, workspace_id: UUID, message_id: UUID, provider: Provider, most: int
) -> bool:
    """Whether fewer than ``most`` events of the provider are kept that were matched to the message."""
    kept = (
        select(events.c.id)
        .where(
            events.c.workspace_id == workspace_id,
            events.c.message_id == message_id,
            events.c.provider == provider.value,
        )
        .limit(most)
        .subquery()
    )
    count: int = await connection.scalar(select(func.count()).select_from(kept)) or 0
    return count < most


async def _made_at(connection: AsyncConnection, workspace_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID | None, int]:
    if not ids:
        return {}
    rows = await connection.execute(
        select(messages.c.id, messages.c.queued_at).where(
            messages.c.workspace_id == workspace_id,
            among(messages.c.id, set(ids), is_sqlite=connection.dialect.name == "sqlite"),
        )
    )
    return {row.id: row.queued_at for row in rows}


async def take(connection: AsyncConnection, most: int) -> list[RawEvent]:
    """Lock up to ``most`` events that wait to be applied, oldest first."""
    rows = await connection.execute(
        select(
            events.c.id,
            events.c.workspace_id,
            events.c.type,
            events.c.message_ref,
            events.c.provider_ref,
            events.c.run,
            events.c.at,
            events.c.received_at,
            events.c.bounce_type,
            events.c.reason,
            events.c.machine,
            case((is_hit(), events.c.raw)).label("hit"),
            (events.c.provider == Provider.WIREROOM.value).label("is_ours"),
        )
        .where(events.c.applied_at.is_(None), events.c.retry_at.is_(None))
        .order_by(events.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return [
        RawEvent(
            id=row.id,
            workspace_id=row.workspace_id,
            type=EventType(row.type),
            message_ref=row.message_ref,
            provider_ref=row.provider_ref,
            run=row.run,
            at=row.at,
            received_at=row.received_at,
            bounce_type=None if row.bounce_type is None else BounceType(row.bounce_type),
            reason=row.reason,
            machine=row.machine,
            hit=row.hit,
            is_ours=bool(row.is_ours),
        )
        for row in rows
    ]


def is_hit() -> ColumnElement[bool]:
    """Whether an event is a request for a link of ours."""
    ours = literal(Provider.WIREROOM.value, literal_execute=True)
    return and_(events.c.provider == ours, events.c.provider_event.in_([hits.OPEN, hits.CLICK]))


async def match(connection: AsyncConnection, raw: Sequence[RawEvent]) -> dict[UUID, Target]:
    """The message of each event (by event id): by our own id, else by the provider's; locked in id order."""
    is_sqlite = connection.dialect.name == "sqlite"
    owners = {event.workspace_id for event in raw}
    references = {event.provider_ref for event in raw if event.provider_ref}
    by_provider = await _by_provider_ref(connection, owners, references)
    wanted: dict[UUID, tuple[UUID, int | None]] = {}
    for event in raw:
        known = by_provider.get((event.workspace_id, event.provider_ref or ""))
        if event.message_ref is not None:
            wanted[event.id] = event.message_ref, event.run
        elif known is not None:
            wanted[event.id] = known[0], event.run or known[1]
    ids = {message_id for message_id, _ in wanted.values()}
    rows = await connection.execute(
        select(
            messages.c.id,
            messages.c.workspace_id,
            messages.c.run,
            messages.c.channel,
            message_details.c.address,
            message_details.c.address_digest,
            message_details.c.topic,
            messages.c.sending_at,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(
            among(messages.c.id, ids, is_sqlite=is_sqlite),
            # Who names a message of a workspace of others neither locks it nor waits for it.
            among(messages.c.workspace_id, owners, is_sqlite=is_sqlite),
        )
        .order_by(messages.c.id)
        .with_for_update(of=messages)
    )
    targets = {row.id: row for row in rows}
    found: dict[UUID, Target] = {}
    for event in raw:
        message_id, run = wanted.get(event.id, (None, None))
        row = targets.get(message_id)
        if row is not None and row.workspace_id == event.workspace_id:
            found[event.id] = Target(*row[:-1], about_run=run or _run_of(event, row.run, row.sending_at))
    return found


def _run_of(event: RawEvent, run: int, sending_at: int | None) -> int:
    """The run that an event tells of which names none: the present one, unless it came before that was being sent.

    Taken for proof of the present run, a late report of the run before would keep the message from being sent again.
    """
    if run == 1:
        return run
    earlier = sending_at is None or event.received_at < sending_at or event.at < sending_at - _CLOCKS_APART_MS
    return run - 1 if earlier else run


async def _by_provider_ref(
    connection: AsyncConnection, owners: set[UUID], references: set[str]
) -> dict[tuple[UUID, str], tuple[UUID, int]]:
    """The message and its run, by workspace and the provider's id: two workspaces may know messages by the same one."""
    if not references:
        return {}
    rows = await connection.execute(
        select(messages.c.workspace_id, attempts.c.provider_id, attempts.c.message_id, attempts.c.run)
        .join(messages, messages.c.id == attempts.c.message_id)
        .where(
            attempts.c.provider_id.in_(references),
            among(messages.c.workspace_id, owners, is_sqlite=connection.dialect.name == "sqlite"),
        )
    )
    return {(row.workspace_id, row.provider_id): (row.message_id, row.run) for row in rows}


async def park(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Put events aside that cannot be applied now: the older one is, the longer; given up after 72 hours."""
    if not ids:
        return
    age = now_ms() - events.c.received_at
    pause = case(
        (age < _SHORTEST_PAUSE_MS, _SHORTEST_PAUSE_MS), (age > _LONGEST_PAUSE_MS, _LONGEST_PAUSE_MS), else_=age
    )
    given_up = age > _PARKED_FOR_MS
    await connection.execute(
        update(events)
        .where(events.c.id.in_(ids), events.c.applied_at.is_(None))
        .values(
            retry_at=case((given_up, null()), else_=now_ms() + pause),
            applied_at=case((given_up, now_ms()), else_=null()),
        )
    )
