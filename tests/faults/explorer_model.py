"""What can happen to a few messages in the hands of two workers, and what must hold whatever does.

The peer's ledger and the workers' hands are part of a state; the tables change by the real store alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, permutations
from typing import Final, NamedTuple, TypeVar

from models.vocabulary import Channel, OnUnknown, State, Status
from tests.faults.explorer_store import ACCEPTED, DEAD, DOUBTFUL, FRESH, STALE, Attempt, Held, Kind, Row, Store, Tables

_UP: Final = "up"
_LAPSED: Final = "lapsed"
"""It did not renew in time and knows it, as it looks at its own clock."""
_LOST: Final = "lost"
"""It knows that it was declared dead: what it has it may record, then it ends."""

OVER: Final = frozenset({State.DONE.value, State.FAILED.value, State.CANCELLED.value, State.HELD.value})
_STATES: Final = frozenset(state.value for state in State)
SLOTS: Final = 2
"""Workers."""

T = TypeVar("T")


class Slot(NamedTuple):
    """A worker process: how it sees its lease, and its hands."""

    lease: str
    hand: tuple[Held, ...]


class Past(NamedTuple):
    """What was of one run of a message. ``doubts``: attempts without a known end that nobody touches any more."""

    arrivals: int
    doubts: int


class Budget(NamedTuple):
    """How much more may go wrong."""

    crashes: int
    lapses: int
    lost_answers: int
    """Commits whose answer did not come: the claim's, or the record's."""
    bad_answers: int
    """What a peer says or does other than to accept."""
    reports: int
    commands: int


class World(NamedTuple):
    """A state."""

    tables: Tables
    slots: tuple[Slot, ...]
    pasts: tuple[tuple[Past, ...], ...]
    """By message, by run."""
    left: Budget


@dataclass(frozen=True, slots=True)
class Step:
    """Something that can happen. ``plain``: nothing went wrong in it; ``wrong``: what must not be, if it is."""

    said: str
    world: World
    plain: bool
    wrong: str | None = None


class Model:
    """The steps out of a state."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self.kinds = kinds
        self.store = Store(kinds)
        self._channels = sorted({kind.channel for kind in kinds})
        self._orders = _orders(kinds)
        self._judged: dict[tuple[int, Row, tuple[Past, ...]], str | None] = {}

    def steps(self, world: World) -> Iterator[Step]:
        """Everything that can happen now and changes something."""
        for before in self._moves(world):
            if before.world == world:
                continue
            after = self._tidy(before.world)
            yield Step(before.said, after, before.plain, before.wrong or self._wrong(world, before.world))

    def _moves(self, world: World) -> Iterator[Step]:
        for number in range(SLOTS):
            yield from self._claims(world, number)
            for held in world.slots[number].hand:
                yield from self._sends(world, number, held)
            yield from self._leases(world, number)
        yield from self._keeps(world)
        yield from self._others(world)

    def _claims(self, world: World, number: int) -> Iterator[Step]:
        lease, hand = world.slots[number]
        if lease == _LOST:
            return
        for channel in self._channels:
            tables, claimed = self.store.run(world.tables, "claim", number, channel)
            if not claimed:
                continue
            if lease == _LAPSED and not world.left.lapses:
                continue  # it was suspended between its look at the clock and its claim
            held = tuple(sorted({*hand, *(self._fresh(each) for each in claimed)}))
            taken = _with_slot(world._replace(tables=tables), number, Slot(lease, held))
            what = f"worker {number + 1} claims message {claimed[0].message + 1}"
            yield Step(what, taken if lease == _UP else _spend(taken, "lapses"), lease == _UP)
            if world.left.lost_answers:
                lost = _spend(world._replace(tables=tables), "lost_answers")
                yield Step(f"{what}, and does not hear of it", lost, plain=False)

    def _fresh(self, held: Held) -> Held:
        careful = self.kinds[held.message].on_unknown is OnUnknown.HOLD
        return held if careful else held._replace(phase="begun")

    def _sends(self, world: World, number: int, held: Held) -> Iterator[Step]:
        who = f"worker {number + 1}"
        which = f"message {held.message + 1} (token {held.token})"
        if held.phase == "claimed":
            tables, ours = self.store.run(world.tables, "begin", held)
            new = held._replace(phase="begun") if ours else None
            yield Step(
                f"{who} writes down that it begins {which}",
                _with_held(world._replace(tables=tables), number, held, new),
                plain=True,
            )
        elif held.phase == "begun":
            if world.slots[number].lease == _UP:
                row = world.tables.rows[held.message]
                ours = (row.token, row.state) == (held.token, State.SENDING.value)
                wrong = None if ours else f"message {held.message + 1} is sent by who has it no more"
                going = _with_held(world, number, held, held._replace(phase="going"))
                yield Step(
                    f"{who} sees that its lease holds and begins to send {which}", going, plain=True, wrong=wrong
                )
            else:
                stays = held._replace(phase="over", end="not started")
                yield Step(f"{who} sees no lease, {which} stays", _with_held(world, number, held, stays), plain=True)
        elif held.phase == "going":
            yield from self._answers(world, number, held, f"the peer of {who}, {which}:")
        else:
            tables, _ = self.store.run(world.tables, "record", held._replace(phase=""))
            recorded = world._replace(tables=tables)
            said = f"{who} records of {which}: {held.end}"
            yield Step(said, _with_held(recorded, number, held, None), plain=True)
            if world.left.lost_answers:
                yield Step(f"{said}, and does not hear of it", _spend(recorded, "lost_answers"), plain=False)

    def _answers(self, world: World, number: int, held: Held, who: str) -> Iterator[Step]:
        arrived = world if self.kinds[held.message].channel is Channel.ONSITE else _arrive(world, held)
        over = held._replace(phase="over")
        yield Step(f"{who} accepted", _with_held(arrived, number, held, over._replace(end=ACCEPTED)), plain=True)
        if not world.left.bad_answers:
            return
        for end in ("refused for now", "refused for good", "cut"):
            ended = _with_held(_spend(world, "bad_answers"), number, held, over._replace(end=end))
            yield Step(f"{who} {end}", ended, plain=False)
        taken = _with_held(_spend(arrived, "bad_answers"), number, held, over._replace(end="cut"))
        yield Step(f"{who} taken, then cut", taken, plain=False)

    def _leases(self, world: World, number: int) -> Iterator[Step]:
        lease, hand = world.slots[number]
        who = f"worker {number + 1}"
        owns = any(row.worker == number and row.state == State.SENDING.value for row in world.tables.rows)
        if world.left.crashes and (hand or owns):
            yield Step(f"{who} dies", _reborn(_spend(world, "crashes"), number), plain=False)
        if lease == _UP and world.left.lapses and (hand or owns):
            lapsed = _with_slot(_with_lease(world, number, STALE), number, Slot(_LAPSED, hand))
            yield Step(f"{who} is suspended, its lease runs out", _spend(lapsed, "lapses"), plain=False)
        if lease == _LAPSED or (lease == _UP and owns):
            held = frozenset(each.message for each in hand)
            tables, alive = self.store.run(world.tables, "renew", number, held)
            seen = _with_slot(world._replace(tables=tables), number, Slot(_UP if alive else _LOST, hand))
            yield Step(f"{who} renews its lease{'' if alive else ': it is dead'}", seen, plain=True)
        if lease == _LOST and not hand:
            yield Step(f"{who} ends and starts anew", _reborn(world, number), plain=True)

    def _keeps(self, world: World) -> Iterator[Step]:
        for number, lease in enumerate(world.tables.workers):
            if lease in (STALE, DEAD):
                tables, _ = self.store.run(world.tables, "rescue", number)
                if tables != world.tables:
                    said = f"the keeper rescues what {_name(number)} has"
                    yield Step(said, world._replace(tables=tables), plain=True)
        tables, _ = self.store.run(world.tables, "ready")
        if tables != world.tables:
            yield Step("the keeper readies what is due", world._replace(tables=tables), plain=True)

    def _others(self, world: World) -> Iterator[Step]:
        for number, pasts in enumerate(world.pasts):
            which = f"message {number + 1}"
            for run, past in enumerate(pasts, 1):
                if past.arrivals and world.left.reports:
                    tables, _ = self.store.run(world.tables, "report", number, run)
                    told = _spend(world._replace(tables=tables), "reports")
                    yield Step(f"the provider reports {which} of run {run} as delivered", told, plain=False)
            for command in ("cancel", "retry") if world.left.commands else ():
                tables, done = self.store.run(world.tables, command, number)
                if done:
                    asked = _spend(world._replace(tables=tables), "commands")
                    if command == "retry":
                        pasts_ = _changed(world.pasts, number, (*pasts, Past(0, 0)))
                        asked = asked._replace(pasts=pasts_)
                    yield Step(f"a person's {command} of {which}", asked, plain=False)

    def _wrong(self, before: World, after: World) -> str | None:
        """What does not hold after a step, before anything is renamed."""
        for number, (old, row) in enumerate(zip(before.tables.rows, after.tables.rows, strict=True)):
            if row is old and after.pasts is before.pasts:
                continue
            pasts = after.pasts[number]
            if (number, row, pasts) not in self._judged:
                self._judged[number, row, pasts] = self._wrong_row(number, row, pasts)
            wrong = self._judged[number, row, pasts] if row.token >= old.token else "has an older token"
            if wrong is not None:
                return f"message {number + 1} {wrong}"
        return None

    def _wrong_row(self, number: int, row: Row, pasts: tuple[Past, ...]) -> str | None:
        doubts = [past.doubts + _doubts(row.attempts, run) for run, past in enumerate(pasts, 1)]
        arrived = [past.arrivals for past in pasts]
        if self.kinds[number].channel is Channel.ONSITE:  # an inbox knows no doubt
            arrived, doubts = [int(row.item)], [0]
        shown_failed = row.status == Status.FAILED.value
        shown_sent = row.status in (Status.SENT.value, Status.DELIVERED.value)
        rules = {
            "came more often than attempts without a known end explain": any(
                many > 1 + doubt for many, doubt in zip(arrived, doubts, strict=True)
            ),
            "came, and is shown as FAILED without a doubt": shown_failed and arrived[-1] and not doubts[-1],
            "is shown as sent, and never came": shown_sent and not any(arrived),
            "is in no state that there is": row.state not in _STATES,
            "is being sent by nobody": row.state == State.SENDING.value and row.worker is None,
            "is over or in hand, and has a turn": row.state != State.QUEUED.value and row.turn is not None,
        }
        return next((rule for rule, broken in rules.items() if broken), None)

    def _tidy(self, world: World) -> World:
        """The same with tokens, turns and dead workers renamed by their order, and what nobody reads forgotten."""
        rows, pasts, slots = [], [], world.slots
        for number, row in enumerate(world.tables.rows):
            held = {each.token for slot in slots for each in slot.hand if each.message == number}
            live = held | {row.token}
            rank = _ranks(live | {0})
            pasts.append(
                tuple(
                    Past(past.arrivals, past.doubts + _doubts([a for a in row.attempts if a.token not in live], run))
                    for run, past in enumerate(world.pasts[number], 1)
                )
            )
            kept = tuple(Attempt(rank[a.token], a.run, a.outcome) for a in row.attempts if a.token in live)
            by = row.worker if row.state == State.SENDING.value else None
            begun = row.begun and row.state == State.SENDING.value
            rows.append(row._replace(token=rank[row.token], attempts=kept, worker=by, begun=begun))
            slots = tuple(_renamed(slot, number, rank) for slot in slots)
        turns = sorted({row.turn for row in rows if row.turn is not None})
        rows = [row._replace(turn=None if row.turn is None else turns.index(row.turn) + 1) for row in rows]
        return World(_without_strangers(rows, world.tables.workers), slots, tuple(pasts), world.left)

    def name(self, world: World) -> World:
        """The one that stands for all states that differ only in what workers and equal messages are called."""
        return min((_swapped(world, *order) for order in self._orders), key=hash)


