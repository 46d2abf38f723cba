"""E12: a message that ends whatever process sends it dies alone, after five deaths, and takes no innocent with it.

It is a webhook whose endpoint kills the worker that called it, by the port it came from, before it has read a word.
A build that never gives up is killed for ever; one that sends suspects among others leaves innocents in doubt, and
makes poison of them at last.
"""

import asyncio
import time
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, update

from models import ids, timestamps
from models.store import clock
from models.store.claim_rows import SUSPECT_AFTER
from models.store.workers import MOST_CRASHES
from models.tables import attempts, messages
from models.vocabulary import Channel, FailureReason, Outcome, State
from tests.faults import families, invariants, rig
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.support import http_sink
from tests.support.lapsing import let_lapse

_INNOCENTS: Final = {Size.SHORT: 50, Size.MINUTES: 1_000, Size.FULL: 10_000}
_DIED_BEFORE: Final = {Size.SHORT: MOST_CRASHES - 1, Size.MINUTES: 0, Size.FULL: 0}
_RESCUED_S: Final = {Size.SHORT: 6.0, Size.MINUTES: 20.0, Size.FULL: 20.0}
"""How long it takes after a death until it is out of the dead one's hands: in short, no lease has to lapse first."""
_LATER_MS: Final = 3_600_000
_A_DEATH_S: Final = 60.0
_QUIET_S: Final = 60.0
_POLL_S: Final = 0.2


async def run(place: Place, size: Size) -> Found:
    """Innocents come all the time while it dies. In short it has died before, all but the last time."""
    url = place.server.url(place.server.create())
    async with (
        rig.opened(place.folder, url, seed=place.seed, workers=2, contacts=10) as house,
        http_sink.running() as sink,
    ):
        poison = _Poison(house, _DIED_BEFORE[size], lapsed=size is Size.SHORT)
        sink.script(drop="before", dropping=poison.kill)
        await poison.post(sink.url("/poison"))
        pause_s = (MOST_CRASHES - _DIED_BEFORE[size]) * _RESCUED_S[size] / _INNOCENTS[size]
        sending = asyncio.create_task(house.post(Channel.WEBHOOK, _INNOCENTS[size], clients=1, pause_s=pause_s))
        ended = await poison.dies()
        await sending
        quiet = await house.quiesce(_QUIET_S)
        doubts = await poison.doubts()
        findings = (await invariants.check(house))[Channel.WEBHOOK]
    faults = [] if findings.is_clean and quiet else [f"the innocents: {findings.broken() or 'never at rest'}"]
    if ended != (State.FAILED.value, FailureReason.POISON.value) or poison.deaths != MOST_CRASHES:
        faults.append(f"after {poison.deaths} deaths it is {ended}")
    if doubts > poison.doubts_before:
        faults.append(f"{doubts - poison.doubts_before} innocents were in hand with it when it was a suspect")
    figures = {"innocents": findings.sent, "deaths": poison.deaths, "in_doubt": doubts, "twice": findings.twice}
    return Found(figures, faults)


class _Poison:
    """The message. ``doubts_before``: innocents left in doubt by the deaths before it was a suspect.

    ``lapsed``: do not wait until its victims' leases lapse.
    """

    def __init__(self, house: Rig, deaths: int, *, lapsed: bool) -> None:
        self.deaths = deaths
        self.doubts_before = 0
        self._house = house
        self._id = UUID(int=0)
        self._lapsed = lapsed
        self._victims: list[int] = []

    async def post(self, webhook_url: str) -> None:
        """For later, so that what it has done before stands in its row when it goes out: from then on it is due."""
        async with self._house.database.read() as connection:
            now = await clock.read(connection)
        due = timestamps.show(now + _LATER_MS)
        contact = (await self._house.ask("/contacts", {"webhookUrl": webhook_url})).body["id"]
        body = {"contactId": contact, "channel": Channel.WEBHOOK.value, "body": "poison", "sendAt": due}
        answer = await self._house.ask("/messages", body)
        assert answer.status == 200, answer
        found = ids.parse(ids.Kind.MESSAGE, answer.body["id"])
        assert found is not None
        self._id = found
        async with self._house.database.write() as connection:
            has_died = {"crashes": self.deaths, "due_at": now}
            await connection.execute(update(messages).where(messages.c.id == found).values(has_died))

    def kill(self, port: int) -> None:
        """SIGKILL to the worker process that connected from there."""
        found = families.owner_of(port, self._house.families("worker"))
        if found is not None:
            killed = families.kill([found[1]])
            self.deaths += len(killed)
            self._victims += killed

    async def dies(self) -> tuple[str, str | None]:
        """Wait until it has an end, or no further death comes; its state and the reason."""
        row = select(messages.c.state, messages.c.failure_reason, messages.c.crashes).where(messages.c.id == self._id)
        deaths, give_up_at = self.deaths, time.monotonic() + _A_DEATH_S
        while True:
            if self._lapsed:
                await let_lapse(self._house.database, self._victims)
                self._victims.clear()
            async with self._house.database.read() as connection:
                state, reason, crashes = (await connection.execute(row)).one()
            if self.deaths > deaths:
                deaths, give_up_at = self.deaths, time.monotonic() + _A_DEATH_S
            if crashes <= SUSPECT_AFTER:
                self.doubts_before = await self.doubts()
            if state not in (State.QUEUED.value, State.SENDING.value) or time.monotonic() > give_up_at:
                return state, reason
            await asyncio.sleep(_POLL_S)

    async def doubts(self) -> int:
        """How many attempts of innocents nobody knows the end of."""
        doubtful = (attempts.c.outcome == Outcome.AMBIGUOUS.value, attempts.c.message_id != self._id)
        async with self._house.database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(attempts).where(*doubtful)) or 0
