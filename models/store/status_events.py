"""What subscriptions are told of messages: rows that the triggers of migration 0007 write, and that workers send.

No lease guards them. A claim hides a row for a while; whoever dies with it in hand lets it come back, and its receiver
knows by its id what it has already.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Integer,
    Text,
    Uuid,
    and_,
    case,
    cast,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import clock, endpoints
from models.store.due_subscriptions import DUE, Waiting
from models.store.outcomes import Ended
from models.store.recordset import Columns, among, parameters, recordset
from models.suppression_reasons import SuppressionReason
from models.tables import contacts, message_details, messages, status_events, subscriptions
from models.vocabulary import Channel, FailureReason, NoticeState, Outcome, State, StatusEvent

HIDDEN_MS: Final = 120_000
"""How long a worker may have one in hand. A request takes far less, and so does the wait for its turn."""

MOST_ATTEMPTS_SHOWN: Final = 20
"""The schedule has ten."""

_DIGEST_BYTES: Final = 16

_STATES: Final = {
    State.QUEUED: NoticeState.PENDING,
    State.DONE: NoticeState.DELIVERED,
    State.FAILED: NoticeState.FAILED,
}


class Attempt(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One attempt, as it is kept in the row. Times are milliseconds (UTC)."""

    started_at: int
    ended_at: int
    outcome: Outcome
    code: str | None = None
    detail: str | None = None


class Told(msgspec.Struct, frozen=True):
    """One event in a worker's hands, with what is said of its message. Times are milliseconds (UTC)."""

    subscription: Waiting
    message_id: UUID
    type: StatusEvent
    at: int
    reason: str | None
    token: int
    tries: int
    attempts: tuple[Attempt, ...]
    claimed_at: int
    channel: Channel
    contact_id: UUID
    external_id: str | None
    campaign_id: UUID | None
    journey_id: UUID | None
    metadata: dict[str, Any]


async def claim(connection: AsyncConnection, subscription: Waiting, most: int) -> list[Told]:
    """Take up to ``most`` events of a subscription that are due, the longest due first."""
    rows = (
        await connection.execute(
            select(
                status_events.c.id,
                *(
                    status_events.c[name]
                    for name in ("message_id", "type", "at", "reason", "token", "tries", "attempts")
                ),
                *(messages.c[name] for name in ("channel", "contact_id", "campaign_id", "journey_id")),
                message_details.c.metadata,
                contacts.c.external_id,
            )
            .join(messages, messages.c.id == status_events.c.message_id)
            .join(message_details, message_details.c.message_id == status_events.c.message_id)
            .outerjoin(
                contacts,
                and_(contacts.c.id == messages.c.contact_id, contacts.c.workspace_id == messages.c.workspace_id),
            )
            .where(
                status_events.c.subscription_id == subscription.id,
                messages.c.workspace_id == subscription.workspace_id,
                *DUE,
            )
            .order_by(status_events.c.due_at, status_events.c.id)
            .limit(most)
            .with_for_update(of=status_events, skip_locked=True)
        )
    ).all()
    if not rows:
        return []
    is_sqlite = connection.dialect.name == "sqlite"
    await connection.execute(
        update(status_events)
        .where(among(status_events.c.id, [row.id for row in rows], is_sqlite=is_sqlite))
        .values(token=status_events.c.token + 1, due_at=now_ms() + HIDDEN_MS)
    )
    now = await clock.read(connection)
    return [
        Told(
            subscription=subscription,
            message_id=row.message_id,
            type=StatusEvent(row.type),
            at=row.at,
            reason=row.reason,
            token=row.token + 1,
            tries=row.tries,
            attempts=msgspec.convert(row.attempts or (), tuple[Attempt, ...]),
            claimed_at=now,
            channel=Channel(row.channel),
            contact_id=row.contact_id,
            external_id=row.external_id,
            campaign_id=row.campaign_id,
            journey_id=row.journey_id,
            metadata=row.metadata,
        )
        for row in rows
    ]


_RECORDED: Final[Columns] = {
    "message": Uuid(),
    "type": Text(),
    "subscription": Uuid(),
    "token": BigInteger(),
    "state": Text(),
    "delay_ms": BigInteger(),
    "burnt": Integer(),
    "attempts": Text(),
}


