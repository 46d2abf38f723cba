"""The SQL form of ``models.lifecycle``; the shown status itself is a column that ``models.tables`` generates."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Boolean, ColumnElement, String, and_, func, literal, literal_column, or_

from models.faults import FAULTS, REPORTED, Fault
from models.lifecycle import IMPLIED_BY, File
from models.tables import FILED_UNDER, NOT_ARRIVED, messages
from models.vocabulary import Fact, Status


def fact_column(fact: Fact) -> ColumnElement[int | None]:
    """The column of ``messages`` that holds a fact's time."""
    return messages.c[f"{fact.value}_at"]


def status_expression() -> ColumnElement[str]:
    """``lifecycle.status_of`` over a row of ``messages``."""
    return messages.c.status


def filed_under(*files: File) -> ColumnElement[bool]:
    """Whether a message is filed under one of these; written out, so that an index is seen to fit."""
    filed = literal_column(FILED_UNDER, String())
    if len(files) == 1:
        return filed == literal(files[0].value, literal_execute=True)
    return or_(*(filed == literal(each.value, literal_execute=True) for each in files))


def undelivered() -> ColumnElement[bool]:
    """Whether a message did not arrive; in the very words of the index of these, so that it is seen to fit."""
    statuses = [Status.FAILED.value, Status.BOUNCED.value]
    return and_(literal_column(NOT_ARRIVED, Boolean()), messages.c.status.in_(statuses))


def at_fault(fault: Fault) -> ColumnElement[bool]:
    """Whether ``faults.fault_of`` of a row of ``messages`` is ``fault``."""
    return and_(undelivered(), or_(*parts_at_fault(fault)))


def parts_at_fault(fault: Fault) -> Sequence[ColumnElement[bool]]:
    """What together is ``at_fault`` of those that did not arrive: whose reason we noted, and whose we were told."""
    ours = messages.c.failure_reason.in_([reason.value for reason, whose in FAULTS.items() if whose is fault])
    reported = [status.value for status, reason in REPORTED.items() if FAULTS[reason] is fault]
    theirs = and_(messages.c.failure_reason.is_(None), messages.c.status.in_(reported))
    return [ours, theirs] if reported else [ours]


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
