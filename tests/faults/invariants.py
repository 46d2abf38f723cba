"""What must hold once all is quiet, whatever died: promises, ledger and database laid side by side."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sqlalchemy import select

from models import ids
from models.session import Database
from models.tables import attempts, inbox_items, messages
from models.vocabulary import Channel, Outcome, State, Status
from tests.faults.ledger import Ledger
from tests.faults.rig import Promises, Rig

REACHED: Final = frozenset({Status.SENT, Status.DELIVERED, Status.OPENED, Status.CLICKED})
"""What a message is shown as that its peer has taken."""


class Evidence(Protocol):
    """What a house leaves behind: what a client was promised, what came, and what is stored."""

    @property
    def promises(self) -> Promises:
        """What the client was promised."""

    @property
    def ledger(self) -> Ledger:
        """What the peers have taken."""

    @property
    def database(self) -> Database:
        """What the house says of it."""


@dataclass
class Findings:
    """What was found of one channel. All but ``sent``, ``twice`` and ``marked`` should be empty."""

    sent: int = 0
    twice: int = 0
    """Arrivals beyond the first of each message."""
    marked: int = 0
    """Attempts that we ourselves say nobody knows the end of."""
    lost: list[str] = field(default_factory=list)
    """Promised, shown as sent, and never arrived."""
    stuck: list[str] = field(default_factory=list)
    """Promised, and neither sent nor failed at the end."""
    denied: list[str] = field(default_factory=list)
    """Arrived, shown as if it had not, and without an ambiguous attempt."""
    unmarked: list[str] = field(default_factory=list)
    """Arrived more often than attempts without a known end explain."""
    unknown: list[str] = field(default_factory=list)
    """Arrived, and nobody ever sent it."""
    missing: list[str] = field(default_factory=list)
    """Promised, and not in the database."""

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.broken()

    def broken(self) -> dict[str, str]:
        """The invariants that do not hold: how many break each, and the first of them."""
        lists = {name: getattr(self, name) for name in ("lost", "stuck", "denied", "unmarked", "unknown", "missing")}
        return {name: f"{len(found)}, as {found[0]}" for name, found in lists.items() if found}


async def check(rig: Evidence) -> dict[Channel, Findings]:
    """The findings of each channel that anything was sent on."""
    rows = await _rows(rig)
    doubts = await _doubts(rig)
    copies = {channel: rig.ledger.copies(channel) for channel in Channel}
    copies[Channel.ONSITE] = await _inboxes(rig)
    return {
        channel: _findings(channel, promised, copies[channel], rows, doubts, rig.promises.posted)
        for channel, promised in rig.promises.accepted.items()
        if promised
    }


def _findings(
    channel: Channel,
    promised: dict[str, str],
    copies: Counter[str],
    rows: dict[str, tuple[State, Status]],
    doubts: Counter[str],
    posted: set[str],
) -> Findings:
    found = Findings(sent=len(promised))
    found.unknown = sorted(token for token in copies if token not in posted)
    for token, message_id in promised.items():
        row = rows.get(message_id)
        if row is None:
            found.missing.append(message_id)
            continue
        state, status = row
        arrived = copies[token]
        found.twice += max(0, arrived - 1)
        found.marked += doubts[message_id]
        # In an inbox it is once, whatever was attempted; elsewhere each doubt may have been an arrival.
        explained = 1 if channel is Channel.ONSITE else 1 + doubts[message_id]
        if arrived > explained:
            found.unmarked.append(message_id)
        if state in (State.QUEUED, State.SENDING):
            found.stuck.append(message_id)
        elif status in REACHED and not arrived:
            found.lost.append(message_id)
        elif status not in REACHED and (not arrived or not doubts[message_id]):
            (found.denied if arrived else found.lost).append(message_id)
    return found


async def _rows(rig: Evidence) -> dict[str, tuple[State, Status]]:
    async with rig.database.read() as connection:
        rows = await connection.execute(select(messages.c.id, messages.c.state, messages.c.status))
        return {ids.show(ids.Kind.MESSAGE, row.id): (State(row.state), Status(row.status)) for row in rows}


async def _doubts(rig: Evidence) -> Counter[str]:
    """How many attempts of each message have no known end."""
    ends = [Outcome.AMBIGUOUS.value, Outcome.UNKNOWN.value]
    async with rig.database.read() as connection:
        rows = await connection.scalars(select(attempts.c.message_id).where(attempts.c.outcome.in_(ends)))
        return Counter(ids.show(ids.Kind.MESSAGE, each) for each in rows)


async def _inboxes(rig: Evidence) -> Counter[str]:
    """By token, how often it stands in an inbox."""
    async with rig.database.read() as connection:
        texts = await connection.scalars(select(inbox_items.c.body))
        return Counter(text.removeprefix("token-") for text in texts)


async def inboxed(rig: Rig) -> dict[str, float]:
    """By token, when it came into an inbox, as the ledger has it of the other channels (seconds, monotonic)."""
    since_1970 = time.time() - time.monotonic()
    async with rig.database.read() as connection:
        rows = await connection.execute(select(inbox_items.c.body, inbox_items.c.created_at))
        return {row.body.removeprefix("token-"): row.created_at / 1000 - since_1970 for row in rows}


async def attempts_of(rig: Rig, message_id: str) -> str:
    """What is on record of a message's attempts: how each ended, and when (seconds since 1970)."""
    own = attempts.c.message_id == ids.parse(ids.Kind.MESSAGE, message_id)
    async with rig.database.read() as connection:
        rows = await connection.execute(select(attempts).where(own).order_by(attempts.c.token))
        return "; ".join(
            f"{row.outcome} ({row.detail}) {row.started_at / 1000:.1f} to {row.ended_at / 1000:.1f}" for row in rows
        )


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values, the least that ``share`` of them do not exceed; 0 of none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0
