"""``make faults`` and ``make faults-full``: every experiment, a JSON line each, and a table of them all.

``python -m tests.faults.run [--size minutes] [--seed N] [--only NAME]… [--json FILE]``; ends 1 where one found a fault
or broke off, and where something was left out of the full size. The lines go to a new file in ``.faults/``. Those that
wait more than they work go first, side by side.
The seed is printed: the same one makes the same choices, though not the same timing.
"""

import argparse
import asyncio
import json
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.faults import (
    abreast,
    broken_builds,
    clocks,
    crash_points,
    database_lost,
    deploys,
    explorer,
    fairness,
    house_log,
    idle_rows,
    mail_peers,
    many_machines,
    memory,
    poison,
    push_bot_peers,
    random_kills,
    redis_lost,
    sqlite_killed,
    storage_full,
    targeted,
    told,
    versions,
    web_peers,
)
from tests.faults.experiment import BROKE_OFF, Experiment, Found, Place, Size
from tests.support import postgres, processes

EXPERIMENTS: Final[Mapping[str, Experiment]] = {
    "random-kills": random_kills.run,
    "crash-points": crash_points.run,
    "explorer": explorer.run,
    "killed-and-woken": targeted.killed_and_woken,
    "flushed": targeted.flushed,
    "any-order": targeted.any_order,
    "rolling-restart": deploys.run,
    "two-versions": versions.two_versions,
    "migration-under-load": versions.migration_under_load,
    "redis-lost": redis_lost.run,
    "database-lost": database_lost.run,
    "writer-killed": sqlite_killed.run,
    "storage-full": storage_full.run,
    "mail-peers": mail_peers.run,
    "web-peers": web_peers.run,
    "push-and-bot-peers": push_bot_peers.run,
    "fairness": fairness.run,
    "idle-rows": idle_rows.run,
    "poison": poison.run,
    "clocks": clocks.run,
    "memory": memory.run,
    "told": told.run,
    "many-machines": many_machines.run,
    "broken-builds": broken_builds.run,
}
_FOLDER: Final = Path(".faults")
_WIDTH: Final = 70
_WORDS: Final = 600
_INTERRUPTED: Final = 130


def main() -> int:
    """Run what was asked for; the exit code. What ran before an interrupt is shown all the same."""
    asked = _asked()
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    console.print(f"seed {asked.seed}, lines in {asked.json}")
    table = Table("experiment", "s", "figures", "left out", "faults", title=f"Faults, {asked.size}")
    clean = True
    try:
        for name, took_s, found in _every(console, asked):
            clean = clean and not found.faults and not (asked.size is Size.FULL and found.left_out)
            _show(table, name, took_s, found)
    except KeyboardInterrupt:
        console.print("interrupted")
        return _INTERRUPTED
    finally:
        console.print(table)
    return 0 if clean else 1


async def conduct(experiment: Experiment, place: Place, size: Size) -> Found:
    """One experiment; what its house complained of in its log is a fault, too."""
    try:
        found = await experiment(place, size)
    except Exception as error:  # noqa: BLE001 - the others are to run all the same
        found = Found({}, [f"{BROKE_OFF}{_told(error)}"])
    found.faults.extend(house_log.complaints(place.folder, found.provoked))
    return found


def _asked() -> argparse.Namespace:
    now = datetime.now(UTC)
    parser = argparse.ArgumentParser(description="Faults on purpose, and what comes of them.")
    parser.add_argument("--size", type=Size, default=Size.MINUTES, choices=list(Size))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--only", action="append", choices=sorted(EXPERIMENTS))
    parser.add_argument("--json", type=Path, default=_FOLDER / f"{now:%Y%m%dT%H%M%S%f}Z.jsonl")
    return parser.parse_args()


def _every(console: Console, asked: argparse.Namespace) -> Iterator[tuple[str, float, Found]]:
    """Each experiment's name, seconds and findings; the lines are written."""
    names = asked.only or list(EXPERIMENTS)
    patient = [name for name in names if name in abreast.PATIENT] if len(names) > 1 else []
    if patient:
        options = ("--size", asked.size, "--seed", str(asked.seed))
        with console.status(f"side by side: {', '.join(patient)}"):
            for name, line in abreast.lines_of(patient, options, asked.json):
                console.print(f"{name} has ended")
                yield name, *_read(line)
    alone = [name for name in names if name not in patient]
    if not alone:
        return
    with postgres.running() as server:
        for name in alone:
            began = time.monotonic()
            found = _one(console, name, server, asked.seed, asked.size)
            took_s = round(time.monotonic() - began, 1)
            _note(asked, name, took_s, found)
            yield name, took_s, found


def _read(line: Mapping[str, Any] | None) -> tuple[float, Found]:
    if line is None:
        return 0.0, Found({}, [f"{BROKE_OFF}it wrote no line; its log is beside the others' lines"])
    return line["seconds"], Found(line["figures"], line["faults"], line["left_out"])


def _one(console: Console, name: str, server: postgres.PostgresServer, seed: int, size: Size) -> Found:
    with (
        tempfile.TemporaryDirectory(prefix="wr-", dir=processes.quick_root()) as folder,
        console.status(name) as status,
    ):
        place = Place(Path(folder), server, seed, lambda said: status.update(f"{name}: {said}"[:_WIDTH]))
        return asyncio.run(conduct(EXPERIMENTS[name], place, size))


def _told(error: BaseException) -> str:
    """Its type and its words; those of what it gathers, where it gathers some."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(each) for each in error.exceptions)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_WORDS]


def _note(asked: argparse.Namespace, name: str, took_s: float, found: Found) -> None:
    line = {"experiment": name, "size": asked.size, "seed": asked.seed, "seconds": took_s}
    came = {"figures": found.figures, "left_out": found.left_out, "faults": found.faults}
    with asked.json.open("a") as lines:
        lines.write(json.dumps(line | came) + "\n")


def _show(table: Table, name: str, took_s: float, found: Found) -> None:
    shown = "\n".join(f"{each} {json.dumps(value)}" for each, value in found.figures.items())
    left_out, faults = ("\n".join(words) or "none" for words in (found.left_out, found.faults))
    table.add_row(name, f"{took_s:.0f}", *(escape(words) for words in (shown, left_out, faults)))


if __name__ == "__main__":
    sys.exit(main())