def _ranks(tokens: Iterable[int]) -> Mapping[int, int]:
    """A small number for each, in their order; neighbours stay neighbours, since a late end is told by that."""
    ordered = sorted(tokens)
    places = accumulate((min(after - before, 2) for before, after in pairwise(ordered)), initial=0)
    return dict(zip(ordered, places, strict=True))


def _doubts(attempts: Iterable[Attempt], run: int) -> int:
    return sum(each.run == run and each.outcome in DOUBTFUL for each in attempts)


def _changed(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])


def _with_slot(world: World, number: int, slot: Slot) -> World:
    return world._replace(slots=_changed(world.slots, number, slot))


def _with_lease(world: World, number: int, lease: str) -> World:
    return world._replace(tables=world.tables._replace(workers=_changed(world.tables.workers, number, lease)))


def _with_held(world: World, number: int, old: Held, new: Held | None) -> World:
    lease, hand = world.slots[number]
    left = {each for each in hand if each != old}
    return _with_slot(world, number, Slot(lease, tuple(sorted(left | ({new} if new else set())))))


def _spend(world: World, what: str) -> World:
    return world._replace(left=world.left._replace(**{what: getattr(world.left, what) - 1}))


def _arrive(world: World, held: Held) -> World:
    pasts = world.pasts[held.message]
    past = pasts[held.run - 1]
    came = _changed(pasts, held.run - 1, past._replace(arrivals=past.arrivals + 1))
    return world._replace(pasts=_changed(world.pasts, held.message, came))


