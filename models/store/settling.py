"""Whether an event has settled an attempt whose end nobody knew.

Whoever reports on a message has it, but does not say by which attempt. Where only one can have brought it there by the
time that the report came, it is that one; where several can, they stay in doubt.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, exists, func, null, or_, select

from models.lifecycle import facts_of
from models.tables import attempts, events, messages
from models.vocabulary import EventType, Fact, Outcome, State

_IN_DOUBT: Final = (Outcome.UNKNOWN.value, Outcome.AMBIGUOUS.value)
_MAY_HAVE_ARRIVED: Final = (Outcome.ACCEPTED.value, *_IN_DOUBT)
_PROOFS: Final = tuple(each.value for each in EventType if Fact.SENT in facts_of(each, bounce_type=None, machine=False))


def settled_at() -> ColumnElement[int | None]:
    """When the event came that proves that an attempt without a known end arrived (a column of ``attempts``).

    Milliseconds, by the database's clock as all times here; NULL where the attempt's end is known, where nothing
    proves it, and where the event may tell of another attempt of the same run.
    """
    proof = (
        select(func.min(events.c.received_at))
        .where(
            events.c.message_id == attempts.c.message_id,
            events.c.run == attempts.c.run,
            events.c.type.in_(_PROOFS),
        )
        .correlate(attempts)
        .scalar_subquery()
    )
    in_doubt = attempts.c.outcome.in_(_IN_DOUBT)
    return case((or_(~in_doubt, _another_before(proof), _one_under_way_before(proof)), null()), else_=proof)


def _another_before(proof: Any) -> ColumnElement[bool]:
    other = attempts.alias()
    return (
        exists()
        .where(
            other.c.message_id == attempts.c.message_id,
            other.c.run == attempts.c.run,
            other.c.token != attempts.c.token,
            other.c.started_at <= proof,
            # Of a message that is several, a failed attempt may have brought a part.
            or_(other.c.outcome.in_(_MAY_HAVE_ARRIVED), other.c.parts.is_not(None)),
        )
        .correlate(attempts)
    )


def _one_under_way_before(proof: Any) -> ColumnElement[bool]:
    now = messages.alias()
    return (
        exists()
        .where(
            now.c.id == attempts.c.message_id,
            now.c.run == attempts.c.run,
            and_(now.c.state == State.SENDING.value, now.c.claimed_at <= proof),
        )
        .correlate(attempts)
    )
