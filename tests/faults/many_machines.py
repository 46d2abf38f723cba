"""Two worker machines, of which one is cut off for a while and comes back: nothing is lost, each repeat is on record.

Nobody tells anybody that it is cut off: its lease lapses, the keeper gives what it had in hand to the other, and what
was past its irreversible byte is marked ambiguous before it is sent again. It catches a house whose workers go on after
their lease, whose keeper is held up by what a lost machine has left open in the database, or in which a machine that
comes back does not work any more.
"""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import func, select

from models.session import Database, now_ms
from models.tables import messages, workers
from models.vocabulary import Channel, Lane, State
from tests.faults import families, invariants, rig, walk_through
from tests.faults.experiment import Found, Place, Size
from tests.faults.ledger import Ledger
from tests.faults.rig import Promises
from tests.faults.sinks import Noting
from tests.faults.walk_through import API_PORT, Site
from tests.support import http_sink, network, processes, smtp_sink
from tests.support.api_process import Answer, Line
from tests.support.http_sink import Request
from tests.support.network import Network
from tests.support.smtp_sink import Mail
from tests.support.waiting import wait_until
from wireroom import accounts

_CHANNELS: Final = (Channel.EMAIL, Channel.WEBHOOK, Channel.ONSITE)
_SMTP_PORT: Final = 25
_WEB_PORTS: Final = range(80, 88)
_CUT_OFF: Final = "one"
_STAYS: Final = "two"
_BEFORE, _DURING, _RETURNING, _AFTER = "before", "while cut off", "while it came back", "after"
_HELD_UP_S: Final = 0.05
"""How long the mail server thinks about each mail, so that both machines have their hands full."""
_UNDER_WAY_S: Final = 1.0
"""How long what left the machine before the cut may take to be noted."""
_LAST_SHARE: Final = 5
"""A fifth of all is sent once the machine is back."""
_REST_S: Final = 300.0
_RENEWED_MS: Final = 5_000


@dataclass(frozen=True)
class _Amount:
    """``batch``: in one request, on one channel. ``ahead``: how many may be accepted and not have arrived.

    ``bulk``: whether the bulk lanes are used, and served, too.
    """

    messages: int
    cut_s: float
    batch: int
    ahead: int
    bulk: bool


_SIZES: Final = {
    Size.SHORT: _Amount(2_000, 25.0, 100, 600, bulk=False),
    Size.MINUTES: _Amount(10_000, 30.0, 250, 3_000, bulk=True),
    Size.FULL: _Amount(100_000, 30.0, 500, 6_000, bulk=True),
}


@dataclass
class _Run:
    """What is done, and what came of it so far. ``came``: arrivals by phase and machine."""

    site: Site
    amount: _Amount
    database: Database
    ledger: Ledger = field(default_factory=Ledger)
    promises: Promises = field(default_factory=Promises)
    came: Counter[tuple[str, str]] = field(default_factory=Counter)
    phase: str = _BEFORE
    contacts: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return sum(map(len, self.promises.accepted.values()))

    def both_sent(self, phase: str) -> bool:
        """Whether either worker machine has sent something in this phase."""
        return all(self.came[phase, machine] for machine in (_CUT_OFF, _STAYS))

    async def arrived(self) -> int:
        """How many came to an end: of an inbox it is the database that says so."""
        ended = select(func.count()).where(messages.c.state == State.DONE.value)
        async with self.database.read() as connection:
            return int(await connection.scalar(ended) or 0)


async def run(place: Place, size: Size) -> Found:
    """Send on three channels, cut a worker machine off in the midst of it, put it back, and account for all."""
    if (why := network.why_not()) is not None:
        return Found({}, [], left_out=[f"all of it: {why}"])
    amount = _SIZES[size]
    lines = ["worker", "bulk"] if amount.bulk else ["worker"]
    services = {"api": ["api", "keeper"], _CUT_OFF: lines, _STAYS: lines}
    durable = size is not Size.SHORT
    with network.switched(walk_through.addresses()) as switch, processes.short_folder() as folder:
        try:
            async with walk_through.running(switch, folder, services, durable=durable) as site:
                begun = _Run(site, amount, site.database)
                async with _sinks(switch, begun):
                    return await _walk(place, begun)
        finally:
            # Where an experiment's house is looked at.
            for log in folder.glob("*.log"):
                (place.folder / log.name).write_bytes(log.read_bytes())


