"""The real store over SQLite in memory, as a function: what the tables hold, one operation, what they hold then.

Times are not part of it: what is due is due, and what a lease is depends on the worker's own row alone.
"""

import sqlite3
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, cast
from uuid import UUID

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import StaticPool

from channels.contract import Receipt
from channels.errors import NotStarted, Permanent, SendError, Transient, Unknown
from models.errors import Conflict, Refused
from models.events import ParsedEvent
from models.progress import InboxItem
from models.store import applying, claims, commands, events, in_hand, keeping, outcomes, workers
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.tables import metadata
from models.vocabulary import Channel, EventType, FailureReason, Lane, OnUnknown, Outcome, State
from worker import verdicts

T = TypeVar("T")

FRESH: Final = "fresh"
STALE: Final = "stale"
DEAD: Final = "dead"
DOUBTFUL: Final = frozenset({Outcome.AMBIGUOUS.value, Outcome.UNKNOWN.value})
LEASE_MS: Final = 15_000

_WORKSPACE: Final = UUID(int=1 << 64)
_CONTACT: Final = UUID(int=2 << 64)
_LONG_AGO: Final = 1_000
_TABLES: Final = ("messages", "attempts", "workers", "inbox_items", "inboxes", "events", "lanes", "suppressions")
_ENDS: Final[Mapping[str, SendError]] = {
    "not started": NotStarted("the worker's lease runs out"),
    "refused for now": Transient("busy"),
    "refused for good": Permanent("no", reason=FailureReason.REJECTED),
    "cut": Unknown("no answer"),
}
ACCEPTED: Final = "accepted"
_LANE: Final = "INSERT INTO lanes (channel, lane, workspace_id, last_turn) VALUES (?, ?, ?, ?)"
_LEASE: Final = "INSERT INTO workers (id, host, pid, started_at, renewed_at, dead_at) VALUES (?, 'h', 1, 0, ?, ?)"
_ATTEMPT: Final = (
    "INSERT INTO attempts (message_id, token, run, started_at, ended_at, outcome) VALUES (?, ?, ?, 0, 0, ?)"
)


class Attempt(NamedTuple):
    """A row of attempts."""

    token: int
    run: int
    outcome: str


class Row(NamedTuple):
    """A message: what the tables hold of it. ``worker``: a number, as in ``Tables.workers``."""

    state: str
    turn: int | None
    token: int
    worker: int | None
    begun: bool
    run: int
    tries: int
    crashes: int
    reason: str | None
    proved: bool
    item: bool
    attempts: tuple[Attempt, ...]
    status: str = ""


class Tables(NamedTuple):
    """Everything. ``workers``: by number, what the lease of each is, None where there is no such worker."""

    rows: tuple[Row, ...]
    workers: tuple[str | None, ...]


class Held(NamedTuple):
    """A message in a worker's hands. ``end``: what is to be recorded, once there is something."""

    message: int
    token: int
    run: int
    tries: int
    phase: str
    end: str = ""


@dataclass(frozen=True)
class Kind:
    """What sort of message it is."""

    channel: Channel = Channel.EMAIL
    on_unknown: OnUnknown = OnUnknown.RETRY


Operation = tuple[Any, ...]
"""Its name, then its arguments: all of it hashable."""


