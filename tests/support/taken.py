"""A mail that its peer has taken, as far as the database is told of it: no server, and no worker."""

from typing import Final
from uuid import UUID

from models.store import claims, outcomes
from models.store.outcomes import Ended
from models.vocabulary import Channel, Lane, Outcome, State
from tests.support.scene import Scene

_WORKER: Final = UUID(int=1)


async def take(scene: Scene) -> None:
    """Claim the only message that waits, and record that its peer accepted it."""
    async with scene.database.write() as connection:
        (claimed,), _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, _WORKER, 1)
        accepted = Ended(
            message_id=claimed.id,
            token=claimed.token,
            run=claimed.run,
            started_at=claimed.claimed_at,
            state=State.DONE,
            outcome=Outcome.ACCEPTED,
        )
        await outcomes.record(connection, [accepted])
