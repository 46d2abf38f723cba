"""What a claim reads besides, for messages that go out in parts: where to, and what got through already."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.recordset import among
from models.tables import attempts, push_subscriptions
from models.vocabulary import Channel

IN_PARTS: Final = frozenset({Channel.PUSH, Channel.TELEGRAM})
"""The channels on which one message may be several."""

BrowserKeys = tuple[UUID, str, str, str]
"""id, endpoint, p256dh, auth."""


def got_a_part_through() -> ColumnElement[bool]:
    """Whether an attempt did. Where there was nothing to say, earlier versions wrote JSON's null instead of NULL."""
    return cast(attempts.c.parts, Text) != "null"


async def browsers_of(connection: AsyncConnection, rows: Sequence[Any]) -> Mapping[UUID, tuple[BrowserKeys, ...]]:
    """By message id, the browsers of its contact: those for its topic, and those for any."""
    if not rows:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    found: dict[tuple[UUID, UUID], list[tuple[str | None, BrowserKeys]]] = defaultdict(list)
    for browser in await connection.execute(
        select(
            push_subscriptions.c.workspace_id,
            push_subscriptions.c.contact_id,
            push_subscriptions.c.topic,
            push_subscriptions.c.id,
            push_subscriptions.c.endpoint,
            push_subscriptions.c.p256dh,
            push_subscriptions.c.auth,
        )
        .where(among(push_subscriptions.c.contact_id, {row.contact_id for row in rows}, is_sqlite=is_sqlite))
        .order_by(push_subscriptions.c.id)
    ):
        workspace_id, contact_id, topic, *keys = browser
        found[workspace_id, contact_id].append((topic, (keys[0], keys[1], keys[2], keys[3])))
    return {
        row.id: tuple(keys for topic, keys in found[row.workspace_id, row.contact_id] if topic in (None, row.topic))
        for row in rows
    }


async def accepted_parts(connection: AsyncConnection, rows: Sequence[Any]) -> Mapping[UUID, frozenset[str]]:
    """By message id, the parts that earlier attempts of the same run got through; only of those that had any."""
    runs = {row.id: row.run for row in rows if row.token}
    if not runs:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    accepted: dict[UUID, frozenset[str]] = {}
    for attempt in await connection.execute(
        select(attempts.c.message_id, attempts.c.run, attempts.c.parts).where(
            among(attempts.c.message_id, set(runs), is_sqlite=is_sqlite), got_a_part_through()
        )
    ):
        if attempt.run == runs[attempt.message_id]:
            accepted[attempt.message_id] = accepted.get(attempt.message_id, frozenset()) | set(attempt.parts)
    return accepted
