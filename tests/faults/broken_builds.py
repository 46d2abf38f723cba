"""Experiments on builds that are broken on purpose: one that finds nothing there would find nothing here either.

A broken build is a copy of the packages in which one text is another. An experiment runs against it as it always does,
in a process of its own that finds the copy first.
"""

import asyncio
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.experiment import Found, Place, Size
from tests.support.processes import free_environment

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("api_shim", "channels", "models", "wireroom", "worker")
_PATIENCE_S: Final = 240.0
_AT_ONCE: Final = 2


@dataclass(frozen=True)
class Broken:
    """A build in which ``new`` stands for ``old``, which ``file`` holds once. ``caught_by``: who must see it."""

    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]


_SEND: Final = "            ended = await route.runner.run(claim, route.prepared)\n"
_DONE: Final = "claim.id, claim.token, claim.run, claim.claimed_at, verdicts.State.DONE, verdicts.Outcome.ACCEPTED"
_LEASE: Final = "if self._lost or self._good_until - wakeful_clock() < MARGIN_S:"
_MERGE: Final = "fact_column(fact): least(fact_column(fact), established.c[fact.value], is_sqlite=is_sqlite)"
_DRAINED: Final = "await asyncio.gather(*(each.drain(_DRAIN_S) for each in self._dispatchers.values()))"
_LOCK_WAIT: Final = "_LOCK_WAIT_MS: Final = 500"
_INDEX_ENDS: Final = "        sqlite_where=undelivered,\n    )\n"
_COLUMN: Final = '    op.add_column("attempts", sa.Column("by", sa.Text(), nullable=False))\n'
_STORING: Final = """\
        async with self._database.write() as connection:
            stored = await store.store(connection, [message for _, message, _ in new])
"""
_STORING_LATER: Final = """\
        connection = await self._database.engine.connect()
        transaction = await connection.begin()
        stored = await store.store(connection, [message for _, message, _ in new])

        async def commit():
            await asyncio.sleep(0.5)
            await transaction.commit()
            await connection.close()

        self.__dict__.setdefault("later", []).append(asyncio.create_task(commit()))
"""
_NOW_HERE: Final = '__import__("time").time_ns() // 1_000'
_DROP: Final = "        self._services.hand.drop(ended.message_id)\n"
_KEEP: Final = '        self.__dict__.setdefault("kept", []).append(b"x" * 65_536)\n'

