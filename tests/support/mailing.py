"""A worker's way of mail: what is ready goes to an SMTP server, with links that lead to a running API."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from channels.email import EmailChannel, EmailConfig
from models.secrets import Keyring
from models.session import Database
from models.vocabulary import Lane
from worker.dispatch import Dispatcher
from worker.hand import Hand
from worker.leases import Lease
from worker.limits import LocalLimiter
from worker.quota import Quota
from worker.services import Services, beginner, recorder
from worker.wakeups import Wakeups


@asynccontextmanager
async def mailing(
    database: Database, keyring: Keyring, redis_url: str, smtp_port: int, public_url: str
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """What sends all that is ready."""
    hand = Hand()
    wakeups = Wakeups(redis_url)
    lease = Lease(database, hand.ids, on_lost=lambda: None)
    await lease.begin()
    services = Services(database, lease, keyring, wakeups, hand, recorder(database), beginner(database), public_url)
    channel = EmailChannel(EmailConfig(f"smtp+plain://127.0.0.1:{smtp_port}", "Shop <shop@example.org>"))
    dispatcher = Dispatcher(channel, services, most=40, quota=Quota(LocalLimiter(), None))

    async def send() -> None:
        for lane in Lane:
            await dispatcher.pull(lane)
        await dispatcher.drain(20)

    try:
        yield send
    finally:
        await dispatcher.drain(5)
        await dispatcher.close()
        await lease.end()
        wakeups.close()