def _reborn(world: World, number: int) -> World:
    """The process ends, another takes its place; what the tables say of the old one stays, under a free number."""
    rows, leases = world.tables
    used = {row.worker for row in rows}
    if number in used:
        stranger = next(each for each in range(SLOTS, len(leases)) if each not in used)
        rows = tuple(row._replace(worker=stranger) if row.worker == number else row for row in rows)
        leases = _changed(leases, stranger, DEAD if leases[number] == DEAD else STALE)
    tables = Tables(rows, _changed(leases, number, FRESH))
    return _with_slot(world._replace(tables=tables), number, Slot(_UP, ()))


def _without_strangers(rows: Sequence[Row], leases: tuple[str | None, ...]) -> Tables:
    """Dead workers that have something, numbered as they come in the rows; the others are forgotten."""
    known = dict.fromkeys(row.worker for row in rows if row.worker is not None and row.worker >= SLOTS)
    numbers = {old: SLOTS + place for place, old in enumerate(known)}
    strangers = [leases[old] for old in numbers]
    missing: list[str | None] = [None] * (len(leases) - SLOTS - len(strangers))
    renamed = [row._replace(worker=numbers.get(row.worker or 0, row.worker)) for row in rows]
    return Tables(tuple(renamed), (*leases[:SLOTS], *strangers, *missing))


