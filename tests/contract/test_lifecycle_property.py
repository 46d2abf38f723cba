"""Whatever the order of events, however often they come and however many apply them at once: the same row.

Random histories (every event type, bounce type and machine flag; the present run, another one, or none named;
states of every kind) are folded by the pure rules, and applied through the store by several trackers at once.
"""

import asyncio
import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select, tuple_, update
from structlog.testing import capture_logs

from models import lifecycle
from models.events import ParsedEvent
from models.ids import new_id
from models.session import Database
from models.store import events
from models.tables import events as events_table
from models.tables import messages, suppressions
from models.vocabulary import BounceType, EventType, Fact, State, Status, SuppressionKind
from tests.support.scene import Scene
from worker.tracker import Tracker

PURE_EXAMPLES = 1_500
ROUNDS = 20
MESSAGES_A_ROUND = 100
TASKS = 4
COPIES = 3

WITHIN_MS = 300_000
"""Event times up to here after the message's own lie within the clamp, whenever the event comes in."""


@dataclass(frozen=True)
class Report:
    """One event of a message; ``after_ms`` is its time, counted from the message's own."""

    type: EventType
    bounce_type: BounceType | None
    machine: bool
    run: int | None
    after_ms: int


@dataclass(frozen=True)
class History:
    """A message as it stands before anything is reported, and what is reported of it."""

    state: State
    run: int
    topic: str | None
    reports: tuple[Report, ...]

    def of_this_run(self) -> list[Report]:
        """What is reported of the present run."""
        return [report for report in self.reports if report.run in (None, self.run)]


@dataclass(frozen=True)
class Row:
    """What must come out the same."""

    facts: dict[Fact, int | None]
    state: State
    status: Status
    has_turn: bool
    tokens_given: int
    has_ended: bool


Suppressed = tuple[str, bytes, str, str]
"""Channel, address digest, kind, topic."""

KINDS = [
    (event, bounce_type, machine)
    for event in EventType
    for bounce_type in ([None, *BounceType] if event is EventType.BOUNCED else [None])
    for machine in ([False, True] if event in (EventType.OPENED, EventType.CLICKED) else [False])
]

RUNS = [None, None, 1, 2]
STARTS = [(state, run, topic) for state in State for run in (1, 2) for topic in (None, "news")]


def _report(number: int) -> Report:
    number, kind = divmod(number, len(KINDS))
    after_ms, run = divmod(number, len(RUNS))
    return Report(*KINDS[kind], RUNS[run], after_ms)


# One number per report: what hypothesis draws one by one takes longer than the databases do.
reports = st.integers(0, len(KINDS) * len(RUNS) * (WITHIN_MS + 1) - 1).map(_report)
histories = st.builds(
    lambda start, reported: History(start[0], start[1], start[2], tuple(reported)),
    st.sampled_from(STARTS),
    st.lists(reports, max_size=6),
)
rounds = st.lists(histories, min_size=MESSAGES_A_ROUND, max_size=MESSAGES_A_ROUND)
seeds = st.integers(0, 2**32)


def fold(reported: Sequence[Report], made_at: int) -> dict[Fact, int | None]:
    """The facts after these reports, in this order, by the pure rules."""
    facts: dict[Fact, int | None] = dict.fromkeys(Fact)
    for report in reported:
        established = lifecycle.facts_of(report.type, bounce_type=report.bounce_type, machine=report.machine)
        facts = lifecycle.merge(facts, established, made_at + report.after_ms)
    return facts


def expected_row(history: History, made_at: int) -> Row:
    """The row that a history must end in."""
    facts = fold(history.of_this_run(), made_at)
    proved = facts[Fact.SENT] is not None and history.state in (State.QUEUED, State.HELD)
    state = State.DONE if proved else history.state
    return Row(
        facts=facts,
        state=state,
        status=lifecycle.status_of(facts, state),
        has_turn=state is State.QUEUED,
        tokens_given=int(proved),
        has_ended=proved,
    )


@dataclass
class Wishes:
    """When a reader last opted out of a topic, and when they last subscribed again; 0 is never."""

    out: int = 0
    back: int = 0

    def hear(self, report: Report, at: int, received_at: int) -> None:
        """What is said of the future was said when it came in, where it lifts something."""
        if report.type is EventType.UNSUBSCRIBED:
            self.out = max(self.out, at)
        elif report.type is EventType.RESUBSCRIBED:
            self.back = max(self.back, min(at, received_at))