async def record(connection: AsyncConnection, chunk: Sequence[tuple[Told, Ended]]) -> None:
    """Record how sends ended, and what they tell of their endpoints. Repeating it changes nothing.

    A success counts whoever has the event in hand by now.
    """
    # One end of each: a success before all others, then what the latest claim came to.
    ends = {_event(told): (told, ended) for told, ended in sorted(chunk, key=_weight)}
    is_sqlite = connection.dialect.name == "sqlite"
    now = await clock.read(connection)
    rows = [_recorded(*ends[event], now) for event in sorted(ends)]
    values = parameters("recorded", _RECORDED, rows, is_sqlite=is_sqlite)
    changed = {tuple(row) for row in await connection.execute(_recording(is_sqlite), values)}
    await _judge_endpoints(connection, [ends[event] for event in ends if event in changed])


def _event(told: Told) -> tuple[UUID, str, UUID]:
    return told.message_id, told.type.value, told.subscription.id


def _weight(each: tuple[Told, Ended]) -> tuple[bool, int]:
    told, ended = each
    return ended.state is State.DONE, told.token


@cache
def _recording(is_sqlite: bool) -> Any:
    recorded = recordset("recorded", _RECORDED, is_sqlite=is_sqlite)
    attempts = recorded.c.attempts if is_sqlite else cast(recorded.c.attempts, JSON)
    return (
        update(status_events)
        .where(
            status_events.c.message_id == recorded.c.message,
            status_events.c.type == recorded.c.type,
            status_events.c.subscription_id == recorded.c.subscription,
            status_events.c.state == NoticeState.PENDING.value,
            or_(status_events.c.token == recorded.c.token, recorded.c.state == NoticeState.DELIVERED.value),
        )
        .values(
            state=recorded.c.state,
            due_at=now_ms() + recorded.c.delay_ms,
            tries=status_events.c.tries + recorded.c.burnt,
            ended_at=case((recorded.c.state == NoticeState.PENDING.value, null()), else_=now_ms()),
            attempts=type_coerce(attempts, JSON),
        )
        .returning(status_events.c.message_id, status_events.c.type, status_events.c.subscription_id)
    )


def _recorded(told: Told, ended: Ended, now: int) -> tuple[Any, ...]:
    tried = told.attempts
    if ended.outcome is not None:
        tried = (*tried, Attempt(ended.started_at, now, ended.outcome, ended.code, ended.detail))[-MOST_ATTEMPTS_SHOWN:]
    return (
        *_event(told),
        told.token,
        _STATES[ended.state].value,
        ended.delay_ms,
        int(ended.burns_try),
        msgspec.json.encode(tried).decode() if tried else None,
    )


async def _judge_endpoints(connection: AsyncConnection, counted: Sequence[tuple[Told, Ended]]) -> None:
    """Switch off what is gone, or has failed for as long as a contact's webhook may."""
    reasons = {_key(told): FailureReason.ENDPOINT_GONE.value for told, ended in counted if ended.dead_address}
    works = {_key(told) for told, ended in counted if ended.outcome is Outcome.ACCEPTED}
    failures = Counter(_key(told) for told, ended in counted if ended.endpoint_works is False)
    failing = await endpoints.judge(connection, failures, works | reasons.keys())
    reasons |= dict.fromkeys(failing, SuppressionReason.ENDPOINT_FAILING.value)
    for told in {_key(told): told for told, _ in counted if _key(told) in reasons}.values():
        await _switch_off(connection, told, reasons[_key(told)])


def _key(told: Told) -> endpoints.Key:
    return endpoint_key(told.subscription.workspace_id, told.subscription.id, told.subscription.url)


def endpoint_key(workspace_id: UUID, subscription_id: UUID, url: str) -> endpoints.Key:
    """What the failures of a subscription's endpoint are counted under."""
    # Whoever changes the URL begins anew: what failed there, or fails there yet, says nothing of the new one.
    return workspace_id, hashlib.blake2b(subscription_id.bytes + url.encode(), digest_size=_DIGEST_BYTES).digest()


async def _switch_off(connection: AsyncConnection, told: Told, reason: str) -> None:
    """Nothing is sent there any more, and the workspace is told; unless its URL was changed meanwhile."""
    of = told.subscription
    disabled_at = await connection.scalar(
        update(subscriptions)
        .where(
            subscriptions.c.workspace_id == of.workspace_id,
            subscriptions.c.id == of.id,
            subscriptions.c.url == of.url,
            subscriptions.c.disabled_at.is_(None),
        )
        .values(disabled_at=now_ms(), disabled_reason=reason)
        .returning(subscriptions.c.disabled_at)
    )
    if disabled_at is not None:
        once = f"{of.id}|{disabled_at}"
        await endpoints.tell(
            connection, of.workspace_id, message_id=told.message_id, url=of.url, reason=reason, once=once
        )
