"""Recording how attempts ended, in chunks, guarded by the fencing token.

A recorded outcome never contradicts proof of acceptance: where ``sent_at`` is present already, a failure or
a retry becomes done. A success whose token went stale still sets ``sent_at`` and stops the run's next send.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Boolean, Integer, Text, Uuid, and_, case, literal, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.progress import InboxItem, Progress
from models.session import now_ms
from models.store import clock
from models.store.bulk import insert_ignoring
from models.store.inbox_deliveries import Delivery, Owner, deliver, hold_owners
from models.store.learnt import learn
from models.store.recordset import STATEMENTS_KEPT, Columns, given, parameters, recordset
from models.store.status_sql import least
from models.store.suppressions import create_lasting
from models.tables import attempts, message_details, messages
from models.vocabulary import FailureReason, Outcome, State, SuppressionKind


class Ended(msgspec.Struct, frozen=True):
    """How one attempt ended and what follows.

    ``outcome`` None: nothing was tried (given back, no try burnt). ``state``: DONE, FAILED, HELD, or QUEUED to
    be tried again ``delay_ms`` from now. ``started_at``: milliseconds, by the database's clock. ``spared``: a limit
    ended it, which burns no try. ``endpoint_works`` (WEBHOOK): False with each failure of the endpoint, True where it
    works again, None where there is nothing to tell. ``sent``: the message is sent though this attempt failed, since
    an earlier one got it through to one browser.
    """

    message_id: UUID
    token: int
    run: int
    started_at: int
    state: State
    outcome: Outcome | None = None
    delay_ms: int = 0
    code: str | None = None
    detail: str | None = None
    provider_id: str | None = None
    reason: FailureReason | None = None
    delivered: bool = False
    bounced: bool = False
    dead_address: bool = False
    spared: bool = False
    progress: Progress | None = None
    inbox_item: InboxItem | None = None
    endpoint_works: bool | None = None
    sent: bool = False

    @property
    def burns_try(self) -> bool:
        """Only a try that reached the peer and did not end for good counts against the schedule."""
        return not self.spared and self.outcome in (Outcome.TRANSIENT, Outcome.UNKNOWN)


_COLUMNS: Columns = {
    "id": Uuid(),
    "token": BigInteger(),
    "run": Integer(),
    "state": Text(),
    "burnt": Integer(),
    "delay_ms": BigInteger(),
    "reason": Text(),
    "sent": Boolean(),
    "delivered": Boolean(),
    "hard": Boolean(),
    "soft": Boolean(),
}


def _row(ended: Ended) -> tuple[Any, ...]:
    return (
        ended.message_id,
        ended.token,
        ended.run,
        ended.state.value,
        int(ended.burns_try),
        ended.delay_ms,
        None if ended.reason is None else ended.reason.value,
        ended.sent or ended.outcome is Outcome.ACCEPTED,
        ended.delivered,
        ended.bounced and ended.dead_address,
        ended.bounced and not ended.dead_address,
    )


async def record(connection: AsyncConnection, chunk: Sequence[Ended]) -> set[UUID]:
    """Record a chunk of outcomes; returns the messages that it changed. Repeating it changes nothing."""
    is_sqlite = connection.dialect.name == "sqlite"
    items = [ended.message_id for ended in chunk if ended.inbox_item is not None]
    owners = await hold_owners(connection, items) if items else {}
    chunk = [_unless_erased(ended, owners) for ended in chunk]
    chunk = sorted(chunk, key=lambda ended: ended.message_id)  # rows are locked in id order, as everywhere
    values, single = given("ended", _COLUMNS, [_row(ended) for ended in chunk], is_sqlite=is_sqlite)
    settled = {row[0] for row in await connection.execute(_fresh(is_sqlite, single), values)}
    late = [ended for ended in chunk if ended.message_id not in settled]
    stale = [ended for ended in late if ended.sent or ended.outcome is Outcome.ACCEPTED]
    if stale:
        values = parameters("ended", _COLUMNS, [_row(ended) for ended in stale], is_sqlite=is_sqlite)
        settled |= {row[0] for row in await connection.execute(_stale(is_sqlite), values)}
    await _fill_inboxes(connection, [ended for ended in chunk if ended.message_id in settled], owners)
    await write_attempts(connection, [_attempt(ended) for ended in chunk if ended.outcome is not None])
    await _complete_attempts(connection, late)
    await learn(connection, [(each.message_id, each.progress) for each in chunk if each.progress is not None])
    # An endpoint that is gone is switched off where that is told of, too.
    dead = [ended for ended in chunk if ended.dead_address and ended.reason is not FailureReason.ENDPOINT_GONE]
    if dead:
        await suppress_dead(connection, [(ended.message_id, str(ended.reason)) for ended in dead])
    return settled


def _unless_erased(ended: Ended, owners: Mapping[UUID, Owner]) -> Ended:
    """What was meant for the inbox of a person who is erased by now reached nobody."""
    if ended.inbox_item is None or ended.message_id in owners:
        return ended
    nothing = {"code": None, "detail": None, "delivered": False, "inbox_item": None}
    return msgspec.structs.replace(
        ended, state=State.FAILED, outcome=Outcome.PERMANENT, reason=FailureReason.ERASED, **nothing
    )


async def _fill_inboxes(connection: AsyncConnection, recorded: Sequence[Ended], owners: Mapping[UUID, Owner]) -> None:
    """Hand over what the recorded successes carry."""
    deliveries = [
        Delivery(ended.message_id, ended.run, owners[ended.message_id], ended.inbox_item)
        for ended in recorded
        if ended.inbox_item is not None
    ]
    if deliveries:
        await deliver(connection, deliveries)


def _earliest(column: Any, flag: Any, *, is_sqlite: bool) -> Any:
    """``column``, or the present time where ``flag`` is set and no earlier time is known."""
    return least(column, case((flag, now_ms()), else_=null()), is_sqlite=is_sqlite)


def _facts(ended: Any, *, is_sqlite: bool) -> dict[str, Any]:
    return {
        "sent_at": _earliest(messages.c.sent_at, ended.c.sent, is_sqlite=is_sqlite),
        "delivered_at": _earliest(messages.c.delivered_at, ended.c.delivered, is_sqlite=is_sqlite),
        "hard_bounced_at": _earliest(messages.c.hard_bounced_at, ended.c.hard, is_sqlite=is_sqlite),
        "soft_bounced_at": _earliest(messages.c.soft_bounced_at, ended.c.soft, is_sqlite=is_sqlite),
    }


@lru_cache(STATEMENTS_KEPT)
def _fresh(is_sqlite: bool, single: frozenset[str]) -> Any:
    ended = recordset("ended", _COLUMNS, is_sqlite=is_sqlite, single=single)
    accepted = or_(ended.c.sent, messages.c.sent_at.is_not(None))
    state = case((accepted, literal(State.DONE.value)), else_=ended.c.state)
    over = state.in_([State.DONE.value, State.FAILED.value])
    still_due = and_(ended.c.delay_ms == 0, messages.c.due_at < now_ms())
    return (
        update(messages)
        .where(
            messages.c.id == ended.c.id,
            messages.c.token == ended.c.token,
            messages.c.state == State.SENDING.value,
        )
        .values(
            state=state,
            turn=null(),
            worker_id=null(),
            tries=messages.c.tries + ended.c.burnt,
            # What is due at once stays as long due as it was, also when the database's clock was set back meanwhile.
            due_at=case((still_due, messages.c.due_at), else_=now_ms() + ended.c.delay_ms),
            ended_at=case((over, now_ms()), else_=null()),
            failure_reason=case((accepted, null()), else_=ended.c.reason),
            **_facts(ended, is_sqlite=is_sqlite),
        )
        .returning(messages.c.id)
    )


@cache
def _stale(is_sqlite: bool) -> Any:
    """A success under an old token: the fact stands, and no second send of this run may begin."""
    ended = recordset("ended", _COLUMNS, is_sqlite=is_sqlite)
    waiting = messages.c.state.in_([State.QUEUED.value, State.HELD.value])
    return (
        update(messages)
        .where(messages.c.id == ended.c.id, messages.c.run == ended.c.run)
        .values(
            state=case((waiting, literal(State.DONE.value)), else_=messages.c.state),
            turn=case((waiting, null()), else_=messages.c.turn),
            token=messages.c.token + case((waiting, 1), else_=0),
            ended_at=case((waiting, now_ms()), else_=messages.c.ended_at),
            failure_reason=case((waiting, null()), else_=messages.c.failure_reason),
            **_facts(ended, is_sqlite=is_sqlite),
        )
        .returning(messages.c.id)
    )


def _attempt(ended: Ended) -> dict[str, Any]:
    return {
        "message_id": ended.message_id,
        "token": ended.token,
        "run": ended.run,
        "started_at": ended.started_at,
        "outcome": str(ended.outcome),
        "code": ended.code,
        "detail": ended.detail,
        "provider_id": ended.provider_id,
        "parts": list(ended.progress.accepted) if ended.progress and ended.progress.accepted else None,
    }


async def write_attempts(connection: AsyncConnection, tried: Sequence[dict[str, Any]]) -> None:
    """Write attempts that end now; one that is written already stays as it is."""
    if not tried:
        return
    now = await clock.read(connection)
    await insert_ignoring(connection, attempts, [{**row, "ended_at": now} for row in tried])


async def _complete_attempts(connection: AsyncConnection, late: Sequence[Ended]) -> None:
    """What a rescue wrote of an attempt before its end was known lacks the peer's name for it, and the parts."""
    for ended in late:
        known = {name: value for name, value in _attempt(ended).items() if name in ("provider_id", "parts") and value}
        if known:
            await connection.execute(
                update(attempts)
                .where(attempts.c.message_id == ended.message_id, attempts.c.token == ended.token)
                .values(**known)
            )


async def suppress_dead(connection: AsyncConnection, found: Sequence[tuple[UUID, str]]) -> None:
    """Suppress the addresses of these (message id, reason) for good."""
    reasons = dict(found)
    rows = await connection.execute(
        select(
            messages.c.id,
            messages.c.workspace_id,
            messages.c.channel,
            message_details.c.address,
            message_details.c.address_digest,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(messages.c.id.in_(list(reasons)))
    )
    new = [
        {
            "id": new_id(),
            "workspace_id": row.workspace_id,
            "channel": row.channel,
            "address_digest": row.address_digest,
            "kind": SuppressionKind.DEAD.value,
            "topic": "",
            "address": row.address,
            "reason": reasons[row.id],
            "message_id": row.id,
        }
        for row in rows
    ]
    await create_lasting(connection, new)
