"""Taking idempotency keys for new messages, without waiting for ever for whoever takes the same ones."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import IdempotencyInFlight
from models.store.bulk import insert_ignoring
from models.tables import idempotency_keys

_PATIENCE_MS: Final = 1_000
_LOCK_NOT_AVAILABLE: Final = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


async def take(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert keys, leaving those alone that exist; ``rows`` in one order everywhere, each with the table's columns.

    On PostgreSQL an insert waits for another process's transaction that has just inserted the same key. That one
    ends within milliseconds, unless its process was stopped in its midst: then this raises IdempotencyInFlight.
    """
    if connection.dialect.name == "sqlite":  # where only one transaction writes at a time
        await insert_ignoring(connection, idempotency_keys, rows)
        return
    await connection.execute(select(func.set_config("lock_timeout", str(_PATIENCE_MS), True)))
    try:
        await insert_ignoring(connection, idempotency_keys, rows)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise IdempotencyInFlight("another process has not ended its first request") from error
        raise
    await connection.execute(select(func.set_config("lock_timeout", "0", True)))