def is_dead(history: History) -> bool:
    """Whether any report, of whichever run, says that its address is not to be written to."""
    hard = {(EventType.BOUNCED, None), (EventType.BOUNCED, BounceType.HARD), (EventType.COMPLAINED, None)}
    return any((report.type, report.bounce_type) in hard for report in history.reports)


@settings(max_examples=PURE_EXAMPLES, derandomize=True)
@given(histories, seeds)
def test_any_order_and_repetition_of_events_is_one_row(history: History, seed: int) -> None:
    once = fold(history.of_this_run(), 1_000)
    repeated = history.of_this_run() * COPIES
    random.Random(seed).shuffle(repeated)
    assert fold(repeated, 1_000) == once
    for fact, at in once.items():
        times = [
            1_000 + report.after_ms
            for report in history.of_this_run()
            if fact in lifecycle.facts_of(report.type, bounce_type=report.bounce_type, machine=report.machine)
        ]
        assert at == min(times, default=None)


class Round:
    """One batch of messages in the database, each with a history of its own; two of them share an address."""

    def __init__(self, scene: Scene, batch: Sequence[History], chance: random.Random) -> None:
        self._scene = scene
        self._database: Database = scene.database
        self._chance = chance
        self._name = new_id().hex
        self._source = new_id()
        self._histories = list(batch)
        self._ids: list[UUID] = []
        self._made_at: dict[UUID, int] = {}

    def address(self, number: int) -> str:
        """The address of a message."""
        return f"p{number // 2}@{self._name}.example.org"

    def digest(self, number: int) -> bytes:
        """What its suppressions are known by."""
        return self._scene.keyring.address_digest("EMAIL", self.address(number))

    async def begin(self, contact_id: UUID) -> None:
        """Accept the messages as the API does, then put each into its state and run, which has begun to be sent."""
        drafts = [
            self._scene.draft(contact_id, to=self.address(number), topic=history.topic)
            for number, history in enumerate(self._histories)
        ]
        self._ids = [draft.id for draft in drafts]
        for result in await self._scene.intake.submit_many(drafts):
            assert not isinstance(result, Exception)
            self._made_at[result.message.id] = result.message.queued_at
        async with self._database.write() as connection:
            await connection.execute(
                update(messages)
                .where(messages.c.id == bindparam("message"))
                .values(
                    state=bindparam("in_state"),
                    run=bindparam("in_run"),
                    turn=bindparam("with_turn"),
                    sending_at=messages.c.queued_at,
                ),
                [
                    {
                        "message": message_id,
                        "in_state": history.state.value,
                        "in_run": history.run,
                        "with_turn": 1 if history.state is State.QUEUED else None,
                    }
                    for message_id, history in zip(self._ids, self._histories, strict=True)
                ],
            )

    async def report(self) -> None:
        """Let several tasks store every event several times, in any order, each applying what it finds."""
        reported = [
            self._parsed(message_id, place, report)
            for message_id, history in zip(self._ids, self._histories, strict=True)
            for place, report in enumerate(history.reports)
        ] * COPIES
        self._chance.shuffle(reported)
        portions: list[list[list[ParsedEvent]]] = [[] for _ in range(TASKS)]
        while reported:
            size = self._chance.randint(1, 200)
            self._chance.choice(portions).append(reported[:size])
            del reported[:size]
        await asyncio.gather(*(self._feed(each) for each in portions))

    async def _feed(self, chunks: list[list[ParsedEvent]]) -> None:
        tracker = Tracker(self._database)
        for chunk in chunks:
            async with self._database.write() as connection:
                await events.insert(
                    connection,
                    workspace_id=self._scene.workspace_id,
                    source_id=self._source,
                    provider="generic",
                    events_=chunk,
                )
            await tracker.pull()

    def _parsed(self, message_id: UUID, place: int, report: Report) -> ParsedEvent:
        return ParsedEvent(
            type=report.type,
            provider_event=report.type.value,
            dedupe=_dedupe(message_id, place),
            raw=b"{}",
            at=self._made_at[message_id] + report.after_ms,
            message_ref=message_id,
            run=report.run,
            bounce_type=report.bounce_type,
            machine=report.machine,
        )

    async def check(self) -> None:
        """Compare every row, and every suppression, with what the pure rules say."""
        async with self._database.read() as connection:
            found = await connection.execute(select(messages).where(messages.c.id.in_(self._ids)))
            rows = {row.id: _read(row) for row in found}
            digests = {self.digest(number) for number in range(len(self._histories))}
            key = tuple_(
                suppressions.c.channel, suppressions.c.address_digest, suppressions.c.kind, suppressions.c.topic
            )
            suppressed = (
                await connection.execute(select(*key.clauses).where(suppressions.c.address_digest.in_(digests)))
            ).all()
            left = (
                await connection.scalars(select(events_table.c.id).where(events_table.c.applied_at.is_(None)))
            ).all()
            came = await connection.execute(select(events_table.c.dedupe_key, events_table.c.received_at))
            received_at = {row.dedupe_key: row.received_at for row in came}
        assert left == []
        for message_id, history in zip(self._ids, self._histories, strict=True):
            assert rows[message_id] == expected_row(history, self._made_at[message_id]), history
        assert sorted(map(tuple, suppressed)) == sorted(self._expected_suppressions(received_at))

    def _expected_suppressions(self, received_at: Mapping[bytes, int]) -> set[Suppressed]:
        """What the addresses must be suppressed for."""
        wishes: dict[tuple[bytes, str], Wishes] = defaultdict(Wishes)
        dead: set[Suppressed] = set()
        for number, (message_id, history) in enumerate(zip(self._ids, self._histories, strict=True)):
            digest = self.digest(number)
            if is_dead(history):
                dead.add(("EMAIL", digest, SuppressionKind.DEAD.value, ""))
            for place, report in enumerate(history.reports):
                at = self._made_at[message_id] + report.after_ms
                wishes[digest, history.topic or ""].hear(report, at, received_at[_dedupe(message_id, place)])
        outs = {
            ("EMAIL", digest, SuppressionKind.OPT_OUT.value, topic)
            for (digest, topic), each in wishes.items()
            if each.out and each.out >= each.back
        }
        return dead | outs


