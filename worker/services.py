"""What every dispatcher of a process shares."""

from dataclasses import dataclass
from uuid import UUID

from models.coalesce import Coalescer
from models.secrets import Keyring
from models.session import Database
from models.store.claims import Claim
from models.store.outcomes import Ended
from worker.hand import Hand
from worker.leases import Lease
from worker.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Services:
    """``recorder`` writes outcomes; ``beginner`` writes beginnings, and answers with the ids that are still ours."""

    database: Database
    lease: Lease
    keyring: Keyring
    wakeups: Wakeups
    hand: Hand
    recorder: Coalescer[Ended, None]
    beginner: Coalescer[Claim, set[UUID]]