class _Direct:
    """What the store asks of a connection, over one that answers at once: no event loop, no thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        return self._connection.exec_driver_sql(statement, parameters)

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        return self._connection.scalar(statement, parameters)

    async def scalars(self, statement: Any, parameters: Any = None) -> Any:
        return self._connection.scalars(statement, parameters)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    try:
        work.send(None)
    except StopIteration as ended:
        return cast(T, ended.value)
    raise RuntimeError("it waits for something")


class Store:
    """The functions of ``models.store``, each result remembered: there are far fewer tables than states."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self._kinds = kinds
        self._known: dict[tuple[Tables, Operation], tuple[Tables, Any]] = {}
        engine = create_engine("sqlite://", poolclass=StaticPool)
        event.listen(engine, "connect", _no_transactions_of_its_own)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        metadata.create_all(engine)
        self._connection = engine.connect()
        self._raw = cast(sqlite3.Connection, self._connection.connection.dbapi_connection)
        self._raw.execute(
            "INSERT INTO workspaces (id, name, settings, created_at) VALUES (?, 'w', '{}', 0)", [_WORKSPACE.hex]
        )
        self._raw.execute(
            "INSERT INTO contacts (id, workspace_id, attributes, tags, created_at, updated_at) "
            "VALUES (?, ?, '{}', '[]', 0, 0)",
            [_CONTACT.hex, _WORKSPACE.hex],
        )
        for number, kind in enumerate(kinds):
            self._raw.execute(
                "INSERT INTO message_details (message_id, workspace_id, content_id, address, address_digest,"
                " on_unknown, track_opens, track_clicks, variables, metadata)"
                " VALUES (?, ?, ?, 'a@example.org', x'00', ?, 0, 0, '{}', '{}')",
                [_message(number).hex, _WORKSPACE.hex, UUID(int=5).hex, kind.on_unknown.value],
            )

    @property
    def transactions(self) -> int:
        """How many different ones were run."""
        return len(self._known)

    def run(self, tables: Tables, *operation: Any) -> tuple[Tables, Any]:
        """What the tables hold after one operation, and its result."""
        known = self._known.get((tables, operation))
        if known is None:
            self._write(tables)
            name, *arguments = operation
            with self._connection.begin():
                connection = cast(AsyncConnection, _Direct(self._connection))
                result = _at_once(getattr(self, f"_{name}")(connection, *arguments))
            known = self._known[tables, operation] = self._read(len(tables.workers)), result
        return known

    async def _claim(self, connection: AsyncConnection, worker: int, channel: Channel) -> tuple[Held, ...]:
        found = []
        for suspects in (False, True):
            taken, _ = await claims.claim(
                connection, channel, Lane.TRANSACTIONAL, _worker(worker), 1, suspects=suspects
            )
            found += [Held(each.id.int & 0xFF, each.token, each.run, each.tries, "claimed") for each in taken]
            if found:
                break
        return tuple(found)

    async def _begin(self, connection: AsyncConnection, held: Held) -> bool:
        return bool(await in_hand.mark_begun(connection, [self._claimed(held)]))

    async def _record(self, connection: AsyncConnection, held: Held) -> None:
        await outcomes.record(connection, [self._ended(held)])

    async def _renew(self, connection: AsyncConnection, worker: int, held: frozenset[int]) -> bool:
        alive = await workers.renew(connection, _worker(worker))
        await in_hand.give_back_strays(connection, _worker(worker), {_message(each) for each in held}, 10_000)
        return alive

    async def _rescue(self, connection: AsyncConnection, worker: int) -> None:
        for beat in await workers.heartbeats(connection, LEASE_MS):
            if beat.id == _worker(worker) and beat.stale:
                assert await workers.declare_dead(connection, beat.id, beat.renewed_at)
                await workers.rescue(connection, beat.id)
        if _worker(worker) in await workers.abandoned(connection):
            await workers.rescue(connection, _worker(worker))

    async def _ready(self, connection: AsyncConnection) -> None:
        for group in await keeping.groups_due(connection):
            await keeping.ready_due(connection, group, 10)

    async def _report(self, connection: AsyncConnection, message: int, run: int) -> None:
        told = ParsedEvent(EventType.DELIVERED, "d", b"d" * 32, b"", None, message_ref=_message(message), run=run)
        await events.insert(
            connection, workspace_id=_WORKSPACE, source_id=UUID(int=9), provider="generic", events_=[told]
        )
        raw = await events.take(connection, 10)
        await applying.apply(connection, raw, await events.match(connection, raw))

    async def _cancel(self, connection: AsyncConnection, message: int) -> bool:
        try:
            await commands.cancel(connection, _WORKSPACE, _message(message))
        except Conflict:
            return False
        return True

    async def _retry(self, connection: AsyncConnection, message: int) -> bool:
        try:
            await commands.retry(connection, _WORKSPACE, _message(message))
        except (Conflict, Refused):
            return False
        return True

    def _claimed(self, held: Held) -> Claim:
        return Claim(
            id=_message(held.message),
            workspace_id=_WORKSPACE,
            contact_id=_CONTACT,
            run=held.run,
            token=held.token,
            tries=held.tries,
            crashes=0,
            content_id=UUID(int=5),
            address="a@example.org",
            variables={},
            metadata={},
            on_unknown=self._kinds[held.message].on_unknown,
            claimed_at=_LONG_AGO,
            secrets=(),
            essential=False,
            track_opens=False,
            track_clicks=False,
        )

    def _ended(self, held: Held) -> Ended:
        claim, channel = self._claimed(held), self._kinds[held.message].channel
        if held.end == ACCEPTED:
            item = InboxItem("", "", is_html=False) if channel is Channel.ONSITE else None
            return verdicts.accepted(claim, Receipt(delivered=item is not None, inbox_item=item))
        return verdicts.ended(channel, claim, _ENDS[held.end], 0.5)

    def _write(self, tables: Tables) -> None:
        execute = self._raw.execute
        for name in _TABLES:
            execute(f"DELETE FROM {name}")
        turns = [row.turn or 0 for row in tables.rows]
        lanes = [(kind.channel.value, turn) for kind, turn in zip(self._kinds, turns, strict=True)]
        for channel in {kind.channel.value for kind in self._kinds}:
            most = max(turn for of, turn in lanes if of == channel)
            for owner, turn in ((UUID(int=0), 0), (_WORKSPACE, most)):
                execute(_LANE, [channel, Lane.TRANSACTIONAL.value, owner.hex, turn])
        for number, lease in enumerate(tables.workers):
            if lease is not None:
                renewed = int(time.time() * 1000) - 1000 if lease == FRESH else 0
                dead = _LONG_AGO if lease == DEAD else None
                execute(_LEASE, [_worker(number).hex, renewed, dead])
        for number, row in enumerate(tables.rows):
            self._write_message(_message(number).hex, self._kinds[number].channel.value, row)

    def _write_message(self, message_id: str, channel: str, row: Row) -> None:
        worker = None if row.worker is None else _worker(row.worker).hex
        proved = _LONG_AGO if row.proved else None
        self._raw.execute(
            "INSERT INTO messages (id, workspace_id, contact_id, channel, lane, state, turn, due_at, paused, token,"
            " worker_id, claimed_at, begun, run, tries, crashes, queued_at, failure_reason, sent_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
            [
                *(message_id, _WORKSPACE.hex, _CONTACT.hex, channel, Lane.TRANSACTIONAL.value, row.state, row.turn),
                *(row.token, worker, _LONG_AGO, row.begun, row.run, row.tries, row.crashes, row.reason, proved),
            ],
        )
        if row.item:
            # Which of two items came first is no part of the state.
            self._raw.execute(
                "INSERT INTO inboxes (contact_id, last_change) VALUES (?, 1)"
                " ON CONFLICT DO UPDATE SET last_change = last_change + 1",
                [_CONTACT.hex],
            )
            self._raw.execute(
                "INSERT INTO inbox_items (message_id, contact_id, run, number, change, subject, body, is_html,"
                " created_at) SELECT ?, contact_id, 1, last_change, last_change, '', '', 0, 0 FROM inboxes",
                [message_id],
            )
        for each in row.attempts:
            self._raw.execute(_ATTEMPT, [message_id, *each])

    def _read(self, numbers: int) -> Tables:
        leases: list[str | None] = [None] * numbers
        for worker_id, renewed_at, dead_at in self._raw.execute("SELECT id, renewed_at, dead_at FROM workers"):
            leases[_number(worker_id)] = DEAD if dead_at is not None else STALE if renewed_at == 0 else FRESH
        return Tables(tuple(self._read_message(number) for number in range(len(self._kinds))), tuple(leases))

    def _read_message(self, number: int) -> Row:
        message_id = _message(number).hex
        state, turn, token, worker, *more = self._raw.execute(
            "SELECT state, turn, token, worker_id, begun, run, tries, crashes, failure_reason,"
            " sent_at IS NOT NULL, id IN (SELECT message_id FROM inbox_items), status FROM messages WHERE id = ?",
            [message_id],
        ).fetchone()
        begun, run, tries, crashes, reason, proved, item, status = more
        tried = self._raw.execute(
            "SELECT token, run, outcome FROM attempts WHERE message_id = ? ORDER BY token", [message_id]
        )
        made = tuple(Attempt(*each) for each in tried)
        by = None if worker is None else _number(worker)
        counted = (bool(begun), run, tries, crashes, reason, bool(proved), bool(item))
        return Row(state, turn, token, by, *counted, made, status)


def first(kinds: tuple[Kind, ...], numbers: int) -> Tables:
    """Everything accepted, two workers that just began."""
    row = Row(State.QUEUED.value, 1, 0, None, False, 1, 0, 0, None, False, False, (), "QUEUED")
    rows = tuple(row._replace(turn=number + 1) for number in range(len(kinds)))
    return Tables(rows, (FRESH, FRESH, *[None] * (numbers - 2)))


def _message(number: int) -> UUID:
    return UUID(int=(3 << 64) + number)


def _worker(number: int) -> UUID:
    return UUID(int=(4 << 64) + number)


def _number(worker_id: str) -> int:
    return UUID(worker_id).int & 0xFF


def _no_transactions_of_its_own(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
