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

BUILDS: Final = {
    "recorded-before-sent": Broken(
        "worker/dispatch.py",
        _SEND,
        f"            await self._services.recorder.submit(Ended({_DONE}))\n{_SEND}",
        ("killed-in-hand",),
    ),
    "no-token": Broken(
        "models/store/outcomes.py", "            messages.c.token == ended.c.token,\n", "", ("explorer",)
    ),
    "no-lease-check": Broken("worker/leases.py", _LEASE, "if False:", ("woken",)),
    "no-keeper": Broken(
        "worker/keeper.py",
        "await asyncio.gather(*(_repeat(duty, stopping) for duty in duties))",
        "await stopping.wait()",
        ("killed-in-hand", "flushed"),
    ),
    "nobody-tops-up": Broken("worker/keeper.py", "        keeper.wake,\n", "", ("flushed",)),
    "status-by-arrival": Broken(
        "models/store/applying.py", _MERGE, "fact_column(fact): established.c[fact.value]", ("any-order",)
    ),
}
_EXPERIMENTS: Final = ("explorer", "killed-in-hand", "woken", "flushed", "any-order")
_SHORT: Final = (("no-token", "explorer"),)


async def run(place: Place, size: Size) -> Found:
    """Run each build against the experiments that must catch it; in full, against all of them."""
    pairs = {
        Size.SHORT: _SHORT,
        Size.MINUTES: tuple((name, build.caught_by[0]) for name, build in BUILDS.items()),
        Size.FULL: tuple((name, experiment) for name in BUILDS for experiment in _EXPERIMENTS),
    }[size]
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
        if not found and experiment in BUILDS[name].caught_by:
            faults.append(f"{experiment} finds nothing wrong with a build of the sort {name}")
    return Found(figures, faults)


def make(folder: Path, broken: Broken) -> None:
    """Copy the packages to ``folder``, with one text replaced; raises ValueError where that is not there once."""
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / broken.file
    source = path.read_text()
    if source.count(broken.old) != 1:
        raise ValueError(f"{broken.file} holds what is to be replaced {source.count(broken.old)} times, not once")
    path.write_text(source.replace(broken.old, broken.new))


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
