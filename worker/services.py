"""What every dispatcher of a process shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from models.coalesce import Coalescer
from models.secrets import Keyring
from models.session import Database
from models.store import endpoints, in_hand, outcomes
from models.store.claims import Claim
from models.store.outcomes import Ended
from worker.hand import Hand
from worker.leases import Lease
from worker.telemetry import SendingMeter
from worker.traces import NoTraces, Traces
from worker.wakeups import Wakeups

_CHUNK: Final = 500
_GATHER_S: Final = 0.03
_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Services:
    """``recorder`` writes outcomes; ``beginner`` writes beginnings, and answers with the ids that are still ours.

    ``public_url``: where our own links lead to.
    """

    database: Database
    lease: Lease
    keyring: Keyring
    wakeups: Wakeups
    hand: Hand
    recorder: Coalescer[Ended, None]
    beginner: Coalescer[Claim, set[UUID]]
    public_url: str
    meter: SendingMeter = field(default_factory=SendingMeter)
    traces: Traces = field(default_factory=NoTraces)


def recorder(database: Database) -> Coalescer[Ended, None]:
    """Writes outcomes, however long the database is away."""

    async def record(chunk: Sequence[Ended]) -> Sequence[None]:
        async with database.write() as connection:
            await endpoints.learn(connection, chunk, await outcomes.record(connection, chunk))
        return [None] * len(chunk)

    return Coalescer(record, most=_CHUNK, patience_s=float("inf"), gather_s=_GATHER_S)


def beginner(database: Database) -> Coalescer[Claim, set[UUID]]:
    """Writes beginnings."""

    async def begin(chunk: Sequence[Claim]) -> Sequence[set[UUID]]:
        async with database.write() as connection:
            ours = await in_hand.mark_begun(connection, chunk)
        return [ours & {claim.id} for claim in chunk]

    return Coalescer(begin, most=_CHUNK, patience_s=_PATIENCE_S)
