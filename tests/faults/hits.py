"""What was in a worker's hands when it was killed: what may come twice of that, and when each was tried again.

What can be known from outside of a send that was begun and not yet recorded is that its peer had it, and that the
database did not know: the message was the dead worker's when it died, under a token with which nothing was recorded
afterwards either, and an arrival is in the ledger since that worker claimed it, and before somebody else tried again.
Such a send is called taken. Each may cause one repeat, of that very message; nothing else may cause any.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select

from models import ids
from models.tables import attempts
from models.vocabulary import Channel, Outcome
from tests.faults import invariants
from tests.faults.rig import Held, Kill, Rig


class Hit(NamedTuple):
    """A message that was in hand at a kill (seconds since 1970)."""

    at: float
    held: Held


class _Tried(NamedTuple):
    token: int
    begun: float
    outcome: str


@dataclass
class Aftermath:
    """By channel: ``taken`` sends, how long each hit took until it was tried ``again_s``, and the ``never``."""

    in_hand: int = 0
    taken: Counter[Channel] = field(default_factory=Counter)
    again_s: dict[Channel, list[float]] = field(default_factory=lambda: defaultdict(list))
    never: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    """Messages that came more often than their taken sends explain."""

    def faults(self, most_s: float) -> list[str]:
        """What should not be: a repeat without its kill, a hit that nobody tried again, or only after ``most_s``."""
        sorts = {"came again though no kill hit them": self.repeated, "were never tried again": self.never}
        found = [f"{len(some)} {what}, as {some[0]}" for what, some in sorts.items() if some]
        slow = {channel.value: p99(some) for channel, some in self.again_s.items()} | {"all": self.p99_s()}
        return found + [f"{of}: tried again only {s:.1f} s after the kill" for of, s in slow.items() if s > most_s]

    def p99_s(self) -> float:
        """Of all channels together."""
        return p99([each for some in self.again_s.values() for each in some])


def p99(values: Sequence[float]) -> float:
    """Seconds, to a tenth."""
    return round(invariants.percentile(sorted(values), 0.99), 1)


async def of_kill(house: Rig, kill: Kill) -> list[Hit]:
    """To be asked right after it: nobody rescues anything so soon."""
    return [Hit(kill.at, held) for held in await house.held_by(kill.pids)]


async def aftermath(house: Rig, hits: Sequence[Hit]) -> Aftermath:
    """What has come of the hits, once all is quiet."""
    tried = await _tried(house)
    by_message: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        # Its commit may have been on its way as the worker died: then it was recorded after all, and is no hit.
        ends = {each.outcome for each in tried[hit.held.message_id] if each.token == hit.held.token}
        if ends <= {Outcome.AMBIGUOUS.value}:
            by_message[hit.held.message_id].append(hit)
    found = Aftermath(in_hand=sum(map(len, by_message.values())))
    since_1970 = time.time() - time.monotonic()
    for channel, promised in house.promises.accepted.items():
        for token, message_id in promised.items():
            came = [at + since_1970 for at in house.ledger.arrivals[channel].get(token, ())]
            its = by_message.get(message_id, [])
            taken = _weigh(found, channel, its, tried[message_id], came)
            if len(came) - 1 > taken:
                found.repeated.append(f"{message_id}: {await invariants.attempts_of(house, message_id)}")
    return found


def _weigh(found: Aftermath, channel: Channel, its: Sequence[Hit], tried: Sequence[_Tried], came: list[float]) -> int:
    """Note when one message was tried again after each of its hits; how many of those had been taken."""
    taken = 0
    for at, held in its:
        again = min((each.begun for each in tried if each.begun > at and each.token != held.token), default=None)
        if again is None:
            found.never.append(f"{held.message_id} of {channel}")
        else:
            found.again_s[channel].append(again - at)
        taken += any(held.since <= each and (again is None or each < again) for each in came)
    found.taken[channel] += taken
    return taken


async def _tried(house: Rig) -> dict[str, list[_Tried]]:
    found: dict[str, list[_Tried]] = defaultdict(list)
    columns = (attempts.c.message_id, attempts.c.token, attempts.c.started_at, attempts.c.outcome)
    async with house.database.read() as connection:
        for row in await connection.execute(select(*columns)):
            shown = ids.show(ids.Kind.MESSAGE, row.message_id)
            found[shown].append(_Tried(row.token, row.started_at / 1000, row.outcome))
    return found
