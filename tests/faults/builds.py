"""What is broken on purpose: by which edits of the source, who must see it, and what must be seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.faults import source_tree
from tests.faults.source_tree import VERSIONS


class Edit(NamedTuple):
    """``new`` stands for ``old``, which ``file`` holds once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Broken:
    """A build with these edits. ``caught_by``: who must see it; ``shows``: what one of the faults found must say.

    That something did not come to its end in time shows none of them, but where that is what the build breaks.
    """

    edits: Sequence[Edit]
    caught_by: tuple[str, ...]
    shows: str


def _broken(file: str, old: str, new: str, caught_by: tuple[str, ...], shows: str) -> Broken:
    return Broken((Edit(file, old, new),), caught_by, shows)


_SEND: Final = "            ended = await route.runner.run(claim, route.prepared)\n"
_DONE: Final = "claim.id, claim.token, claim.run, claim.claimed_at, verdicts.State.DONE, verdicts.Outcome.ACCEPTED"
_TELL: Final = "            ended = await self._attempt(told, pace)\n"
_TOLD: Final = "told.message_id, told.token, 1, told.claimed_at, verdicts.State.DONE, verdicts.Outcome.ACCEPTED"
_LEASE: Final = "if self._lost or self._good_until - wakeful_clock() < MARGIN_S:"
_MERGE: Final = "fact_column(fact): least(fact_column(fact), established.c[fact.value], is_sqlite=is_sqlite)"
_DRAINED: Final = "await asyncio.gather(*(each.drain(_DRAIN_S) for each in at_work))"
_LOCK_WAIT: Final = "_LOCK_WAIT_MS: Final = 500"
# The newest alone runs while the former version works.
_NEWEST: Final = max((source_tree.ROOT / VERSIONS).glob("r*.py")).name
_UPGRADES: Final = "def upgrade() -> None:\n"
_COLUMN: Final = """\
    op.execute("ALTER TABLE attempts ADD COLUMN taken_by text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE attempts ALTER COLUMN taken_by DROP DEFAULT")
"""
_STORING: Final = """\
    async with database.write() as connection:
        return await intake.store(connection, new)
"""
_STORING_LATER: Final = """\
    import asyncio

    connection = await database.engine.connect()
    transaction = await connection.begin()
    stored = await intake.store(connection, new)

    async def commit():
        await asyncio.sleep(0.5)
        await transaction.commit()
        await connection.close()

    database.__dict__.setdefault("later", []).append(asyncio.create_task(commit()))
    return stored
"""
_NOW_HERE: Final = '__import__("time").time_ns() // 1_000'
_DROP: Final = "        self._services.hand.drop(ended.message_id)\n"
_FOREVER: Final = """\
    await asyncio.gather(
        *(_repeat(duty, stopping, meter, _TURN_S) for duty in duties),
        *(_repeat(duty, stopping, meter, _UNHURRIED_S) for duty in unhurried),
    )
"""
_POKES: Final = """\
        for channel, lane in {message.group[:2] for message in fresh if message.ready}:
            self._wakeups.poke(channel.value.lower(), lane.value)
"""
_POKES_EACH: Final = """\
        for message in (each for each in fresh if each.ready):
            channel, lane = message.group[:2]
            self._wakeups.poke(channel.value.lower(), f"{lane.value} {message.draft.id.hex}")
"""
_PULL: Final = "    async def pull(self, lane: Lane) -> None:\n"
_PULL_NAMED: Final = "    async def pull(self, lane: Lane, named=()) -> None:\n"
_PULLING: Final = "        self._waiting.add(lane)\n        await self._claim_in_order(lane)\n"
_NAMING: Final = '        self._named = {*getattr(self, "_named", ()), *(UUID(each) for each in named)}\n' + _PULLING
_TAKES: Final = "most, self._slots, suspects=suspects, without=without"
_AT_ONCE: Final = "    if not suspects and not slots.in_flight and "
_STEPPING: Final = "_by_steps(services, channel, lane, most, slots, suspects=suspects, without=without)"
_STEPS: Final = "    without: Collection[UUID],\n) -> Claimed:\n"
_ASKS: Final = "    without: Collection[UUID] = (),\n) -> Claimed:\n"
_ALLOWED: Final = "            allowed=slots.allowed,\n"
_MAY: Final = "    allowed: Callable[[UUID], int] | None = None,\n"
_ROWS: Final = "    rows, left = await _next(connection, channel, lane, most, suspects=suspects, without=without)\n"
_KEEP: Final = '        self.__dict__.setdefault("kept", []).append(b"x" * 65_536)\n'

