"""``python -m bench.floors.insert_loop``: what the database takes of the same rows from a bare client.

The rows that came in last go once more into tables of the same columns and indexes: prepared statements, and one
commit, for so many rows at once.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from enum import StrEnum
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from bench.floors.task import Clock, Done, main

# Those that the database computes itself it computes here, too.
_COLUMNS: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""

Rows = Sequence[Sequence[Any]]


class Form(StrEnum):
    """How a statement takes its rows."""

    VALUES = "values"
    """A multi-row insert as SQL knows it: ``VALUES (…), (…), …``, a parameter for every value."""

    ARRAYS = "arrays"
    """PostgreSQL's own short cut: an array per column, and ``unnest``."""


class Copied(msgspec.Struct, frozen=True):
    """A table whose rows are inserted once more; ``key``: the column that says which came last."""

    table: str
    key: str


EVENTS: Final = (Copied("events", "id"),)


class InsertTask(msgspec.Struct, frozen=True):
    """What to do: so many ``rows`` into the database at ``url``, in this ``form``, over ``connections`` at once.

    A row is one of each of the ``tables``, ``at_once`` of them share a commit.
    """

    url: str
    rows: int
    form: Form
    connections: int
    tables: tuple[Copied, ...] = EVENTS
    at_once: int = 1_000


class _Insert(NamedTuple):
    """A statement's text from table, columns, their types and the number of rows, and its parameters from the rows."""

    text: Callable[[str, Sequence[str], Sequence[str], int], str]
    parameters: Callable[[Rows], list[Any]]


def _values_text(table: str, names: Sequence[str], _types: Sequence[str], rows: int) -> str:
    width = len(names)
    values = (
        f"({', '.join(f'${place}' for place in range(start + 1, start + width + 1))})"
        for start in range(0, rows * width, width)
    )
    return f"INSERT INTO bare_{table} ({', '.join(names)}) VALUES {', '.join(values)}"  # noqa: S608


def _arrays_text(table: str, names: Sequence[str], types: Sequence[str], _rows: int) -> str:
    arrays = ", ".join(f"${place}::{each}[]" for place, each in enumerate(types, 1))
    return f"INSERT INTO bare_{table} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608


_FORMS: Final = {
    Form.VALUES: _Insert(_values_text, lambda rows: [value for row in rows for value in row]),
    Form.ARRAYS: _Insert(_arrays_text, lambda rows: [list(column) for column in zip(*rows, strict=True)]),
}


class _Table:
    """One table's rows, in memory, and the statement that inserts some of them into its copy."""

    def __init__(self, name: str, columns: Rows, rows: Rows) -> None:
        self.name = name
        self.names = [column[0] for column in columns]
        self.types = [column[1] for column in columns]
        self.rows = rows

    @classmethod
    async def read(cls, connection: Any, copied: Copied, number: int) -> "_Table":
        """Read the last rows and make an empty copy of their table."""
        columns = await connection.fetch(_COLUMNS, copied.table)
        listed = ", ".join(column[0] for column in columns)
        rows = await connection.fetch(
            f"SELECT {listed} FROM {copied.table} ORDER BY {copied.key} DESC LIMIT $1",  # noqa: S608
            number,
        )
        await connection.execute(f"DROP TABLE IF EXISTS bare_{copied.table}")
        await connection.execute(f"CREATE TABLE bare_{copied.table} (LIKE {copied.table} INCLUDING ALL)")
        return cls(copied.table, columns, rows)

    async def prepare(self, connection: Any, form: _Insert, rows: int) -> Any:
        """The statement for so many rows."""
        return await connection.prepare(form.text(self.name, self.names, self.types, rows))


async def run(task: InsertTask) -> Done:
    """Insert rows that are in memory already, whole statements of them."""
    connections = [await asyncpg.connect(task.url) for _ in range(task.connections)]
    try:
        tables = [await _Table.read(connections[0], copied, task.rows) for copied in task.tables]
        form = _FORMS[task.form]
        prepared = [
            [await table.prepare(connection, form, task.at_once) for table in tables] for connection in connections
        ]
        starts = iter(range(0, task.rows, task.at_once))
        clock = Clock()
        clock.start()
        await asyncio.gather(
            *(
                _insert_all(connection, list(zip(statements, tables, strict=True)), form, starts, task.at_once)
                for connection, statements in zip(connections, prepared, strict=True)
            )
        )
        return clock.stop()
    finally:
        for connection in connections:
            await connection.close()


async def _insert_all(
    connection: Any, statements: Sequence[tuple[Any, _Table]], form: _Insert, starts: Iterator[int], at_once: int
) -> None:
    for start in starts:
        # A statement alone commits by itself.
        async with connection.transaction() if len(statements) > 1 else nullcontext():
            for statement, table in statements:
                await statement.fetch(*form.parameters(table.rows[start : start + at_once]))


if __name__ == "__main__":
    main(run, InsertTask)
