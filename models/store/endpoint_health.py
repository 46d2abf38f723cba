"""How endpoints fare: what the workspace's subscriptions were last told, and what fails at present."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.rows import columns_of, read
from models.store.status_events import endpoint_key
from models.store.subscriptions import SubscriptionRow
from models.tables import failing_endpoints, status_events
from models.vocabulary import NoticeState

MOST_LOOKED_AT: Final = 1_000
"""Of each subscription, the newest events that are looked at."""
MOST_COUNTED: Final = 1_000


class Failing(msgspec.Struct, frozen=True):
    """An endpoint that has failed since it last worked. Times are milliseconds (UTC)."""

    first_failed_at: int
    last_failed_at: int
    failures: int


class Health(msgspec.Struct, frozen=True):
    """A subscription's newest events, by what became of them. Times are milliseconds (UTC), None where there is none.

    ``failing``: None where its last attempt did not fail.
    """

    waiting: int
    delivered: int
    failed: int
    last_delivered_at: int | None
    last_failed_at: int | None
    failing: Failing | None


async def of_subscriptions(
    connection: AsyncConnection, workspace_id: UUID, rows: Sequence[SubscriptionRow]
) -> dict[UUID, Health]:
    """How the endpoints of these subscriptions of a workspace fare; a workspace has twenty at most."""
    if not rows:
        return {}
    ends: dict[tuple[UUID, NoticeState], tuple[int, int | None]] = {}
    for subscription_id, state, number, ended_at in await connection.execute(
        union_all(*(_newest(workspace_id, row.id) for row in rows))
    ):
        ends[UUID(subscription_id), NoticeState(state)] = (int(number), ended_at)
    digests = {row.id: endpoint_key(workspace_id, row.id, row.url)[1] for row in rows}
    failing = await _failing(connection, workspace_id, list(digests.values()))
    nothing = (0, None)
    return {
        row.id: Health(
            waiting=ends.get((row.id, NoticeState.PENDING), nothing)[0],
            delivered=ends.get((row.id, NoticeState.DELIVERED), nothing)[0],
            failed=ends.get((row.id, NoticeState.FAILED), nothing)[0],
            last_delivered_at=ends.get((row.id, NoticeState.DELIVERED), nothing)[1],
            last_failed_at=ends.get((row.id, NoticeState.FAILED), nothing)[1],
            failing=failing.get(digests[row.id]),
        )
        for row in rows
    }


def _newest(workspace_id: UUID, subscription_id: UUID) -> Any:
    newest = (
        select(status_events.c.state, status_events.c.ended_at)
        .where(status_events.c.workspace_id == workspace_id, status_events.c.subscription_id == subscription_id)
        .order_by(status_events.c.id.desc())
        .limit(MOST_LOOKED_AT)
        .subquery()
    )
    name = literal(str(subscription_id)).label("subscription")
    return select(name, newest.c.state, func.count(), func.max(newest.c.ended_at)).group_by(newest.c.state)


async def _failing(connection: AsyncConnection, workspace_id: UUID, digests: Collection[bytes]) -> dict[bytes, Failing]:
    rows = await connection.execute(
        select(failing_endpoints.c.address_digest, *columns_of(failing_endpoints, Failing)).where(
            failing_endpoints.c.workspace_id == workspace_id, failing_endpoints.c.address_digest.in_(digests)
        )
    )
    return {row.address_digest: read(row, Failing) for row in rows}


async def failing_webhooks(
    connection: AsyncConnection, workspace_id: UUID, subscriptions: Sequence[SubscriptionRow]
) -> int:
    """How many of the contacts' webhooks have failed since they last worked, counted up to ``MOST_COUNTED``."""
    others = [endpoint_key(workspace_id, row.id, row.url)[1] for row in subscriptions]
    failing = (
        select(failing_endpoints.c.address_digest)
        .where(failing_endpoints.c.workspace_id == workspace_id, failing_endpoints.c.address_digest.not_in(others))
        .limit(MOST_COUNTED)
    )
    return int(await connection.scalar(select(func.count()).select_from(failing.subquery())) or 0)
