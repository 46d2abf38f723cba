"""``python -m bench.floors.insert_loop``: what the database takes of the same rows from a bare client.

The events that came in last go once more into a table of the same columns and indexes: one statement of an array per
column, and one commit, for every 1,000 rows.
"""

from typing import Any, Final

import asyncpg
import msgspec

from bench.floors.task import Clock, Done, main

_AT_ONCE: Final = 1_000
_COLUMNS: Final = """
SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = 'events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


class InsertTask(msgspec.Struct, frozen=True):
    """What to do: so many ``rows`` into the database at ``url``."""

    url: str
    rows: int


async def run(task: InsertTask) -> Done:
    """Insert rows that are in memory already."""
    connection = await asyncpg.connect(task.url)
    try:
        columns = await connection.fetch(_COLUMNS)
        rows = await connection.fetch("SELECT * FROM events ORDER BY id DESC LIMIT $1", task.rows)
        await connection.execute("DROP TABLE IF EXISTS bare_events")
        await connection.execute("CREATE TABLE bare_events (LIKE events INCLUDING ALL)")
        arrays = ", ".join(f"${place}::{column['type']}[]" for place, column in enumerate(columns, 1))
        statement = await connection.prepare(f"INSERT INTO bare_events SELECT * FROM unnest({arrays})")  # noqa: S608
        chunks = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
        clock = Clock()
        clock.start()
        for chunk in chunks:
            values: list[list[Any]] = [[row[place] for row in chunk] for place in range(len(columns))]
            await statement.fetch(*values)
        return clock.stop()
    finally:
        await connection.close()


if __name__ == "__main__":
    main(run, InsertTask)
