"""A few clients that go on sending while something is harmed, and what an honest refusal looks like meanwhile."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from models.vocabulary import Channel
from tests.faults import invariants
from tests.faults.rig import Rig
from tests.support.api_process import Answer
from tests.support.waiting import wait_until

_PAUSE_S: Final = 0.1
_AT_ONCE: Final = 5
_LAST_ANSWERS_S: Final = 90.0
_PROBE_EVERY_S: Final = 0.1
_MORE: Final = 10
_REFUSES_S: Final = 60.0
_RESUMES_S: Final = 60.0
_SHORTEST_S: Final = 0.2
LONGEST_AWAY_S: Final = 7.0
"""Longer than intake is patient: of some harms the clients hear a 503, of others only that it takes a while."""


@contextlib.asynccontextmanager
async def flowing(house: Rig, channels: Sequence[Channel], clients: int = 1) -> AsyncIterator[None]:
    """Some ten messages a second of each client on each channel; at the end all of them have got their 200."""
    stopping = asyncio.Event()

    async def go_on(channel: Channel) -> None:
        while not stopping.is_set():
            await house.post(channel, _AT_ONCE, clients=1, pause_s=_PAUSE_S)

    async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
        for channel in channels:
            for _ in range(clients):
                group.create_task(go_on(channel))
        yield
        stopping.set()
        limit.reschedule(asyncio.get_running_loop().time() + _LAST_ANSWERS_S)


async def all_arrived(house: Rig, channels: Sequence[Channel], patience_s: float) -> bool:
    """Whether everything promised so far on these channels arrives within ``patience_s`` seconds."""
    promised = {channel: set(house.promises.accepted[channel]) for channel in channels}
    inboxes = promised.pop(Channel.ONSITE, set())

    async def arrived() -> bool:
        if not all(tokens <= house.ledger.arrivals[channel].keys() for channel, tokens in promised.items()):
            return False
        return not inboxes or inboxes <= (await invariants.inboxed(house)).keys()

    with contextlib.suppress(AssertionError):
        return await wait_until(arrived, timeout=patience_s)
    return False


async def write_once(house: Rig) -> Answer:
    """The answer to a request that must write, which nobody repeats."""
    return await house.ask("/contacts", {"externalId": secrets.token_hex(6)})


async def refused(house: Rig, patience_s: float) -> str | None:
    """Ask until something is refused; what was wrong with how it was said, None where that was right."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        answer = await write_once(house)
        if answer.status != 201:
            return _dishonest(answer)
        await asyncio.sleep(_PROBE_EVERY_S)
    return f"nothing was refused in {patience_s:.0f} s"


@dataclass
class Harmed:
    """A house whose database takes no writes now and then. ``longest_s``: how long one harm may go on once it is felt.

    ``resumed_s``: how long after each harm something was written again.
    """

    house: Rig
    longest_s: float
    resumed_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def refuses(self, harm: str) -> None:
        """Nothing can be written now: it is said as it should be, and stays so for a while."""
        said = await refused(self.house, _REFUSES_S)
        if said is not None:
            self.faults.append(f"{harm}: {said}")
        await asyncio.sleep(self.house.random.uniform(_SHORTEST_S, self.longest_s))

    async def resumes(self) -> None:
        """What was harmed is well again: the house goes on by itself, and refuses no more."""
        began = time.monotonic()

        async def written() -> bool:
            return (await write_once(self.house)).status == 201

        await wait_until(written, timeout=_RESUMES_S)
        self.resumed_s.append(time.monotonic() - began)
        await more_accepted(self.house, _RESUMES_S)
        answer = await write_once(self.house)
        if answer.status != 201:
            self.faults.append(f"answered {answer.status} though it had resumed")


async def more_accepted(house: Rig, patience_s: float) -> None:
    """Wait until some messages more are accepted; raises AssertionError where that takes too long."""
    enough = accepted(house) + _MORE
    await wait_until(lambda: accepted(house) >= enough, timeout=patience_s)


def accepted(house: Rig) -> int:
    """How many messages were accepted so far."""
    return sum(map(len, house.promises.accepted.values()))


def _dishonest(answer: Answer) -> str | None:
    told = (answer.status, answer.headers.get("content-type"), answer.body.get("type"), answer.body.get("status"))
    right = answer.status == 503 and str(told[1]).startswith("application/problem+json") and told[3] == 503
    if right and str(told[2]).endswith("storage-unavailable") and "retry-after" in answer.headers:
        return None
    return f"answered {told}"


async def settled(house: Rig, patience_s: float) -> list[str]:
    """Wait until all is quiet; what breaks the invariants then."""
    quiet = await house.quiesce(patience_s)
    findings = await invariants.check(house)
    faults = [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
    return faults if quiet else [*faults, f"it did not come to rest in {patience_s:.0f} s"]
