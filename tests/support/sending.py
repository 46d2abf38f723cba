"""A dispatcher of mail whose workspaces may have senders of their own, and what the keeper does beside it."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from channels.registry import Outfit
from channels.senders import EmailCredentials, SenderMaker, check, keep
from channels.vapid import Vapid, new_key, parse_key
from models.sealing import SealedFor
from models.store import keeping, senders
from models.store.senders import NewSender, SenderRow
from models.vocabulary import Channel, Lane
from tests.support.dispatching import Drum
from tests.support.envelopes import PUBLIC_URL
from tests.support.scene import Scene
from worker.dispatch import Dispatcher
from worker.hand import Hand
from worker.leases import Lease
from worker.limits import Grants, LocalLimiter
from worker.paces import Paces
from worker.quota import Quota
from worker.senders import Directory, NoSender, Senders
from worker.services import Services, beginner, recorder


class Post:
    """A worker's dispatcher of mail. ``drum``: the operator's sender, where the operator has one."""

    def __init__(
        self, scene: Scene, lease: Lease, hand: Hand, *, operator: bool = True, limiter: Grants | None = None
    ) -> None:
        self._scene = scene
        self.drum = Drum()
        database = scene.database
        self.services = services = Services(
            database, lease, scene.keyring, scene.wakeups, hand, recorder(database), beginner(database), PUBLIC_URL
        )
        slots = dict.fromkeys(Channel, 400)
        vapid = Vapid(parse_key(base64.urlsafe_b64encode(new_key())), "mailto:push@example.org")
        maker = SenderMaker(scene.settings, Outfit(LocalLimiter(), vapid, slots))
        limiter = limiter or LocalLimiter()
        self.senders = Senders(
            Channel.EMAIL, services, Directory(database), maker, Paces(limiter), slots=400, alone=not operator
        )
        channel = self.drum if operator else NoSender(Channel.EMAIL)
        quota = Quota(LocalLimiter(), None)
        self.dispatcher = Dispatcher(channel, services, most=400, quota=quota, senders=self.senders)

    async def turn(self) -> None:
        """What becomes due gets its turn, and all that is ready is tried once."""
        async with self._scene.database.write() as connection:
            for group in await keeping.groups_due(connection):
                await keeping.ready_due(connection, group, 1000)
        for lane in Lane:
            await self.dispatcher.pull(lane)
        await self.dispatcher.drain(20)

    async def until(self, done: Callable[[], Awaitable[bool]], timeout: float = 40.0) -> None:
        """Turn by turn, until it is ``done``."""
        give_up_at = time.monotonic() + timeout
        while not await done():
            assert time.monotonic() < give_up_at, "it did not come to that"
            await self.turn()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def post(scene: Scene, *, operator: bool = True, limiter: Grants | None = None) -> AsyncIterator[Post]:
    """A dispatcher over the scene's database; ``limiter``: keeps what rates its senders have."""
    hand = Hand()
    lease = Lease(scene.database, hand.ids, on_lost=lambda: None)
    await lease.begin()
    opened = Post(scene, lease, hand, operator=operator, limiter=limiter)
    try:
        yield opened
    finally:
        await opened.dispatcher.drain(5)
        await opened.dispatcher.close()
        await lease.end()


def mail_credentials(port: int, *, user: str | None = None, password: str = "", **fields: Any) -> EmailCredentials:
    """A server of this machine."""
    login = "" if user is None else f"{user}:{password}@"
    return EmailCredentials(f"smtp+plain://{login}127.0.0.1:{port}", "Shop <shop@example.org>", **fields)


async def mail_sender(
    scene: Scene, credentials: EmailCredentials, *, workspace_id: UUID | None = None, **fields: Any
) -> SenderRow:
    """A sender of mail, as the API makes it."""
    new: dict[str, Any] = {
        "channel": Channel.EMAIL,
        "name": "mail",
        "credentials": scene.keyring.seal(keep(credentials), SealedFor.SENDER),
        "hint": check(credentials, scene.settings.webhook_allow_nets),
        "position": 0,
        "weight": 1,
        "paused": False,
    }
    async with scene.database.write() as connection:
        return await senders.create(connection, workspace_id or scene.workspace_id, NewSender(**(new | fields)))
