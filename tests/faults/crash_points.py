"""E2: a worker is killed at each named point of its work, and what comes of that is what the table says, exactly.

All kills come first: until the last of them, what declares a worker dead waits on the line to the database, so that
no message but the one that is meant is under way when a trap springs, however slow the machine is. Then the dead are
declared dead, and what they had in hand is rescued and sent.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import exists, select

from models import ids
from models.tables import attempts, inbox_items, message_details, messages, workers
from models.vocabulary import Channel, OnUnknown, Outcome, State, Status
from tests.faults import broker_proxy, crash_migration, families, postgres_proxy, rig
from tests.faults.broker_proxy import BrokerProxy
from tests.faults.crash_table import SHARED, Cell, Fate, Point, cells, fate
from tests.faults.experiment import Found, Place, Size
from tests.faults.invariants import REACHED
from tests.faults.postgres_proxy import Moment, PostgresProxy, Trap
from tests.faults.rig import Kill, Rig
from tests.support import broker
from tests.support.bot_api import BotApi
from tests.support.http_sink import HttpSink
from tests.support.smtp_sink import Command, Drop, SmtpSink
from tests.support.waiting import wait_until

_CLAIM: Final = "sending_at=coalesce("
_CONTENT: Final = "SELECT contents.id, contents.source"
_BEGIN: Final = "SET begun=true"
_RECORD: Final = "tries=(messages.tries"
_RESCUE: Final = "crashes=(messages.crashes"
_DEATH: Final = "AND workers.renewed_at = "
_ON_THE_LINE: Final = {
    Point.CLAIM_ASKED: (_CLAIM, Moment.ASKED),
    Point.CLAIM_UNTOLD: (_CLAIM, Moment.UNTOLD),
    Point.CLAIMED: (_CONTENT, Moment.STATEMENT),
    Point.RESCUE_ASKED: (_CONTENT, Moment.STATEMENT),
    Point.BEGIN_ASKED: (_BEGIN, Moment.ASKED),
    Point.BEGIN_UNTOLD: (_BEGIN, Moment.UNTOLD),
    Point.ANSWERED: (_RECORD, Moment.ASKED),
    Point.RECORD_UNTOLD: (_RECORD, Moment.UNTOLD),
    Point.RECORDED: (_RECORD, Moment.TOLD),
}
_SMTP: Final[Mapping[Point, tuple[Command, Drop]]] = {
    Point.MAIL: ("MAIL", "before"),
    Point.RCPT: ("RCPT", "before"),
    Point.IN_CONTENT: ("CONTENT", "before"),
    Point.GIVEN: ("DOT", "before"),
    Point.TAKEN: ("DOT", "after"),
}
_DONE_AT_ONCE: Final = frozenset({Point.CLAIM_ASKED, Point.RECORD_UNTOLD, Point.RECORDED})
"""No lease has to lapse before the message is done."""

_LONG: Final = "\r\nThis goes on and on, further than one block reaches." * 6_000
_REACHED_S: Final = 60.0
_QUIET_S: Final = 120.0
_POLL_S: Final = 0.02
_TOGETHER: Final = 5

_SHORT: Final = (
    Cell(Channel.EMAIL, Point.ANSWERED, OnUnknown.RETRY),
    Cell(Channel.EMAIL, Point.TAKEN, OnUnknown.HOLD),
    Cell(Channel.WEBHOOK, Point.CLAIM_UNTOLD, OnUnknown.HOLD),
    Cell(Channel.EMAIL, Point.RECORDED, OnUnknown.RETRY),
)


class _Extent(NamedTuple):
    """How many messages meet each fate, how many workers there are to kill, and people to write to."""

    repetitions: int
    victims: int
    contacts: int


_SIZES: Final = {
    Size.SHORT: _Extent(1, 2, 5),
    # Enough people that no chat gets two messages in a second.
    Size.MINUTES: _Extent(1, 6, 40),
    Size.FULL: _Extent(5, 8, 40),
}


@dataclass
class _Matrix:
    """The kills of one run. ``sent``: by token, whose message it is."""

    house: Rig
    proxy: PostgresProxy
    acks: BrokerProxy
    sent: dict[str, Cell] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    async def run(self, chosen: Sequence[Cell], say: Callable[[str], None], *, lapsed: bool) -> None:
        """Kill by kill, and then wait until all is quiet; ``lapsed``: do not wait until the victims' leases lapse."""
        self.proxy.hold(_DEATH)
        for done, cell in enumerate(chosen):
            say(f"{done} of {len(chosen)} kills, now {cell}")
            await self._worker()
            await self.kill(cell)
        if lapsed:
            await self.house.let_victims_lapse()
        say("the dead are declared dead")
        self.proxy.let_go(_DEATH)
        if not await self.house.quiesce(_QUIET_S):
            self.faults.append("not quiet in time")

    async def _worker(self) -> None:
        """Wait until there is one to kill."""
        give_up_at = time.monotonic() + _REACHED_S
        registered = select(workers.c.pid).where(workers.c.dead_at.is_(None))
        while time.monotonic() < give_up_at:
            alive = {each.pid for family in self.house.families("worker").values() for each in family}
            async with self.house.database.read() as connection:
                if alive & set(await connection.scalars(registered)):
                    return
            await asyncio.sleep(_POLL_S)
        raise TimeoutError("there is no worker to kill")

    async def kill(self, cell: Cell) -> None:
        """Send one message, or a few that share their fate, and kill the worker that has them at the cell's point."""
        for sink in (self.house.sinks.mail, self.house.sinks.web, self.house.sinks.push, self.house.sinks.bot):
            sink.door.hang_up()  # whoever connects must do so anew
        sprung = asyncio.Event()
        spring = self._killer("worker", sprung)
        if cell.point in _ON_THE_LINE:
            row_ids = await self._post_and_aim(cell, spring)
        else:
            self._arm(cell, spring)
            row_ids = await self._post(cell)
        try:
            await asyncio.wait_for(sprung.wait(), _REACHED_S)
        except TimeoutError:
            self.faults.append(f"{cell}: never reached")
        self.acks.let_through.set()
        if cell.point in _DONE_AT_ONCE and not await self._done(row_ids):
            self.faults.append(f"{cell}: not done in time")
        if cell.point is Point.RESCUE_ASKED:
            spring = self._killer("keeper", asyncio.Event())
            self.proxy.traps.append(Trap(_RESCUE, Moment.ASKED, spring, [row_ids[0].bytes]))

    async def _post_and_aim(self, cell: Cell, spring: Callable[[int], bool]) -> list[UUID]:
        """What might be the statement waits until it is known which messages are ours."""
        marker, moment = _ON_THE_LINE[cell.point]
        self.proxy.hold(marker)
        if cell.point is Point.RECORDED:
            self.acks.let_through.clear()
        row_ids = await self._post(cell)
        about = [each.bytes for each in (await self._contents(row_ids) if marker == _CONTENT else row_ids)]
        told: Sequence[bytes] = ()
        if marker == _CLAIM:  # one that is a single statement knows only from its answer what it has claimed
            told, about = about, [*about, cell.channel.encode()]
        self.proxy.traps.append(Trap(marker, moment, spring, about, told))
        if cell.point is Point.RECORDED:
            await wait_until(lambda: self.acks.held > 0, timeout=_REACHED_S)
        self.proxy.let_go(marker)
        return row_ids

    async def _post(self, cell: Cell) -> list[UUID]:
        contacts = self.house.contacts[cell.channel]
        turn = len(self.sent)
        items = [
            {"onUnknown": cell.policy.value, "contactId": contacts[each % len(contacts)]}
            for each in range(turn, turn + (_TOGETHER if cell.point in SHARED else 1))
        ]
        filler = _LONG if cell.point is Point.IN_CONTENT else ""
        tokens = await self.house.post_batch(cell.channel, items, filler=filler)
        self.sent |= dict.fromkeys(tokens, cell)
        return [_row_id(self.house.promises.accepted[cell.channel][token]) for token in tokens]

    async def _contents(self, row_ids: Sequence[UUID]) -> list[UUID]:
        """The ids of what these messages say."""
        said = select(message_details.c.content_id).where(message_details.c.message_id.in_(row_ids))
        async with self.house.database.read() as connection:
            return list(await connection.scalars(said))

    def _arm(self, cell: Cell, spring: Callable[[int], bool]) -> None:
        sinks = self.house.sinks
        peers: Mapping[Channel, SmtpSink | HttpSink | BotApi] = {
            Channel.EMAIL: sinks.mail,
            Channel.WEBHOOK: sinks.web,
            Channel.PUSH: sinks.push,
            Channel.TELEGRAM: sinks.bot,
        }
        peer = peers.get(cell.channel)
        match cell.point, peer:
            case Point.CONNECTED, SmtpSink() | HttpSink() | BotApi():
                peer.door.dropping = spring
            case Point.TAKEN, BotApi():
                peer.dropping = spring
            case Point.GIVEN | Point.TAKEN, HttpSink():
                peer.script(drop="before" if cell.point is Point.GIVEN else "after", times=1, dropping=spring)
            case point, SmtpSink():
                command, drop = _SMTP[point]
                peer.script(command, drop=drop, times=1, dropping=spring)

    def _killer(self, service: str, sprung: asyncio.Event) -> Callable[[int], bool]:
        """What kills the process of such a service that connected from a port; False where none of them did."""

        def kill(port: int) -> bool:
            found = families.owner_of(port, self.house.families(service))
            if found is None:
                return False
            name, owner = found
            killed = families.kill([owner, *self.house.family(name)])
            self.house.kills.append(Kill(time.time(), name, killed))
            sprung.set()
            return True

        return kill

    async def _done(self, row_ids: list[UUID]) -> bool:
        undone = exists().where(messages.c.id.in_(row_ids), messages.c.state != State.DONE.value)
        give_up_at = time.monotonic() + _REACHED_S
        while time.monotonic() < give_up_at:
            async with self.house.database.read() as connection:
                if not await connection.scalar(select(undone)):
                    return True
            await asyncio.sleep(_POLL_S)
        return False

    async def compare(self) -> dict[str, dict[str, str]]:
        """What has come of each cell's messages, by channel and policy, and by point; the table's other ideas."""
        found = await self._fates()
        shown: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        for token, cell in self.sent.items():
            came = found.get(token)
            if came != fate(cell):
                self.faults.append(f"{cell}: {_told(came)}, not {_told(fate(cell))}")
            shown[f"{cell.channel} {cell.policy}"][cell.point][_told(came)] += 1
        ledger = self.house.ledger
        strange = [token for channel in Channel for token in ledger.copies(channel) if token not in self.sent]
        self.faults += [f"{len(strange)} arrived that nobody sent"] if strange else []
        deaths = sum(map(self.house.stack.supervisor.restarts, self.house.stack.supervisor.pids()))
        if deaths != len(self.house.kills):
            self.faults.append(f"{deaths} processes died of {len(self.house.kills)} kills")
        return {row: {point: _counted(each) for point, each in columns.items()} for row, columns in shown.items()}

    async def _fates(self) -> dict[str, Fate]:
        """By token, what has come of it: arrivals from the ledger and the inboxes, all else from the database."""
        tokens = {
            _row_id(message_id): (channel, token)
            for channel, promised in self.house.promises.accepted.items()
            for token, message_id in promised.items()
        }
        ends: dict[UUID, list[Outcome]] = defaultdict(list)
        async with self.house.database.read() as connection:
            rows = (await connection.execute(select(messages.c.id, messages.c.state, messages.c.status))).all()
            tried = select(attempts.c.message_id, attempts.c.outcome).order_by(attempts.c.token)
            for message_id, outcome in await connection.execute(tried):
                ends[message_id].append(Outcome(outcome))
            inboxes = Counter(await connection.scalars(select(inbox_items.c.message_id)))
        fates = {}
        for row in rows:
            channel, token = tokens[row.id]
            arrivals = inboxes[row.id] if channel is Channel.ONSITE else self.house.ledger.copies(channel)[token]
            state = State(row.state)
            if (state is State.DONE) != (Status(row.status) in REACHED):
                self.faults.append(f"{self.sent[token]}: {state}, shown as {row.status}")
            fates[token] = Fate(arrivals, tuple(ends[row.id]), state)
        return fates


