"""Subscriptions in a scene, and a courier as a worker process makes it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update

from channels.webhook import WebhookChannel, WebhookConfig
from models.sealing import SealedFor
from models.store import subscriptions
from models.store.subscriptions import SubscriptionRow
from models.tables import status_events
from models.vocabulary import StatusEvent
from tests.support.envelopes import PUBLIC_URL
from tests.support.scene import Scene
from worker.courier import Courier
from worker.endpoint_rates import EndpointRates
from worker.hand import Hand
from worker.leases import Lease
from worker.limits import LocalLimiter
from worker.paces import Paces
from worker.quota import Quota
from worker.services import Services, beginner, recorder

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def subscribe(
    scene: Scene,
    url: str = "https://hooks.example/events",
    *,
    events: Sequence[StatusEvent] = tuple(StatusEvent),
    workspace_id: UUID | None = None,
    paused: bool = False,
) -> SubscriptionRow:
    """A subscription, as the API makes it."""
    async with scene.database.write() as connection:
        return await subscriptions.create(
            connection,
            workspace_id or scene.workspace_id,
            url=url,
            events=list(events),
            secret=scene.keyring.seal(SECRET.encode(), SealedFor.SUBSCRIPTION),
            paused=paused,
        )


async def change(
    scene: Scene, subscription: SubscriptionRow, *, workspace_id: UUID | None = None, **columns: Any
) -> None:
    """Change a subscription's columns."""
    async with scene.database.write() as connection:
        await subscriptions.change(connection, workspace_id or scene.workspace_id, subscription.id, lambda _: columns)


async def noted(scene: Scene, **columns: Any) -> list[Any]:
    """Every row of what is told, or those with these columns, the oldest first."""
    wanted = [status_events.c[name] == value for name, value in columns.items()]
    async with scene.database.read() as connection:
        return list(await connection.execute(select(status_events).where(*wanted).order_by(status_events.c.id)))


async def time_passes(scene: Scene, milliseconds: int) -> None:
    """What waits is due so much sooner, and all that is noted was so earlier."""
    async with scene.database.write() as connection:
        await connection.execute(
            update(status_events).values(
                created_at=status_events.c.created_at - milliseconds,
                due_at=status_events.c.due_at - milliseconds,
                ended_at=status_events.c.ended_at - milliseconds,
            )
        )


@asynccontextmanager
async def courier(scene: Scene) -> AsyncIterator[Courier]:
    """A courier over the scene's database, by a WEBHOOK channel with the scene's settings."""
    lease = Lease(scene.database, set(), on_lost=lambda: None)
    await lease.begin()
    database = scene.database
    services = Services(
        database, lease, scene.keyring, scene.wakeups, Hand(), recorder(database), beginner(database), PUBLIC_URL
    )
    channel = WebhookChannel(WebhookConfig(allow_nets=scene.settings.webhook_allow_nets))
    limiter = LocalLimiter()
    made = Courier(channel, services, quota=Quota(limiter, None), rates=EndpointRates(database, Paces(limiter)))
    try:
        yield made
    finally:
        lease.stop_sending()
        assert await made.drain(20)
        await channel.close()
        await lease.end()
