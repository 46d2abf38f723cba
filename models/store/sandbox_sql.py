"""Which rows belong to a sandbox, in SQL."""

from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func

from models.sandboxes import VERSION


def in_sandbox(workspace_id: ColumnElement[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """``models.sandboxes.is_sandbox`` over a column. SQLite keeps ids without their hyphens."""
    place = 13 if is_sqlite else 15
    return func.substr(cast(workspace_id, Text), place, 1) == VERSION