def _dedupe(message_id: UUID, place: int) -> bytes:
    return hashlib.sha256(message_id.bytes + place.to_bytes(2, "big")).digest()


def _read(row: Any) -> Row:
    return Row(
        facts={fact: getattr(row, f"{fact.value}_at") for fact in Fact},
        state=State(row.state),
        status=Status(row.status),
        has_turn=row.turn is not None,
        tokens_given=row.token,
        has_ended=row.ended_at is not None,
    )


@pytest.mark.timeout(400)  # thousands of events, on a machine that may be busy
async def test_any_order_repetition_and_concurrency_of_events_is_one_row(scene: Scene) -> None:
    contact_id = await scene.contact()
    loop = asyncio.get_running_loop()
    checked = 0

    async def play(batch: Sequence[History], seed: int) -> None:
        nonlocal checked
        one = Round(scene, batch, random.Random(seed))
        await one.begin(contact_id)
        await one.report()
        await one.check()
        checked += len(batch)

    # Without shrinking: the histories of a round are independent, and the assertion names the one that differs.
    @settings(max_examples=ROUNDS, derandomize=True, database=None, phases=[Phase.generate])
    @given(rounds, seeds)
    def rounds_are_one_row(batch: Sequence[History], seed: int) -> None:
        asyncio.run_coroutine_threadsafe(play(batch, seed), loop).result()

    with capture_logs() as logs:
        await asyncio.to_thread(rounds_are_one_row)
    assert checked == ROUNDS * MESSAGES_A_ROUND == 2_000
    # Trackers wait for each other; they never meet in a circle and give up.
    assert [entry for entry in logs if entry["event"] == "tracker.no_database"] == []


async def test_the_sql_of_the_status_is_the_pure_function_for_every_row_there_can_be(database: Database) -> None:
    facts = list(Fact)
    given_rows = {
        new_id(): ({fact: 1 if bits >> place & 1 else None for place, fact in enumerate(facts)}, state)
        for bits in range(2 ** len(facts))
        for state in State
    }
    nobody = UUID(int=0)
    async with database.write() as connection:
        await connection.execute(
            messages.insert(),
            [
                {
                    "id": message_id,
                    "workspace_id": nobody,
                    "contact_id": nobody,
                    "channel": "EMAIL",
                    "lane": "bulk",
                    "state": state.value,
                    "due_at": 0,
                    "queued_at": 0,
                    **{f"{fact.value}_at": at for fact, at in known.items()},
                }
                for message_id, (known, state) in given_rows.items()
            ],
        )
        shown = {row[0]: row[1] for row in await connection.execute(select(messages.c.id, messages.c.status))}
    assert shown == {
        message_id: lifecycle.status_of(known, state).value for message_id, (known, state) in given_rows.items()
    }
    assert len(shown) == 2**11 * 6
