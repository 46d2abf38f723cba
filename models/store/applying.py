"""Applying events to the messages they were matched to: facts, suppressions, and the mark that it is done."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Uuid, and_, case, func, literal, null, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.lifecycle import facts_of
from models.sandboxes import is_sandbox
from models.session import now_ms
from models.store import releases, resubscriptions
from models.store.erasing import silence_events
from models.store.events import RawEvent, park
from models.store.recordset import STATEMENTS_KEPT, Columns, parameters, recordset, shared
from models.store.status_sql import fact_column, least
from models.store.targets import GRAVE, Target
from models.tables import events, messages
from models.vocabulary import BounceType, EventType, Fact, State, SuppressionKind

Matched = tuple[RawEvent, Target]
"""An event and its message."""

_ESTABLISHED: Columns = {"id": Uuid(), **{fact.value: BigInteger() for fact in Fact}}
_NEVER = 2**62
_MATCHED: Columns = {"id": Uuid(), "message_id": Uuid(), "run": Integer()}


async def apply(connection: AsyncConnection, raw: Sequence[RawEvent], targets: Sequence[Target | None]) -> None:
    """Merge events into the facts of their messages, act on them, and mark every event applied or parked."""
    is_sqlite = connection.dialect.name == "sqlite"
    matched = [(event, target) for event, target in zip(raw, targets, strict=True) if target is not None]
    await act_on(connection, matched)
    marks = [(event.id, target.id, target.about_run) for event, target in matched]
    if marks:
        await connection.execute(_marking(is_sqlite), parameters("matched", _MATCHED, marks, is_sqlite=is_sqlite))
    await park(connection, [event.id for event, target in zip(raw, targets, strict=True) if target is None])


async def act_on(connection: AsyncConnection, matched: Sequence[Matched]) -> None:
    """Merge events into their messages' facts, suppress whom they call for, and silence those of the erased."""
    is_sqlite = connection.dialect.name == "sqlite"
    established = _earliest_facts(matched)
    if established["id"]:
        names = tuple(established)
        values, single, alike = shared("established", established, is_sqlite=is_sqlite)
        await connection.execute(_merging(is_sqlite, names, single, alike), values)
    await _suppress(connection, matched)
    # The details of an erased person's messages have no address.
    await silence_events(connection, [event.id for event, target in matched if target.erased])


def _earliest_facts(matched: Sequence[Matched]) -> dict[str, list[Any]]:
    """By column, an entry per message: the earliest time of each fact that these events establish for its present run.

    There is no column of a fact that none of them establishes.
    """
    concerned: set[UUID] = set()
    earliest: dict[Fact, dict[UUID, int]] = {}
    # Most events are of the kind of the one before: what that says is looked up once for all of them.
    kind: tuple[EventType, BounceType | None, bool] | None = None
    established: list[dict[UUID, int]] = []
    for event, target in matched:
        if target.about_run != target.run:
            continue
        if kind != (event.type, event.bounce_type, event.machine):
            kind = (event.type, event.bounce_type, event.machine)
            facts = facts_of(event.type, bounce_type=event.bounce_type, machine=event.machine)
            established = [earliest.setdefault(fact, {}) for fact in facts]
        if established:
            concerned.add(target.id)
        for times in established:
            if event.at < times.get(target.id, _NEVER):
                times[target.id] = event.at
    ids = sorted(concerned)
    columns: dict[str, list[Any]] = {"id": ids}
    columns |= {fact.value: list(map(earliest[fact].get, ids)) for fact in Fact if fact in earliest}
    # Reports of one kind prove the sending and one thing more, both at the same times.
    sent = columns.get(Fact.SENT.value)
    return {name: sent if sent is not None and values == sent else values for name, values in columns.items()}


@lru_cache(STATEMENTS_KEPT)
def _merging(
    is_sqlite: bool, names: tuple[str, ...], single: frozenset[str], alike: tuple[tuple[str, str], ...]
) -> Any:
    kinds = {name: _ESTABLISHED[name] for name in names}
    established = recordset("established", kinds, is_sqlite=is_sqlite, single=single, alike=dict(alike))
    facts = [fact for fact in Fact if fact.value in kinds]
    # Whoever reports on a message has it: no further send of this run may begin.
    waiting = and_(
        established.c[Fact.SENT.value].is_not(None),
        messages.c.state.in_([State.QUEUED.value, State.HELD.value]),
    )
    # Its run is what it was when it was locked. A row that stays as it is is not written: most opens and clicks are not
    # the first.
    earlier = [
        established.c[fact.value] < func.coalesce(fact_column(fact), literal(_NEVER, BigInteger())) for fact in facts
    ]
    return (
        update(messages)
        .where(messages.c.id == established.c.id, or_(waiting, *earlier))
        .values(
            {
                fact_column(fact): least(fact_column(fact), established.c[fact.value], is_sqlite=is_sqlite)
                for fact in facts
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


async def _suppress(connection: AsyncConnection, matched: Sequence[Matched]) -> None:
    """Suppress and lift what these events call for, by their times and not by the order they came in."""
    grave = [each for each in matched if each[0].type in GRAVE]
    called_for = [(event.at, row) for event, target in grave if (row := _suppression(event, target)) is not None]
    resubscribed: dict[releases.Key, int] = {}
    for event, target in grave:
        if event.type is EventType.RESUBSCRIBED and not target.erased:  # an erased person is left alone
            opt_out = SuppressionKind.OPT_OUT.value
            key = (target.workspace_id, target.channel, target.address_digest, opt_out, target.topic or "")
            # A provider whose clock is fast says nothing of what a reader will have said by then.
            at = min(event.at, event.received_at)
            resubscribed[key] = max(at, resubscribed.get(key, at))
    if called_for or resubscribed:
        await resubscriptions.weigh(connection, called_for, resubscribed)


def _suppression(event: RawEvent, target: Target) -> dict[str, Any] | None:
    """The suppression that an event calls for: a dead address, a complaint, or an opt-out of the message's topic."""
    if event.is_ours:  # a reader who opted out may have changed their mind since
        return None
    if is_sandbox(target.workspace_id):  # else each of its addresses could tell its story once alone
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
