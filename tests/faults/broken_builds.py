"""Experiments on builds that are broken on purpose: one that finds nothing there would find nothing here either.

A broken build is a copy of the packages in which a text or some are others. An experiment runs against it as it always
does, in a process of its own that finds the copy first; what it must find is written down beside the build, in
``builds``. An experiment that breaks off has found nothing.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.faults import source_tree
from tests.faults.builds import BUILDS, Broken
from tests.faults.experiment import BROKE_OFF, Found, Place, Size
from tests.support.processes import free_environment

_PATIENCE_S: Final = 300.0
_AT_ONCE: Final = 2


_SHORT: Final = (("no-token", "explorer"),)


async def run(place: Place, size: Size) -> Found:
    """Run each build against the experiments that must catch it."""
    every = tuple((name, experiment) for name, build in BUILDS.items() for experiment in build.caught_by)
    pairs = _SHORT if size is Size.SHORT else every
    for name in dict.fromkeys(name for name, _ in pairs):
        make(place.folder / name, BUILDS[name])
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, experiment: str) -> _Caught:
        async with gate:
            place.say(f"{name}, {experiment}")
            return await _caught(place.folder / name, experiment, place.seed)

    results = await asyncio.gather(*(one(*pair) for pair in pairs))
    figures: dict[str, dict[str, Any]] = {}
    faults = []
    left_out = []
    for (name, experiment), (found, why_not) in zip(pairs, results, strict=True):
        shows = BUILDS[name].shows
        left_out += [f"{name}, {experiment}: {each}" for each in why_not]
        seen = next((fault for fault in found if shows in fault and not fault.startswith(BROKE_OFF)), None)
        figures.setdefault(name, {})[experiment] = seen or "nothing"
        if seen is None and not why_not:
            faults.append(
                f"{experiment} of a build of the sort {name} does not find {shows!r}, but {found or 'nothing'}"
            )
    return Found(figures, faults, left_out=left_out)


def make(folder: Path, broken: Broken) -> None:
    """Copy the packages to ``folder``, with its edits; raises ValueError where one of them cannot be made."""
    for package in source_tree.PACKAGES:
        shutil.copytree(source_tree.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, source in changed(broken).items():
        (folder / file).write_text(source)


def changed(broken: Broken) -> dict[str, str]:
    """The files as the build has them; raises ValueError where what is to be replaced is not there once."""
    files = {file: (source_tree.ROOT / file).read_text() for file, _, _ in broken.edits}
    for file, old, new in broken.edits:
        if files[file].count(old) != 1:
            raise ValueError(f"{file} holds what is to be replaced {files[file].count(old)} times, not once: {old}")
        files[file] = files[file].replace(old, new)
    return files


class _Caught(NamedTuple):
    """What an experiment finds wrong with a build, and what of it could not be tried here."""

    faults: list[str]
    left_out: Sequence[str] = ()


async def _caught(build: Path, experiment: str, seed: int) -> _Caught:
    lines, said = build / f"{experiment}.jsonl", build / f"{experiment}.log"
    options = ("--size", Size.SHORT.value, "--seed", str(seed), "--only", experiment, "--json", str(lines))
    path = f"{build}:{source_tree.ROOT}"
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
        except TimeoutError:
            return _Caught([f"{BROKE_OFF}no end after {_PATIENCE_S:.0f} s"])
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    if not lines.exists():
        return _Caught([f"{BROKE_OFF}{' '.join(said.read_text(errors='replace')[-2000:].split())}"])
    found = json.loads(lines.read_text().splitlines()[-1])
    return _Caught([str(fault) for fault in found["faults"]], found["left_out"])