def _renamed(slot: Slot, message: int, rank: Mapping[int, int]) -> Slot:
    hand = [each._replace(token=rank[each.token]) if each.message == message else each for each in slot.hand]
    return Slot(slot.lease, tuple(sorted(hand)))


def _swapped(world: World, swap: bool, order: tuple[int, ...]) -> World:
    """The same with the two workers, and the messages, under other names: ``order[new]`` is the old one."""
    (rows, leases), slots, pasts, left = world
    if swap:
        rows = tuple(row._replace(worker=1 - row.worker) if row.worker in (0, 1) else row for row in rows)
        leases, slots = (leases[1], leases[0], *leases[2:]), slots[::-1]
    if order != tuple(range(len(order))):
        rows = tuple(rows[old] for old in order)
        pasts = tuple(pasts[old] for old in order)
        new = {old: number for number, old in enumerate(order)}
        slots = tuple(
            Slot(lease, tuple(sorted(each._replace(message=new[each.message]) for each in hand)))
            for lease, hand in slots
        )
    return World(_without_strangers(rows, leases), slots, pasts, left)


def _name(number: int) -> str:
    return f"worker {number + 1}" if number < SLOTS else "a worker that is gone"


def _orders(kinds: tuple[Kind, ...]) -> list[tuple[bool, tuple[int, ...]]]:
    numbers = range(len(kinds))
    alike = [
        order
        for order in permutations(numbers)
        if all(kinds[a] == kinds[b] for a, b in zip(numbers, order, strict=True))
    ]
    return [(swap, order) for swap in (False, True) for order in alike]