@contextlib.asynccontextmanager
async def _sinks(switch: Network, begun: _Run) -> AsyncIterator[None]:
    """A mail server and a web server, each on its machine, which note whose machine sent what."""
    machines = {address: name for name, address in switch.addresses.items()}

    def mail(taken: Mail) -> None:
        begun.ledger.note(Channel.EMAIL, taken.data.decode("latin-1"))
        begun.came[begun.phase, machines[taken.peer]] += 1

    def web(taken: Request) -> None:
        begun.ledger.note(Channel.WEBHOOK, taken.body.decode())
        begun.came[begun.phase, machines[taken.peer]] += 1

    listeners = [switch.listen("web", port) for port in _WEB_PORTS]
    async with (
        smtp_sink.running(listener=switch.listen("mail", _SMTP_PORT)) as mails,
        http_sink.running(listeners=listeners) as hooks,
    ):
        mails.mails = Noting(mail)
        mails.script("DOT", delay_s=_HELD_UP_S)
        hooks.requests = Noting(web)
        yield


async def _walk(place: Place, begun: _Run) -> Found:
    site, amount = begun.site, begun.amount
    began = time.monotonic()
    async with _client(begun) as client:
        await client.invite()
        await wait_until(lambda: _both_there(begun), timeout=_REST_S)
        first = asyncio.create_task(client.send(amount.messages - amount.messages // _LAST_SHARE, _BEFORE))
        try:
            place.say("sending by both machines")
            await wait_until(lambda: _far_enough(begun, first), timeout=_REST_S)
            await _cut(place, begun)
            await first
        finally:
            first.cancel()
        place.say("waiting for both")
        returned_at = time.monotonic()
        await wait_until(lambda: _both_there(begun), timeout=_REST_S)
        begun.figures["works_again_after_s"] = round(time.monotonic() - returned_at, 1)
        place.say("sending by both again")
        begun.phase = _AFTER
        async with asyncio.timeout(_REST_S):
            await client.send(amount.messages, _AFTER)
        rested = await rig.at_rest(site.database, _REST_S)
    begun.figures["seconds"] = round(time.monotonic() - began, 1)
    if not rested:
        begun.faults.append(f"it did not come to rest in {_REST_S:.0f} s")
    return await _found(begun)


async def _far_enough(begun: _Run, sending: "asyncio.Task[None]") -> bool:
    if sending.done():
        sending.result()
    return begun.both_sent(_BEFORE) and await begun.arrived() >= begun.amount.messages // 10


async def _both_there(begun: _Run) -> bool:
    """Whether every worker process has a lease that it has renewed just now."""
    just_now = workers.c.renewed_at > now_ms() - _RENEWED_MS
    fresh = select(func.count()).select_from(workers).where(workers.c.dead_at.is_(None), just_now)
    async with begun.database.read() as connection:
        alive = int(await connection.scalar(fresh) or 0)
    return alive >= (4 if begun.amount.bulk else 2)


async def _cut(place: Place, begun: _Run) -> None:
    """Cut the machine off, watch what is done about it, and put it back."""
    site = begun.site
    its = await _leases(begun)
    in_hand = select(func.count()).where(messages.c.worker_id.in_(its), messages.c.state == State.SENDING.value)

    async def has_some() -> int:
        async with begun.database.read() as connection:
            return int(await connection.scalar(in_hand) or 0)

    begun.figures["in_hand_when_cut_off"] = await _pulled_with_some_in_hand(site, has_some)
    place.say("one is cut off")
    cut_at = time.monotonic()
    try:
        await asyncio.sleep(_UNDER_WAY_S)
        begun.phase = _DURING
        dead = select(func.count()).where(workers.c.id.in_(its), workers.c.dead_at.is_not(None))
        while (left_s := cut_at + begun.amount.cut_s - time.monotonic()) > 0:
            async with begun.database.read() as connection:
                if "taken_for_dead_after_s" not in begun.figures and await connection.scalar(dead) == len(its):
                    begun.figures["taken_for_dead_after_s"] = round(time.monotonic() - cut_at, 1)
            await asyncio.sleep(min(left_s, 0.25))
    finally:
        site.network.plug(_CUT_OFF)
    begun.phase = _RETURNING
    begun.figures["cut_off_s"] = round(time.monotonic() - cut_at, 1)


async def _pulled_with_some_in_hand(site: Site, has_some: Callable[[], Awaitable[int]]) -> int:
    """Pull the plug while the machine is at work; how many it had in hand. One that met nothing is put back at once."""
    while True:
        await wait_until(has_some, timeout=_REST_S)
        site.network.pull(_CUT_OFF)
        if in_hand := await has_some():
            return in_hand
        site.network.plug(_CUT_OFF)


async def _leases(begun: _Run) -> list[object]:
    """The leases of the processes on the machine that is cut off."""
    pids = begun.site.supervisor.pids()
    family = [each.pid for name, pid in pids.items() if name.endswith(_CUT_OFF) for each in families.of(pid)]
    async with begun.database.read() as connection:
        alive = select(workers.c.id).where(workers.c.pid.in_(family), workers.c.dead_at.is_(None))
        return list(await connection.scalars(alive))


class _Client:
    """A program on a machine of its own, which repeats under the same keys what got no answer."""

    def __init__(self, begun: _Run, line: Line, workspace: str) -> None:
        self._begun = begun
        self._line = line
        self._path = f"/api/workspaces/{workspace}"
        self._sent = 0

    async def invite(self) -> None:
        """People to write to: one for each port of the web server."""
        web = self._begun.site.network.addresses["web"]
        for port in _WEB_PORTS:
            body = {"email": f"reader{port}@example.org", "webhookUrl": f"http://{web}:{port}/in"}
            answer = await self._post("/contacts", body)
            assert answer.status == 201, answer
            self._begun.contacts.append(answer.body["id"])

    async def send(self, until: int, phase: str) -> None:
        """Send until so many are accepted in all, and both machines have sent some in this phase.

        Never too far ahead of what has arrived.
        """
        number = 0
        while self._begun.accepted < until or not self._begun.both_sent(phase):
            await wait_until(self._is_near, timeout=_REST_S, interval=0.05)
            lane = Lane.BULK if self._begun.amount.bulk and number % 2 else Lane.TRANSACTIONAL
            await self._batch(_CHANNELS[number % len(_CHANNELS)], lane)
            number += 1

    async def _is_near(self) -> bool:
        return self._begun.accepted - await self._begun.arrived() <= self._begun.amount.ahead

    async def _batch(self, channel: Channel, lane: Lane) -> None:
        tokens = [secrets.token_hex(6) for _ in range(self._begun.amount.batch)]
        contacts = self._begun.contacts
        bodies = [
            {
                "contactId": contacts[number % len(contacts)],
                "channel": channel.value,
                "lane": lane.value,
                "subject": f"token-{token}",
                "body": f"token-{token}",
                "idempotencyKey": token,
            }
            for number, token in enumerate(tokens)
        ]
        self._begun.promises.posted.update(tokens)
        answer = await self._post("/messages/batch", bodies)
        assert answer.status == 200, answer
        for token, each in zip(tokens, answer.body["data"], strict=True):
            assert each["status"] == 200, each
            self._begun.promises.accepted[channel][token] = each["message"]["id"]

    async def _post(self, path: str, body: object) -> Answer:
        answer = await self._line.post(self._path + path, body)
        count = self._begun.promises.answers
        count[answer.status] = count.get(answer.status, 0) + 1
        return answer


@contextlib.asynccontextmanager
async def _client(begun: _Run) -> AsyncIterator[_Client]:
    site = begun.site
    workspace = await accounts.create_workspace(site.database_url, "walk-through")
    _, token = await accounts.create_token(
        site.database_url, workspace, scopes=accounts.DEFAULT_SCOPES, expires_at=None
    )
    place = (site.network.addresses["api"], API_PORT)
    async with Line(API_PORT, token, dial=lambda: site.network.dial("clients", place)) as line:
        yield _Client(begun, line, workspace)


async def _found(begun: _Run) -> Found:
    """Promises, ledgers and database laid side by side; and whether the cut was one, and its end, too."""
    findings = await invariants.check(begun)
    came = begun.came
    faults = begun.faults + [f"{channel}: {each.broken()}" for channel, each in findings.items() if not each.is_clean]
    if came[_DURING, _CUT_OFF]:
        faults.append(f"{came[_DURING, _CUT_OFF]} came from a machine that is cut off: it was not")
    if not came[_DURING, _STAYS]:
        faults.append("the other machine sent nothing meanwhile")
    if not begun.figures["in_hand_when_cut_off"]:
        faults.append("it had nothing in hand when it was cut off: this shows nothing")
    if "taken_for_dead_after_s" not in begun.figures:
        faults.append(f"it was not taken for dead in {begun.amount.cut_s:.0f} s")
    figures = {
        "messages": {channel.value: each.sent for channel, each in findings.items()},
        "lost": sum(len(each.lost) + len(each.missing) + len(each.stuck) for each in findings.values()),
        "came_twice": sum(each.twice for each in findings.values()),
        "ambiguous_attempts": sum(each.marked for each in findings.values()),
        "arrivals": {f"{machine}, {phase}": count for (phase, machine), count in sorted(came.items())},
        "answers": begun.promises.answers,
    }
    return Found(figures | begun.figures, faults)