BUILDS: Final = {
    "sent-twice": Broken(
        "worker/dispatch.py",
        _SEND,
        f"            await route.runner.run(claim, route.prepared)\n{_SEND}",
        ("random-kills",),
    ),
    "doubt-unmarked": Broken(
        "models/store/workers.py",
        "if row.on_unknown != OnUnknown.HOLD.value or row.begun",
        "if False",
        ("crash-points",),
    ),
    "recorded-before-sent": Broken(
        "worker/dispatch.py",
        _SEND,
        f"            await self._services.recorder.submit(Ended({_DONE}))\n{_SEND}",
        ("killed-and-woken",),
    ),
    "no-token": Broken(
        "models/store/outcomes.py", "            messages.c.token == ended.c.token,\n", "", ("explorer",)
    ),
    "no-lease-check": Broken("worker/leases.py", _LEASE, "if False:", ("killed-and-woken",)),
    "no-keeper": Broken(
        "worker/keeper.py",
        "await asyncio.gather(*(_repeat(duty, stopping) for duty in duties))",
        "await stopping.wait()",
        ("flushed",),
    ),
    "nobody-tops-up": Broken("worker/keeper.py", "        keeper.wake,\n", "", ("flushed",)),
    "status-by-arrival": Broken(
        "models/store/applying.py", _MERGE, "fact_column(fact): established.c[fact.value]", ("any-order",)
    ),
    "leaves-at-once": Broken("worker/process.py", _DRAINED, "[True]", ("rolling-restart",)),
    "column-nobody-fills": Broken(
        "models/migrations/versions/r0005_retention.py", _INDEX_ENDS, _INDEX_ENDS + _COLUMN, ("two-versions",)
    ),
    "waits-for-locks": Broken("models/migrate.py", _LOCK_WAIT, "_LOCK_WAIT_MS: Final = 0", ("migration-under-load",)),
    "broker-shunned": Broken(
        "worker/wakeups.py",
        "_REST_AFTER_FAILURE_S: Final = 0.5",
        "_REST_AFTER_FAILURE_S: Final = 60.0",
        ("redis-lost",),
    ),
    "refused-for-good": Broken(
        "api_shim/problems.py", 'headers={"Retry-After": "1"}', "headers={}", ("database-lost", "storage-full")
    ),
    "answered-before-commit": Broken("api_shim/intake.py", _STORING, _STORING_LATER, ("writer-killed",)),
    "refusal-tried-again": Broken(
        "channels/smtp_replies.py", "    if 500 <= code <= 599:\n", "    if False:\n", ("mail-peers",)
    ),
    "gone-tried-again": Broken("channels/webhook.py", "if status == 410:", "if False:", ("web-peers",)),
    "browser-never-gone": Broken(
        "channels/push.py", "_GONE: Final = (404, 410)", "_GONE: Final = ()", ("push-and-bot-peers",)
    ),
    "first-come": Broken(
        "models/store/turns.py",
        "first[group] = int(last_turn or 0) - count + 1",
        f"first[group] = {_NOW_HERE}",
        ("fairness",),
    ),
    "dies-once-more": Broken(
        "models/store/workers.py",
        "if row.crashes + 1 >= MOST_CRASHES:",
        "if row.crashes >= MOST_CRASHES:",
        ("poison",),
    ),
    "ready-rows-without-their-index": Broken(
        "models/store/claim_rows.py",
        "    messages.c.turn.is_not(None),\n",
        "    (messages.c.turn + 0).is_not(None),\n",
        ("idle-rows",),
    ),
    "due-by-own-clock": Broken(
        "models/store/keeping.py",
        "messages.c.due_at <= now_ms(),",
        f"messages.c.due_at <= bindparam(None, type_=BigInteger(), callable_=lambda: {_NOW_HERE} // 1_000),",
        ("clocks",),
    ),
    "keeps-what-it-sent": Broken("worker/dispatch.py", _DROP, _DROP + _KEEP, ("memory",)),
}
_SHORT: Final = (("no-token", "explorer"),)


async def run(place: Place, size: Size) -> Found:
    """Run each build against the experiments that must catch it."""
    every = tuple((name, experiment) for name, build in BUILDS.items() for experiment in build.caught_by)
    pairs = _SHORT if size is Size.SHORT else every
    for name in dict.fromkeys(name for name, _ in pairs):
        make(place.folder / name, BUILDS[name])
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, experiment: str) -> list[str]:
        async with gate:
            place.say(f"{name}, {experiment}")
            return await _caught(place.folder / name, experiment, place.seed)

    results = await asyncio.gather(*(one(*pair) for pair in pairs))
    figures: dict[str, dict[str, Any]] = {}
    faults = []
    for (name, experiment), found in zip(pairs, results, strict=True):
        figures.setdefault(name, {})[experiment] = found[0] if found else "nothing"
        if not found:
            faults.append(f"{experiment} finds nothing wrong with a build of the sort {name}")
    return Found(figures, faults)


def make(folder: Path, broken: Broken) -> None:
    """Copy the packages to ``folder``, with one text replaced; raises ValueError where that is not there once."""
    source = changed(broken)
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / broken.file).write_text(source)


def changed(broken: Broken) -> str:
    """The file as the build has it; raises ValueError where what is to be replaced is not there once."""
    source = (_ROOT / broken.file).read_text()
    if source.count(broken.old) != 1:
        raise ValueError(f"{broken.file} holds what is to be replaced {source.count(broken.old)} times, not once")
    return source.replace(broken.old, broken.new)


async def _caught(build: Path, experiment: str, seed: int) -> list[str]:
    """What the experiment finds wrong with the build; raises RuntimeError where it comes to no end."""
    lines, said = build / f"{experiment}.jsonl", build / f"{experiment}.log"
    options = ("--size", Size.SHORT.value, "--seed", str(seed), "--only", experiment, "--json", str(lines))
    path = f"{build}:{_ROOT}"
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.run", *options),
            cwd=build,
            env={**free_environment(), "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": ""},
            stdout=log,
            stderr=log,
        )
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    if not lines.exists():
        raise RuntimeError(f"{experiment} of {build.name} came to no end:\n{said.read_text()[-2000:]}")
    found = json.loads(lines.read_text().splitlines()[-1])
    return [str(fault) for fault in found["faults"]]
