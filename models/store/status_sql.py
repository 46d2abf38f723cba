"""The SQL form of ``models.lifecycle``, generated from its tables."""

from sqlalchemy import BigInteger, ColumnElement, case, func, literal

from models.lifecycle import BY_STATE, PRECEDENCE
from models.tables import messages
from models.vocabulary import Fact


def fact_column(fact: Fact) -> ColumnElement[int | None]:
    """The column of ``messages`` that holds a fact's time."""
    return messages.c[f"{fact.value}_at"]


def status_expression() -> ColumnElement[str]:
    """``lifecycle.status_of`` over a row of ``messages``."""
    return case(
        *((fact_column(fact).is_not(None), status.value) for fact, status in PRECEDENCE),
        *((messages.c.state == state.value, status.value) for state, status in BY_STATE.items()),
    )


def least(*times: ColumnElement[int | None], is_sqlite: bool) -> ColumnElement[int | None]:
    """The earliest of some times, NULLs left aside."""
    if not is_sqlite:
        return func.least(*times, type_=BigInteger)
    never = literal(2**62)
    return func.nullif(func.min(*(func.coalesce(time, never) for time in times)), never, type_=BigInteger)
