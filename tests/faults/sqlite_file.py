"""A SQLite file, as SQLite itself judges it."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 60.0


def damage(path: Path) -> list[str]:
    """What is wrong with the file: its pages and indexes, and rows that refer to nothing. Waits its turn."""
    with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE_S)) as connection:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    found = [] if said == ["ok"] else said[:3]
    return [*found, f"{len(orphans)} rows refer to nothing"] if orphans else found
