"""Applying events to the messages they were matched to: facts, suppressions, and the mark that it is done."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Uuid, and_, case, literal, null, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.lifecycle import facts_of
from models.session import now_ms
from models.store import releases
from models.store.erasing import silence_events
from models.store.events import RawEvent, Target, park
from models.store.outcomes import insert_suppressions, suppression_key
from models.store.recordset import Columns, parameters, recordset
from models.store.status_sql import fact_column, least
from models.tables import events, messages
from models.vocabulary import BounceType, EventType, Fact, State, SuppressionKind

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
    await _suppress(connection, raw, targets)
    matched = [(each.id, targets[each.id].id, targets[each.id].about_run) for each in raw if each.id in targets]
    if matched:
        await connection.execute(_marking(is_sqlite), parameters("matched", _MATCHED, matched, is_sqlite=is_sqlite))
    # The details of an erased person's messages have no address.
    await silence_events(connection, [each for each, target in targets.items() if target.address is None])
    await park(connection, [event.id for event in raw if event.id not in targets])


def _earliest_facts(raw: Sequence[RawEvent], targets: Mapping[UUID, Target]) -> list[tuple[Any, ...]]:
    """One row per message: the earliest time of each fact that these events establish for its present run."""
    earliest: dict[UUID, dict[Fact, int]] = {}
    runs: dict[UUID, int] = {}
    for event in raw:
        target = targets.get(event.id)
        if target is None or target.about_run != target.run:
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


async def _suppress(connection: AsyncConnection, raw: Sequence[RawEvent], targets: Mapping[UUID, Target]) -> None:
    """Suppress what these events call for, but for what was released since they happened."""
    called_for = [(event.at, row) for event in raw if (row := _suppression(event, targets)) is not None]
    released = await releases.released_at(connection, {suppression_key(row) for _, row in called_for})
    new = [row for at, row in called_for if at > released.get(suppression_key(row), -1)]
    await insert_suppressions(connection, new)


def _suppression(event: RawEvent, targets: Mapping[UUID, Target]) -> dict[str, Any] | None:
    """The suppression that an event calls for: a dead address, a complaint, or an opt-out of the message's topic."""
    target = targets.get(event.id)
    if target is None or event.is_ours:  # a reader who opted out may have changed their mind since
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