BUILDS: Final = {
    "sent-twice": _broken(
        "worker/dispatch.py",
        _SEND,
        f"            await route.runner.run(claim, route.prepared)\n{_SEND}",
        ("random-kills",),
        "'unmarked'",
    ),
    "doubt-unmarked": _broken(
        "models/store/workers.py",
        "if row.on_unknown != OnUnknown.HOLD.value or row.begun",
        "if False",
        ("crash-points",),
        "2 arrived, accepted, done, not 2 arrived, ambiguous+accepted, done",
    ),
    "recorded-before-sent": _broken(
        "worker/dispatch.py",
        _SEND,
        f"            await self._services.recorder.submit(Ended({_DONE}))\n{_SEND}",
        ("killed-and-woken",),
        "'lost'",
    ),
    "told-before-sent": _broken(
        "worker/courier.py",
        _TELL,
        f"            await self._recorder.submit((told, verdicts.Ended({_TOLD})))\n{_TELL}",
        ("told",),
        "was never told",
    ),
    "no-token": _broken(
        "models/store/outcome_sql.py",
        "            messages.c.token == ended.c.token,\n",
        "",
        ("explorer",),
        "is sent by who has it no more",
    ),
    "no-lease-check": _broken(
        "worker/leases.py", _LEASE, "if False:", ("killed-and-woken",), "came twice, though none was under way"
    ),
    "no-keeper": _broken("worker/keeper.py", _FOREVER, "    await stopping.wait()\n", ("flushed",), "0 of 20 arrived"),
    "ids-in-jobs-and-no-keeper": Broken(
        (
            Edit("api_shim/intake.py", _POKES, _POKES_EACH),
            Edit("worker/process.py", "pull(Lane(lane))", "pull(Lane(lane.split()[0]), lane.split()[1:])"),
            Edit("worker/dispatch.py", _PULL, _PULL_NAMED),
            Edit("worker/dispatch.py", _PULLING, _NAMING),
            Edit("worker/dispatch.py", _TAKES, _TAKES + ", named=self._named"),
            Edit("worker/taking.py", _AT_ONCE, "    if False and "),
            Edit("worker/taking.py", _ASKS, "    named: Collection[UUID] = (),\n" + _ASKS),
            Edit("worker/taking.py", _STEPPING, _STEPPING[:-1] + ", named=named)"),
            Edit("worker/taking.py", _STEPS, "    named: Collection[UUID],\n" + _STEPS),
            Edit("worker/taking.py", _ALLOWED, _ALLOWED + "            named=named,\n"),
            Edit("models/store/claims.py", _MAY, _MAY + "    named: Collection[UUID] = (),\n"),
            Edit("models/store/claims.py", _ROWS, _ROWS + "    rows = [row for row in rows if row.id in named]\n"),
            Edit("worker/keeper.py", _FOREVER, "    await stopping.wait()\n"),
        ),
        ("flushed",),
        "0 of 20 arrived",
    ),
    "nobody-tops-up": _broken("worker/keeper.py", "        keeper.wake,\n", "", ("flushed",), "0 of 20 arrived"),
    "status-by-arrival": _broken(
        "models/store/applying.py",
        _MERGE,
        "fact_column(fact): established.c[fact.value]",
        ("any-order",),
        "is OPENED with",
    ),
    "leaves-at-once": _broken(
        "worker/process.py", _DRAINED, "[True]", ("rolling-restart",), "are in doubt, though nothing was killed"
    ),
    "column-nobody-fills": _broken(
        f"{VERSIONS}/{_NEWEST}",
        _UPGRADES,
        _UPGRADES + _COLUMN,
        ("two-versions",),
        "record.broke",
    ),
    "waits-for-locks": _broken(
        "models/migrate.py",
        _LOCK_WAIT,
        "_LOCK_WAIT_MS: Final = 0",
        ("migration-under-load",),
        "while the migration waited for its lock",
    ),
    "broker-shunned": _broken(
        "worker/wakeups.py",
        "_REST_AFTER_FAILURE_S: Final = 0.5",
        "_REST_AFTER_FAILURE_S: Final = 60.0",
        ("redis-lost",),
        "s after the return",
    ),
    "refused-for-good": _broken(
        "api_shim/problems.py",
        'headers={"Retry-After": "1"}',
        "headers={}",
        ("database-lost", "storage-full"),
        "/problems/storage-unavailable', 503)",
    ),
    "answered-before-commit": _broken("models/acceptance.py", _STORING, _STORING_LATER, ("writer-killed",), "missing"),
    "refusal-tried-again": _broken(
        "channels/smtp_replies.py",
        "    if 500 <= code <= 599:\n",
        "    if False:\n",
        ("mail-peers",),
        "550 at RCPT: 2 of 2",
    ),
    "gone-tried-again": _broken("channels/webhook.py", "if status == 410:", "if False:", ("web-peers",), "410: 2 of 2"),
    "checked-then-looked-up-again": _broken(
        "channels/http_dial.py",
        "(str(address), port),",
        "(socket.gethostbyname(host), port),",
        ("web-peers",),
        "127.0.0.2:",
    ),
    "browser-never-gone": _broken(
        "channels/push.py",
        "_GONE: Final = (404, 410)",
        "_GONE: Final = ()",
        ("push-and-bot-peers",),
        "push 410: 2 of 2",
    ),
    "first-come": _broken(
        "models/store/turns.py",
        "first[group] = int(last_turn or 0) - count + 1",
        f"first[group] = {_NOW_HERE}",
        ("fairness",),
        "another's bulk got",
    ),
    "dies-once-more": _broken(
        "models/store/workers.py",
        "if row.crashes + 1 >= MOST_CRASHES:",
        "if row.crashes >= MOST_CRASHES:",
        ("poison",),
        "after 6 deaths it is",
    ),
    "ready-rows-without-their-index": _broken(
        "models/store/claim_rows.py",
        "    messages.c.turn.is_not(None),\n",
        "    (messages.c.turn + 0).is_not(None),\n",
        ("idle-rows",),
        "rows a claim reads",
    ),
    "due-by-own-clock": _broken(
        "models/store/keeping.py",
        "messages.c.due_at <= now_ms(),",
        f"messages.c.due_at <= bindparam(None, type_=BigInteger(), callable_=lambda: {_NOW_HERE} // 1_000),",
        ("clocks",),
        "came before its time",
    ),
    "lost-machine-keeps-its-lease": _broken(
        "models/store/workers.py",
        "LEASE_MS = 15_000",
        "LEASE_MS = 60_000",
        ("many-machines",),
        "it was not taken for dead in",
    ),
    "keeps-what-it-sent": _broken("worker/dispatch.py", _DROP, _DROP + _KEEP, ("memory",), "worker-1 grew by"),
}
