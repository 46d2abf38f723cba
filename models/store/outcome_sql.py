"""The statements that write how attempts ended, over a set of rows of ``COLUMNS``."""

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, Text, Uuid, and_, case, literal, null, or_, update

from models.session import now_ms
from models.store.recordset import STATEMENTS_KEPT, Columns, recordset
from models.store.status_sql import least
from models.tables import messages
from models.vocabulary import State

COLUMNS: Columns = {
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


@lru_cache(STATEMENTS_KEPT)
def fresh(is_sqlite: bool, single: frozenset[str]) -> Any:
    """The end of an attempt by who has the message still. ``single``: columns with one value for all rows."""
    ended = recordset("ended", COLUMNS, is_sqlite=is_sqlite, single=single)
    return (
        update(messages)
        .where(
            messages.c.id == ended.c.id,
            messages.c.token == ended.c.token,
            messages.c.state == State.SENDING.value,
        )
        .values(**_end(ended, is_sqlite=is_sqlite))
        .returning(messages.c.id)
    )


@cache
def held(is_sqlite: bool) -> Any:
    """The end, known late, of an attempt that its message is held for.

    By the token: nobody but the rescue has touched the message since, which wrote the next one.
    """
    ended = recordset("ended", COLUMNS, is_sqlite=is_sqlite)
    return (
        update(messages)
        .where(
            messages.c.id == ended.c.id,
            messages.c.token == ended.c.token + 1,
            messages.c.state == State.HELD.value,
        )
        .values(**_end(ended, is_sqlite=is_sqlite))
        .returning(messages.c.id)
    )


@cache
def stale(is_sqlite: bool) -> Any:
    """A success under an old token: the fact stands, and no second send of this run may begin."""
    ended = recordset("ended", COLUMNS, is_sqlite=is_sqlite)
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


def _end(ended: Any, *, is_sqlite: bool) -> dict[str, Any]:
    """What an update sets where an attempt ends."""
    accepted = or_(ended.c.sent, messages.c.sent_at.is_not(None))
    state = case((accepted, literal(State.DONE.value)), else_=ended.c.state)
    over = state.in_([State.DONE.value, State.FAILED.value])
    still_due = and_(ended.c.delay_ms == 0, messages.c.due_at < now_ms())
    return {
        "state": state,
        "turn": null(),
        "worker_id": null(),
        "tries": messages.c.tries + ended.c.burnt,
        # What is due at once stays as long due as it was, also when the database's clock was set back meanwhile.
        "due_at": case((still_due, messages.c.due_at), else_=now_ms() + ended.c.delay_ms),
        "ended_at": case((over, now_ms()), else_=null()),
        "failure_reason": case((accepted, null()), else_=ended.c.reason),
        **_facts(ended, is_sqlite=is_sqlite),
    }
