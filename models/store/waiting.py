"""Which of many messages somebody need not wait for any longer."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.recordset import among
from models.tables import messages
from models.vocabulary import Status

PENDING: Final = frozenset({Status.QUEUED, Status.SENDING})
"""The statuses of a message whose end is still to come."""


async def settled_among(connection: AsyncConnection, message_ids: Collection[UUID]) -> set[UUID]:
    """Those of ``message_ids``, of any workspace, that are SENT or further, FAILED or BOUNCED."""
    rows = await connection.scalars(
        select(messages.c.id).where(
            among(messages.c.id, message_ids, is_sqlite=connection.dialect.name == "sqlite"),
            messages.c.status.not_in([status.value for status in PENDING]),
        )
    )
    return set(rows)
