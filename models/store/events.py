"""Raw events: stored once, then matched to their message and merged into its facts."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final
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
from models.store import clock, targets
from models.store.bulk import insert_columns_ignoring
from models.store.recordset import among, kept_to
from models.store.targets import GRAVE, Target
from models.tables import attempts, events, messages
from models.vocabulary import BounceType, EventType

_SHORTEST_PAUSE_MS = 1_000
_LONGEST_PAUSE_MS = 3_600_000
_PARKED_FOR_MS = 72 * 3_600_000
_CLOCKS_APART_MS = 60_000
"""How far a provider's clock may be behind the database's."""

KEY: Final = ("source_id", "dedupe_key")  # what tells events apart
by_dedupe = attrgetter("dedupe")
"""The order in which events are stored everywhere, so that two transactions never wait for each other in a circle."""

_AS_GIVEN = (
    *("type", "provider_event", "message_ref", "provider_ref", "recipient"),
    *("bounce_type", "reason", "machine", "raw"),
)


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
    ordered = sorted(events_, key=by_dedupe)
    columns = columns_of(ordered, workspace_id=workspace_id, source_id=source_id, provider=provider, now=now) | {
        "message_id": [each.message_ref if each.settles and each.message_ref in made else None for each in ordered],
        "run": [each.run for each in ordered],
        "at": [clamp(each.at, created_at=made.get(each.message_ref, 0), received_at=now) for each in ordered],
        "retry_at": [now + SETTLES_MS if each.settles else None for each in ordered],
    }
    return await insert_columns_ignoring(connection, events, columns, key=KEY)


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


def columns_of(
    given: Sequence[ParsedEvent], *, workspace_id: UUID, source_id: UUID, provider: str, now: int
) -> dict[str, list[Any]]:
    """The columns of events that come in ``now``, as far as their messages have nothing to do with them."""
    count = len(given)
    return {
        "id": [new_id() for _ in given],
        "workspace_id": [workspace_id] * count,
        "source_id": [source_id] * count,
        "dedupe_key": list(map(by_dedupe, given)),
        "provider": [provider] * count,
        "received_at": [now] * count,
        **{name: list(map(attrgetter(name), given)) for name in _AS_GIVEN},
    }


async def _made_at(connection: AsyncConnection, workspace_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID | None, int]:
    if not ids:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    rows = await connection.execute(
        select(messages.c.id, messages.c.queued_at).where(
            kept_to(messages.c.workspace_id, [workspace_id], is_sqlite=is_sqlite),
            among(messages.c.id, set(ids), is_sqlite=is_sqlite),
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


async def match(connection: AsyncConnection, raw: Sequence[RawEvent]) -> list[Target | None]:
    """The message of each event, in their order: by our own id, else by the provider's; locked in id order."""
    owners = {event.workspace_id for event in raw}
    references = {event.provider_ref for event in raw if event.message_ref is None and event.provider_ref is not None}
    by_provider = await _by_provider_ref(connection, owners, references)
    wanted: list[tuple[UUID | None, int | None]] = []
    for event in raw:
        named = (event.message_ref, event.run)
        if event.message_ref is None and event.provider_ref is not None:
            message_id, run = by_provider.get((event.workspace_id, event.provider_ref), (None, None))
            named = (message_id, event.run or run)
        wanted.append(named)
    ids = {message_id.int: message_id for message_id, _ in wanted if message_id is not None}
    addressed = any(event.type in GRAVE for event in raw)
    known = await targets.lock(connection, owners, list(ids.values()), addressed=addressed)
    return [
        None if message_id is None else _target(event, known.get(message_id.int), run)
        for event, (message_id, run) in zip(raw, wanted, strict=True)
    ]


def _target(event: RawEvent, known: Target | None, run: int | None) -> Target | None:
    if known is None or known.workspace_id != event.workspace_id:
        return None
    told = run or _run_of(event, known)
    return known if told == known.run else msgspec.structs.replace(known, about_run=told)


def _run_of(event: RawEvent, known: Target) -> int:
    """The run that an event tells of which names none: the present one, unless it came before that was being sent.

    Taken for proof of the present run, a late report of the run before would keep the message from being sent again.
    """
    if known.run == 1:
        return known.run
    at, began = max(event.at, known.made_at), known.sending_at
    earlier = began is None or event.received_at < began or at < began - _CLOCKS_APART_MS
    return known.run - 1 if earlier else known.run


async def _by_provider_ref(
    connection: AsyncConnection, owners: set[UUID], references: set[str]
) -> dict[tuple[UUID, str], tuple[UUID, int]]:
    """The message and its run, by workspace and the provider's id: two workspaces may know messages by the same one."""
    if not references:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    rows = await connection.execute(
        select(messages.c.workspace_id, attempts.c.provider_id, attempts.c.message_id, attempts.c.run)
        .join(messages, messages.c.id == attempts.c.message_id)
        .where(
            among(attempts.c.provider_id, references, is_sqlite=is_sqlite),
            kept_to(messages.c.workspace_id, owners, is_sqlite=is_sqlite),
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
