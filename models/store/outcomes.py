"""Recording how attempts ended, in chunks, guarded by the fencing token.

A recorded outcome never contradicts proof of acceptance: where ``sent_at`` is present already, a failure or
a retry becomes done. A success whose token went stale still sets ``sent_at`` and stops the run's next send; any other
end that is sure settles what is held for want of it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.progress import InboxItem, Progress
from models.sandboxes import is_sandbox
from models.store import attempt_rows, outcome_sql
from models.store.inbox_deliveries import Delivery, Owner, deliver, hold_owners
from models.store.learnt import learn
from models.store.recordset import given, parameters
from models.store.suppressions import create_lasting
from models.tables import message_details, messages
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

    @property
    def is_refusal(self) -> bool:
        """Whether it is sure that the peer has not taken the message."""
        return not self.sent and self.outcome in (None, Outcome.TRANSIENT, Outcome.PERMANENT)


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
    values, single = given("ended", outcome_sql.COLUMNS, [_row(ended) for ended in chunk], is_sqlite=is_sqlite)
    settled = {row[0] for row in await connection.execute(outcome_sql.fresh(is_sqlite, single), values)}
    late = [ended for ended in chunk if ended.message_id not in settled]
    stale = [ended for ended in late if ended.sent or ended.outcome is Outcome.ACCEPTED]
    if stale:
        values = parameters("ended", outcome_sql.COLUMNS, [_row(ended) for ended in stale], is_sqlite=is_sqlite)
        settled |= {row[0] for row in await connection.execute(outcome_sql.stale(is_sqlite), values)}
    refuted = await _refute(connection, [ended for ended in late if ended.is_refusal])
    settled |= refuted
    await _fill_inboxes(connection, [ended for ended in chunk if ended.message_id in settled], owners)
    await attempt_rows.write(connection, [_attempt(ended) for ended in chunk if ended.outcome is not None])
    await _complete_attempts(connection, late, refuted)
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


async def _refute(connection: AsyncConnection, refused: Sequence[Ended]) -> set[UUID]:
    """End what is held although the peer has not taken it, as its worker says late; returns these messages."""
    if not refused:
        return set()
    is_sqlite = connection.dialect.name == "sqlite"
    values = parameters("ended", outcome_sql.COLUMNS, [_row(ended) for ended in refused], is_sqlite=is_sqlite)
    return {row[0] for row in await connection.execute(outcome_sql.held(is_sqlite), values)}


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


async def _complete_attempts(connection: AsyncConnection, late: Sequence[Ended], refuted: Collection[UUID]) -> None:
    """What a rescue wrote of an attempt before its end was known lacks the peer's name for it, and the parts.

    Where the message was held for it, ``refuted``, it lacks the end, too; one that never began was none.
    """
    for ended in late:
        if ended.message_id in refuted and ended.outcome is None:
            await attempt_rows.withdraw(connection, ended.message_id, ended.token)
            continue
        columns = {"provider_id", "parts"}
        if ended.message_id in refuted:
            columns |= {"outcome", "code", "detail"}
        known = {name: value for name, value in _attempt(ended).items() if name in columns and value}
        await attempt_rows.complete(connection, ended.message_id, ended.token, known)


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
        if not is_sandbox(row.workspace_id)  # else each of its addresses could tell its story once alone
    ]
    await create_lasting(connection, new)
