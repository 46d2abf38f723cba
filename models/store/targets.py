"""The messages that events tell of, locked before anything is written of either."""

from collections.abc import Collection
from itertools import starmap
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.recordset import among, kept_to
from models.tables import message_details, messages
from models.vocabulary import EventType

GRAVE: Final = (EventType.BOUNCED, EventType.COMPLAINED, EventType.UNSUBSCRIBED, EventType.RESUBSCRIBED)
"""What decides whether an address may be written to. No set: to look a word up in one costs four comparisons."""


class Target(msgspec.Struct, frozen=True):
    """The message of an event, as far as the tracker needs it. ``about_run``: the run that the event tells of.

    ``made_at``: no event of it can be older. ``sending_at``: when its present run began to be sent (milliseconds).
    ``erased``: its person is. Who was written to, and of what topic, is read only where an event may be ``GRAVE``.
    """

    id: UUID
    workspace_id: UUID
    made_at: int
    run: int
    sending_at: int | None
    erased: bool
    about_run: int
    channel: str = ""
    address: str | None = None
    address_digest: bytes = b""
    topic: str | None = None


_READ: Final = (
    messages.c.id,
    messages.c.workspace_id,
    messages.c.queued_at,
    messages.c.run,
    messages.c.sending_at,
    message_details.c.address.is_(None),
    messages.c.run.label("about_run"),
)
_READ_IF_GRAVE: Final = (
    messages.c.channel,
    message_details.c.address,
    message_details.c.address_digest,
    message_details.c.topic,
)


async def lock(
    connection: AsyncConnection, owners: Collection[UUID], ids: Collection[UUID], *, addressed: bool
) -> dict[int, Target]:
    """Those of these messages that are of these workspaces, by the numbers of their ids; locked in id order.

    ``addressed``: also whom they were written to.
    """
    if not ids:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    rows: Any = await connection.execute(
        select(*_READ, *(_READ_IF_GRAVE if addressed else ()))
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(
            among(messages.c.id, ids, is_sqlite=is_sqlite),
            # Who names a message of a workspace of others neither locks it nor waits for it.
            kept_to(messages.c.workspace_id, owners, is_sqlite=is_sqlite),
        )
        .order_by(messages.c.id)
        .with_for_update(of=messages)
    )
    return {target.id.int: target for target in starmap(Target, rows.all())}
