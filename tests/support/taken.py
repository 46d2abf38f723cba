"""Mails that their peer has taken, as far as the database is told of it: no server, and no worker."""

from typing import Final
from uuid import UUID

from models.store import claims, outcomes
from models.store.outcomes import Ended
from models.vocabulary import Channel, Lane, Outcome, State
from tests.support.scene import Scene

_WORKER: Final = UUID(int=1)


async def take(scene: Scene, number: int = 1) -> None:
    """Claim the only messages that wait, and record that their peer accepted them."""
    async with scene.database.write() as connection:
        claimed, _ = await claims.claim(connection, Channel.EMAIL, Lane.TRANSACTIONAL, _WORKER, number)
        assert len(claimed) == number
        accepted = [
            Ended(
                message_id=each.id,
                token=each.token,
                run=each.run,
                started_at=each.claimed_at,
                state=State.DONE,
                outcome=Outcome.ACCEPTED,
            )
            for each in claimed
        ]
        await outcomes.record(connection, accepted)
