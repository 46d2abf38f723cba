"""Raw events: stored once, then matched to their message and merged into its facts."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Integer, Uuid, and_, case, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.ids import new_id
from models.lifecycle import clamp, facts_of
from models.session import now_ms
from models.store import clock
from models.store.bulk import insert_ignoring
from models.store.erasing import silence_events
from models.store.outcomes import insert_suppressions
from models.store.recordset import Columns, among, parameters, recordset
from models.store.status_sql import fact_column, least
from models.tables import attempts, events, message_details, messages
from models.vocabulary import BounceType, EventType, Fact, State, SuppressionKind

_SHORTEST_PAUSE_MS = 1_000
_LONGEST_PAUSE_MS = 3_600_000
_PARKED_FOR_MS = 72 * 3_600_000


class RawEvent(msgspec.Struct, frozen=True):
    """A stored event that is not applied yet."""

    id: UUID
    workspace_id: UUID
    type: EventType
    message_ref: UUID | None
    provider_ref: str | None
    run: int | None
    at: int
    bounce_type: BounceType | None
    reason: str | None
    machine: bool


class Target(msgspec.Struct, frozen=True):
    """The message of an event, as far as the tracker needs it."""

    id: UUID
    workspace_id: UUID
    run: int
    channel: str
    address: str | None
    address_digest: bytes
    topic: str | None


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
            "provider_ref": event.provider_ref,
            "run": event.run,
            "recipient": event.recipient,
            "at": clamp(event.at, created_at=made.get(event.message_ref, 0), received_at=now),
            "received_at": now,
            "bounce_type": None if event.bounce_type is None else event.bounce_type.value,
            "reason": event.reason,
            "machine": event.machine,
            "raw": event.raw,
        }
        for event in sorted(events_, key=lambda event: event.dedupe)
    ]
    return await insert_ignoring(connection, events, rows)


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
            events.c.bounce_type,
            events.c.reason,
            events.c.machine,
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
            bounce_type=None if row.bounce_type is None else BounceType(row.bounce_type),
            reason=row.reason,
            machine=row.machine,
        )
        for row in rows
    ]


async def match(connection: AsyncConnection, raw: Sequence[RawEvent]) -> dict[UUID, Target]:
    """The message of each event (by event id): by our own id, else by the provider's; locked in id order."""
    by_provider = await _by_provider_ref(connection, {event.provider_ref for event in raw if event.provider_ref})
    wanted = {
        event.id: event.message_ref or by_provider.get((event.workspace_id, event.provider_ref or "")) for event in raw
    }
    rows = await connection.execute(
        select(
            messages.c.id,
            messages.c.workspace_id,
            messages.c.run,
            messages.c.channel,
            message_details.c.address,
            message_details.c.address_digest,
            message_details.c.topic,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(among(messages.c.id, set(wanted.values()) - {None}, is_sqlite=connection.dialect.name == "sqlite"))
        .order_by(messages.c.id)
        .with_for_update(of=messages)
    )
    targets = {row.id: Target(*row) for row in rows}
    found: dict[UUID, Target] = {}
    for event in raw:
        message_id = wanted[event.id]
        target = None if message_id is None else targets.get(message_id)
        if target is not None and target.workspace_id == event.workspace_id:
            found[event.id] = target
    return found


async def _by_provider_ref(connection: AsyncConnection, references: set[str]) -> dict[tuple[UUID, str], UUID]:
    """By workspace and the provider's id: two workspaces may know messages by the same one."""
    if not references:
        return {}
    rows = await connection.execute(
        select(messages.c.workspace_id, attempts.c.provider_id, attempts.c.message_id)
        .join(messages, messages.c.id == attempts.c.message_id)
        .where(attempts.c.provider_id.in_(references))
    )
    return {(row.workspace_id, row.provider_id): row.message_id for row in rows}


_ESTABLISHED: Columns = {"id": Uuid(), "run": Integer(), **{fact.value: BigInteger() for fact in Fact}}
_MATCHED: Columns = {"id": Uuid(), "message_id": Uuid(), "run": Integer()}


async def apply(connection: AsyncConnection, raw: Sequence[RawEvent], targets: Mapping[UUID, Target]) -> None:
    """Merge matched events into their messages' facts, act on them, and mark every event applied or parked."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = _earliest_facts(raw, targets)
    if rows:
        await connection.execute(
            _merging(is_sqlite), parameters("established", _ESTABLISHED, rows, is_sqlite=is_sqlite)
        )
    await insert_suppressions(connection, [row for event in raw if (row := _suppression(event, targets)) is not None])
    matched = [(each.id, targets[each.id].id, each.run or targets[each.id].run) for each in raw if each.id in targets]
    if matched:
        await connection.execute(_marking(is_sqlite), parameters("matched", _MATCHED, matched, is_sqlite=is_sqlite))
    # The details of an erased person's messages have no address.
    await silence_events(connection, [each for each, target in targets.items() if target.address is None])
    await park(connection, [event.id for event in raw if event.id not in targets])


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
        .where(events.c.id.in_(ids))
        .values(
            retry_at=case((given_up, null()), else_=now_ms() + pause),
            applied_at=case((given_up, now_ms()), else_=null()),
        )
    )


def _earliest_facts(raw: Sequence[RawEvent], targets: Mapping[UUID, Target]) -> list[tuple[Any, ...]]:
    """One row per message: the earliest time of each fact that these events establish for its present run."""
    earliest: dict[UUID, dict[Fact, int]] = {}
    runs: dict[UUID, int] = {}
    for event in raw:
        target = targets.get(event.id)
        if target is None or event.run not in (None, target.run):
            continue
        facts = earliest.setdefault(target.id, {})
        runs[target.id] = target.run
        for fact in facts_of(event.type, bounce_type=event.bounce_type, machine=event.machine):
            facts[fact] = min(event.at, facts.get(fact, event.at))
    return [
        (message_id, runs[message_id], *(facts.get(fact) for fact in Fact))
        for message_id, facts in sorted(earliest.items())
        if facts
    ]


@cache
def _merging(is_sqlite: bool) -> Any:
    established = recordset("established", _ESTABLISHED, is_sqlite=is_sqlite)
    # Whoever reports on a message has it: no further send of this run may begin.
    waiting = and_(
        established.c[Fact.SENT.value].is_not(None),
        messages.c.state.in_([State.QUEUED.value, State.HELD.value]),
    )
    return (
        update(messages)
        .where(messages.c.id == established.c.id, messages.c.run == established.c.run)
        .values(
            {
                fact_column(fact): least(fact_column(fact), established.c[fact.value], is_sqlite=is_sqlite)
                for fact in Fact
            }
        )
        .values(
            state=case((waiting, literal(State.DONE.value)), else_=messages.c.state),
            turn=case((waiting, null()), else_=messages.c.turn),
            token=messages.c.token + case((waiting, 1), else_=0),
            ended_at=case((waiting, now_ms()), else_=messages.c.ended_at),
        )
    )


@cache
def _marking(is_sqlite: bool) -> Any:
    matched = recordset("matched", _MATCHED, is_sqlite=is_sqlite)
    return (
        update(events)
        .where(events.c.id == matched.c.id)
        .values(message_id=matched.c.message_id, run=matched.c.run, applied_at=now_ms())
    )


def _suppression(event: RawEvent, targets: Mapping[UUID, Target]) -> dict[str, Any] | None:
    """The suppression that an event calls for: a dead address, a complaint, or an opt-out of the message's topic."""
    target = targets.get(event.id)
    if target is None:
        return None
    hard = event.type is EventType.BOUNCED and event.bounce_type is not BounceType.SOFT
    dead = hard or event.type is EventType.COMPLAINED
    if not dead and event.type is not EventType.UNSUBSCRIBED:
        return None
    return {
        "id": new_id(),
        "workspace_id": target.workspace_id,
        "channel": target.channel,
        "address_digest": target.address_digest,
        "kind": (SuppressionKind.DEAD if dead else SuppressionKind.OPT_OUT).value,
        "topic": "" if dead else target.topic or "",
        "address": target.address,
        "reason": event.type.value,
        "message_id": target.id,
    }
