"""A dispatcher as a worker process makes it, and a channel that counts what it is given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from channels.contract import Content, Envelope, Receipt
from channels.rendering import Texts
from models.session import Database
from models.vocabulary import Channel
from tests.support.envelopes import PUBLIC_URL
from tests.support.scene import Scene
from worker.dispatch import Dispatcher
from worker.hand import Hand
from worker.leases import Lease
from worker.limits import LocalLimiter
from worker.quota import Quota
from worker.services import Services, beginner, recorder


class Drum:
    """A channel that counts what it is given."""

    def __init__(self, name: Channel = Channel.EMAIL) -> None:
        self.name = name
        self.sent: list[str] = []

    def prepare(self, content: Content) -> Texts:
        """Read the texts."""
        return Texts(content.subject, content.body, content.format)

    async def send(self, envelope: Envelope, prepared: Texts) -> Receipt:
        """Accept."""
        envelope.proceed()
        self.sent.append(envelope.message_id)
        return Receipt()

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True)
class Dispatching:
    """A dispatcher, its drum and what it holds."""

    dispatcher: Dispatcher
    drum: Drum
    hand: Hand
    lease: Lease


@asynccontextmanager
async def dispatching(
    scene: Scene, database: Database | None = None, drum: Drum | None = None
) -> AsyncIterator[Dispatching]:
    """A dispatcher over the scene's database, or over what stands before it."""
    hand = Hand()
    lease = Lease(scene.database, hand.ids, on_lost=lambda: None)
    await lease.begin()
    used = database or scene.database
    services = Services(used, lease, scene.keyring, scene.wakeups, hand, recorder(used), beginner(used), PUBLIC_URL)
    drum = drum or Drum()
    dispatcher = Dispatcher(drum, services, most=40, quota=Quota(LocalLimiter(), None))
    try:
        yield Dispatching(dispatcher, drum, hand, lease)
    finally:
        await dispatcher.drain(5)
        await lease.end()
