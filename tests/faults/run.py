"""``make faults`` and ``make faults-full``: every experiment, a JSON line each, and a table of them all.

``python -m tests.faults.run [--size minutes] [--seed N] [--only NAME]… [--json FILE]``; ends 1 where one found a fault.
The seed is printed: the same one makes the same choices, though not the same timing.
"""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.faults import (
    broken_builds,
    clocks,
    crash_points,
    database_lost,
    deploys,
    explorer,
    fairness,
    idle_rows,
    mail_peers,
    memory,
    poison,
    push_bot_peers,
    random_kills,
    redis_lost,
    sqlite_killed,
    storage_full,
    targeted,
    versions,
    web_peers,
)
from tests.faults.experiment import Experiment, Found, Place, Size
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
    "broken-builds": broken_builds.run,
}
_WIDTH: Final = 70


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description="Faults on purpose, and what comes of them.")
    parser.add_argument("--size", type=Size, default=Size.MINUTES, choices=list(Size))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--only", action="append", choices=sorted(EXPERIMENTS))
    parser.add_argument("--json", type=Path, default=Path("faults.jsonl"))
    asked = parser.parse_args()
    console = Console()
    console.print(f"seed {asked.seed}")
    table = Table("experiment", "s", "figures", "faults", title=f"Faults, {asked.size}")
    clean = True
    with postgres.running() as server:
        for name in asked.only or EXPERIMENTS:
            began = time.monotonic()
            found = _one(console, name, server, asked.seed, asked.size)
            took_s = round(time.monotonic() - began, 1)
            clean = clean and not found.faults
            line = {"experiment": name, "size": asked.size, "seed": asked.seed, "seconds": took_s}
            with asked.json.open("a") as lines:
                lines.write(json.dumps(line | {"figures": found.figures, "faults": found.faults}) + "\n")
            shown = "\n".join(f"{each} {json.dumps(value)}" for each, value in found.figures.items())
            table.add_row(name, f"{took_s:.0f}", shown, "\n".join(found.faults) or "none")
    console.print(table)
    return 0 if clean else 1


def _one(console: Console, name: str, server: postgres.PostgresServer, seed: int, size: Size) -> Found:
    with (
        tempfile.TemporaryDirectory(prefix="wr-", dir=processes.quick_root()) as folder,
        console.status(name) as status,
    ):
        place = Place(Path(folder), server, seed, lambda said: status.update(f"{name}: {said}"[:_WIDTH]))
        return asyncio.run(EXPERIMENTS[name](place, size))


if __name__ == "__main__":
    sys.exit(main())