def _row_id(message_id: str) -> UUID:
    found = ids.parse(ids.Kind.MESSAGE, message_id)
    assert found is not None, message_id
    return found


def _told(came: Fate | None) -> str:
    if came is None:
        return "missing"
    return f"{came.arrivals} arrived, {'+'.join(came.attempts) or 'no attempt'}, {came.state}"


def _counted(told: Counter[str]) -> str:
    return "; ".join(f"{words} x{count}" if count > 1 else words for words, count in told.items())


async def run(place: Place, size: Size) -> Found:
    """Every cell as often as it is asked for, in random order, and a migration meanwhile.

    In short, nobody waits until a lease has lapsed: those of the victims, which are known to be dead, are made older.
    """
    extent = _SIZES[size]
    migrations = list(crash_migration.POINTS)[: 1 if size is Size.SHORT else None]
    name = place.server.create()
    direct = place.server.url(name)
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(postgres_proxy.running(direct))
        valkey = stack.enter_context(broker.running())
        acks = await stack.enter_async_context(broker_proxy.running(valkey.socket_path))
        house = await stack.enter_async_context(
            rig.opened(
                place.folder,
                proxy.url(direct),
                seed=place.seed,
                workers=extent.victims,
                contacts=extent.contacts,
                settings={"WIREROOM_REDIS_URL": acks.url},
            )
        )
        matrix = _Matrix(house, proxy, acks)
        chosen = [
            cell
            for cell in (_SHORT if size is Size.SHORT else cells())
            for _ in range(math.ceil(extent.repetitions / (_TOGETHER if cell.point in SHARED else 1)))
        ]
        house.random.shuffle(chosen)
        migration = asyncio.create_task(crash_migration.faults(place.server, name, migrations))
        await matrix.run(chosen, place.say, lapsed=size is Size.SHORT)
        matrix.faults += await migration
        table = await matrix.compare()
        kills = Counter(kill.name.partition("-")[0] for kill in house.kills)
    return Found({"messages": len(matrix.sent), "kills": dict(kills), **table}, matrix.faults)
