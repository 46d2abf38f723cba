"""``python -m bench.floors.insert_loop``: what the database takes of the same rows from a bare client.

The events that came in last go once more into a table of the same columns and indexes: one prepared statement, and one
commit, for every 1,000 rows.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from bench.floors.task import Clock, Done, main

_AT_ONCE: Final = 1_000
_COLUMNS: Final = """
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

Rows = Sequence[Sequence[Any]]


class Form(StrEnum):
    """How a statement takes its rows."""

    VALUES = "values"
    """A multi-row insert as SQL knows it: ``VALUES (…), (…), …``, a parameter for every value."""

    ARRAYS = "arrays"
    """PostgreSQL's own short cut: an array per column, and ``unnest``."""


class InsertTask(msgspec.Struct, frozen=True):
    """What to do: so many ``rows`` into the database at ``url``, in this ``form``, over ``connections`` at once."""

    url: str
    rows: int
    form: Form
    connections: int


class _Insert(NamedTuple):
    """A statement's text from the types of the columns, and its parameters from a statement's rows."""

    text: Callable[[Sequence[str]], str]
    parameters: Callable[[Rows], list[Any]]


def _values_text(types: Sequence[str]) -> str:
    width = len(types)
    rows = (
        f"({', '.join(f'${place}' for place in range(start + 1, start + width + 1))})"
        for start in range(0, _AT_ONCE * width, width)
    )
    return f"INSERT INTO bare_events VALUES {', '.join(rows)}"  # noqa: S608


def _arrays_text(types: Sequence[str]) -> str:
    arrays = ", ".join(f"${place}::{each}[]" for place, each in enumerate(types, 1))
    return f"INSERT INTO bare_events SELECT * FROM unnest({arrays})"  # noqa: S608


_FORMS: Final = {
    Form.VALUES: _Insert(_values_text, lambda rows: [value for row in rows for value in row]),
    Form.ARRAYS: _Insert(_arrays_text, lambda rows: [list(column) for column in zip(*rows, strict=True)]),
}


async def run(task: InsertTask) -> Done:
    """Insert rows that are in memory already, whole thousands of them."""
    connections = [await asyncpg.connect(task.url) for _ in range(task.connections)]
    try:
        first = connections[0]
        types = [each[0] for each in await first.fetch(_COLUMNS)]
        rows = await first.fetch("SELECT * FROM events ORDER BY id DESC LIMIT $1", task.rows)
        await first.execute("DROP TABLE IF EXISTS bare_events")
        await first.execute("CREATE TABLE bare_events (LIKE events INCLUDING ALL)")
        form = _FORMS[task.form]
        statements = [await connection.prepare(form.text(types)) for connection in connections]
        waiting = iter([rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)])
        clock = Clock()
        clock.start()
        await asyncio.gather(*(_insert_all(statement, form, waiting) for statement in statements))
        return clock.stop()
    finally:
        for connection in connections:
            await connection.close()


async def _insert_all(statement: Any, form: _Insert, waiting: Iterator[Rows]) -> None:
    for chunk in waiting:
        await statement.fetch(*form.parameters(chunk))


if __name__ == "__main__":
    main(run, InsertTask)
