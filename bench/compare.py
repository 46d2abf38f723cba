"""What every row does: two sides in alternation, and bare loops as processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from bench.errors import BenchFailed
from bench.floors.task import Done
from bench.machine import Cores
from bench.processes import Children, pinned

_PROCESS: Final = "bare loop"
_FLOOR_S: Final = 300.0

T = TypeVar("T")
Take = Callable[[], Awaitable[T]]
"""Takes the figures of one side of one pair."""


async def alternate(pairs: int, ours: Take[T], against: Take[T], say: Callable[[str], None]) -> tuple[list[T], list[T]]:
    """Both sides' figures, ``pairs`` of each.

    Whoever was first comes second next, so that a machine that gets slower or faster favours neither.
    """
    taken: tuple[list[T], list[T]] = ([], [])
    for number in range(pairs):
        sides = [(ours, taken[0], "ours"), (against, taken[1], "the other side")]
        for take, figures, name in sides if number % 2 else sides[::-1]:
            say(f"pair {number + 1} of {pairs}, {name}")
            figures.append(await take())
    return taken


async def bare(children: Children, cores: Cores, module: str, task: msgspec.Struct) -> Done:
    """Run a bare loop with its task on the sending core, where the worker is idle meanwhile; raises BenchFailed."""
    log = children.log_path(_PROCESS)
    log.unlink(missing_ok=True)
    with pinned(cores.sending):
        command = [sys.executable, "-P", "-m", module, msgspec.json.encode(task).decode()]
        process = children.start(_PROCESS, command)
    try:
        status = await asyncio.to_thread(process.wait, _FLOOR_S)
    except subprocess.TimeoutExpired:
        raise BenchFailed(f"{module} did not end within {_FLOOR_S:.0f} s") from None
    finally:
        children.stop(process)
    if status:
        raise BenchFailed(f"{module} failed:\n{children.log_tail(_PROCESS)}")
    return msgspec.json.decode(log.read_bytes(), type=Done)
