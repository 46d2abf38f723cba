"""How a database goes about a statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text

from models.session import Database

Asked = list[tuple[str, Any]]
"""Statements and their parameters."""


@contextmanager
def statements(database: Database) -> Iterator[Asked]:
    """What is asked of the database meanwhile, in order."""
    asked: Asked = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def explain(database: Database, asked: Asked, *, few_rows: bool = False) -> list[str]:
    """The plan of each statement, line by line; ``few_rows``: as if there were many."""
    plans = []
    async with database.read() as connection:
        if few_rows and not database.is_sqlite:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        prefix = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        for statement, parameters in asked:
            rows: Sequence[Any] = (await connection.exec_driver_sql(prefix + statement, parameters)).all()
            plans.append("\n".join(str(row[-1]) for row in rows))
    return plans


def whole_reads(plan: str) -> list[str]:
    """The lines by which a table is read from its beginning to its end."""
    whole = [line for line in plan.splitlines() if "Seq Scan" in line or line.startswith("SCAN")]
    return [line for line in whole if "USING" not in line]
