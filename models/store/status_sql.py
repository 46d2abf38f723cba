"""The SQL form of ``models.lifecycle``; the shown status itself is a column that ``models.tables`` generates."""

from sqlalchemy import BigInteger, Boolean, ColumnElement, and_, func, literal, literal_column, or_

from models.faults import FAULTS, REPORTED, Fault
from models.lifecycle import IMPLIED_BY
from models.tables import messages
from models.vocabulary import Fact


def fact_column(fact: Fact) -> ColumnElement[int | None]:
    """The column of ``messages`` that holds a fact's time."""
    return messages.c[f"{fact.value}_at"]


def status_expression() -> ColumnElement[str]:
    """``lifecycle.status_of`` over a row of ``messages``."""
    return messages.c.status


def undelivered() -> ColumnElement[bool]:
    """Whether a message did not arrive; in the very words of the index of these, so that it is seen to fit."""
    return literal_column("messages.status IN ('FAILED', 'BOUNCED')", Boolean())


def at_fault(fault: Fault) -> ColumnElement[bool]:
    """Whether ``faults.fault_of`` of a row of ``messages`` is ``fault``."""
    ours = messages.c.failure_reason.in_([reason.value for reason, whose in FAULTS.items() if whose is fault])
    reported = [status.value for status, reason in REPORTED.items() if FAULTS[reason] is fault]
    theirs = and_(messages.c.failure_reason.is_(None), messages.c.status.in_(reported))
    return and_(undelivered(), or_(ours, theirs))


def effective_expression(fact: Fact, *, is_sqlite: bool) -> ColumnElement[int | None]:
    """``lifecycle.effective`` over a row of ``messages``."""
    return least(fact_column(fact), *(fact_column(later) for later in IMPLIED_BY.get(fact, ())), is_sqlite=is_sqlite)


def least(*times: ColumnElement[int | None], is_sqlite: bool) -> ColumnElement[int | None]:
    """The earliest of some times, NULLs left aside."""
    if len(times) == 1:  # SQLite's min() of one thing is another function
        return times[0]
    if not is_sqlite:
        return func.least(*times, type_=BigInteger)
    never = literal(2**62)
    return func.nullif(func.min(*(func.coalesce(time, never) for time in times)), never, type_=BigInteger)
