"""E6: SQLite's disk takes no more, and is read-only. Every 200 survives, a 503 says the rest, and the file is whole.

What it would catch: an answer before the commit, a 500 for SQLite's words, a process that ends because it cannot
write, a house that must be restarted once there is room. Read-only is met by processes that start: while one of them
has the file open, Linux makes no file system read-only.
"""

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.vocabulary import Channel
from tests.faults import rig, small_disk, sqlite_file, traffic
from tests.faults.experiment import Found, Place, Size
from tests.faults.rig import Rig
from tests.faults.small_disk import SmallDisk
from tests.support.waiting import wait_until
from wireroom.up import API, KEEPER, worker_service

_CHANNELS: Final = (Channel.WEBHOOK, Channel.ONSITE)
_MEGABYTES: Final = 16
_HARMED_S: Final = 60.0
_ARRIVE_S: Final = 60.0
_WRITERS: Final = (API, worker_service(1), KEEPER, rig.SECOND_KEEPER)


@dataclass(frozen=True)
class _Amount:
    """How often it is full in each way, and read-only; for how many seconds at most."""

    full: int
    read_only: int
    longest_s: float


# In short nothing is started twice: processes cost most of the time.
_SIZES: Final = {
    Size.SHORT: _Amount(full=1, read_only=0, longest_s=0.5),
    Size.MINUTES: _Amount(full=3, read_only=1, longest_s=traffic.LONGEST_AWAY_S),
    Size.FULL: _Amount(full=20, read_only=5, longest_s=traffic.LONGEST_AWAY_S),
}


@dataclass
class _Scene(traffic.Harmed):
    """A house; ``disk``: what its database is on, in ``folder``; None where nothing could be mounted."""

    folder: Path = field(kw_only=True)
    disk: SmallDisk | None = field(kw_only=True)
    refusals: list[str] = field(default_factory=list)

    async def refuses(self, harm: str) -> None:
        """The same, counted."""
        await super().refuses(harm)
        self.refusals.append(harm)


async def run(place: Place, size: Size) -> Found:
    """Let nothing be written for a while, in three ways, while messages come."""
    amount = _SIZES[size]
    folder = place.folder / "small"
    folder.mkdir()
    path = folder / "full.db"
    with small_disk.mounted(folder, megabytes=_MEGABYTES) as disk:
        async with rig.opened(place.folder, f"sqlite:///{path}", seed=place.seed, workers=1, contacts=10) as house:
            scene = _Scene(house, amount.longest_s, folder=folder, disk=disk)
            async with traffic.flowing(house, _CHANNELS, clients=1 if size is Size.SHORT else 4):
                for number in range(amount.full):
                    place.say(f"full, {number + 1} of {amount.full}")
                    await _out_of_file_size(scene)
                    if disk is not None:
                        await _out_of_room(scene, disk)
                died = sum(house.stack.supervisor.restarts(service.name) for service in _WRITERS)
                for number in range(amount.read_only):
                    place.say(f"read-only, {number + 1} of {amount.read_only}")
                    await _read_only(scene)
            if not await traffic.all_arrived(house, _CHANNELS, _ARRIVE_S):
                scene.faults.append("something promised never arrived")
            scene.faults += await traffic.settled(house, _ARRIVE_S)
            scene.faults += await asyncio.to_thread(sqlite_file.damage, path)
    if died:
        scene.faults.append(f"{died} processes ended because they could not write")
    return _found(scene)


async def _out_of_file_size(scene: _Scene) -> None:
    """No file may become longer, by the processes' own limit: what needs no right at all to bring about."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    writers = [process for service in _WRITERS for process in scene.house.family(service.name)]
    for process in writers:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        await scene.refuses("file size")
    finally:
        for process in writers:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    await scene.resumes()


async def _out_of_room(scene: _Scene, disk: SmallDisk) -> None:
    """The disk is full to the last byte."""
    disk.fill()
    try:
        await scene.refuses("disk full")
    finally:
        disk.free()
    await scene.resumes()


async def _read_only(scene: _Scene) -> None:
    """Who starts finds nothing to write on, waits, and goes on by itself once there is."""
    house = scene.house
    await house.quiesce(_ARRIVE_S)
    await house.stack.supervisor.stop(*(service.name for service in _WRITERS))
    await house.database.close()
    with _unwritable(scene):
        for service in _WRITERS:
            house.stack.supervisor.start(service)
        await wait_until(lambda: _listens(house), timeout=_HARMED_S, interval=0.1)
        await scene.refuses("read-only")
    await scene.resumes()


@contextlib.contextmanager
def _unwritable(scene: _Scene) -> Iterator[None]:
    """The small disk's mount is read-only, or the rights are gone where we are not root, whom those do not bind."""
    if scene.disk is not None:
        scene.disk.set_read_only(True)
        try:
            yield
        finally:
            scene.disk.set_read_only(False)
        return
    files = [scene.folder, *scene.folder.iterdir()]
    modes = [file.stat().st_mode for file in files]
    for file, mode in zip(files, modes, strict=True):
        file.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for file, mode in zip(files, modes, strict=True):
            file.chmod(mode)


async def _listens(house: Rig) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", house.stack.api.port)
        writer.close()
        return True
    return False


def _found(scene: _Scene) -> Found:
    promises = scene.house.promises
    figures = {
        "messages": traffic.accepted(scene.house),
        "refused_as": {harm: scene.refusals.count(harm) for harm in sorted(set(scene.refusals))},
        "answers": dict(sorted(promises.answers.items())),
        "resumed_s_at_most": round(max(scene.resumed_s), 1),
    }
    left_out = [] if scene.disk else [small_disk.LEFT_OUT]
    return Found(figures, scene.faults, left_out)
