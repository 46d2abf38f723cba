"""How a message ends of which nothing more is sent."""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, literal, null

from models.session import now_ms
from models.store.claim_parts import got_a_part_through
from models.tables import attempts, messages
from models.vocabulary import Channel, FailureReason, State


def without_a_send(state: Any, reason: Any) -> dict[str, Any]:
    """What an update sets where a message ends in ``state`` for ``reason`` (values or columns) and not by a send.

    A push message that one of the contact's browsers has taken is sent, whatever keeps it from the others.
    """
    taken = one_has_it()
    return {
        "state": case((taken, literal(State.DONE.value)), else_=_value(state)),
        "failure_reason": case((taken, null()), else_=_value(reason)),
        "sent_at": case((taken, now_ms()), else_=messages.c.sent_at),
        "turn": null(),
        "paused": False,
        "token": messages.c.token + 1,
        "ended_at": now_ms(),
    }


def one_has_it() -> ColumnElement[bool]:
    """Whether it is a push message that is not called sent yet, and one browser has taken in this run."""
    return and_(
        messages.c.channel == literal(Channel.PUSH.value, literal_execute=True),
        messages.c.sent_at.is_(None),
        exists().where(attempts.c.message_id == messages.c.id, attempts.c.run == messages.c.run, got_a_part_through()),
    )


def _value(given: Any) -> Any:
    return literal(given.value) if isinstance(given, State | FailureReason) else given
