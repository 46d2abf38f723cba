"""The keeper: one loop that makes good whatever was lost. Safe to run twice, bounded work per turn.

Its only clock is the database's; its own monotonic one only says that its turns were unbroken.
"""

from models import light_start

if __name__ == "__main__":
    light_start.begin()
    light_start.load_libraries()

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

import structlog
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from models import logs
from models.errors import StorageUnavailable
from models.metrics import Process
from models.session import Database
from models.settings import StorageSettings
from models.store import campaigns, clock, endpoints, erasing, hook_tokens, keeping, workers
from models.store.turns import Group
from worker import settings, work
from worker.alarms import Alarms
from worker.folding import Folder
from worker.retention import Pruner
from worker.settings import MetricsSettings
from worker.telemetry import KeepingMeter, answering
from worker.wakeups import Wakeups
from worker.watching import DeathWatch, SetBack

log = structlog.get_logger(__name__)

_TURN_S: Final = 1.0
_UNHURRIED_S: Final = 10.0
"""Between looks at things of minutes and days ago."""
_BATCH: Final = 1000
_ERASED_AT_ONCE: Final = 200
# Longer than any intake that read the contact before, and any send that had begun, can take.
_ERASED_FOR_MS: Final = 900_000
_JOBS_ENOUGH: Final = 4
_DAY_MS: Final = 86_400_000
_KEYS_KEPT_MS: Final = 3 * _DAY_MS
# An hour longer than any provider repeats a request under the same token.
_TOKENS_KEPT_MS: Final = 10 * 3_600_000
_ROUNDS: Final = 20
_PATIENCE_S: Final = 60.0


class Keeper:
    """The duties. Each is done once a turn, in transactions of bounded work, and fails for itself alone."""

    def __init__(self, database: Database, wakeups: Wakeups, meter: KeepingMeter | None = None) -> None:
        self._database = database
        self._wakeups = wakeups
        self._meter = meter or KeepingMeter()
        self._watch = DeathWatch()
        self._set_back = SetBack()
        self._readying = asyncio.Lock()

    async def rescue(self) -> None:
        """Declare workers dead whose lease stood still, and take what dead ones have out of their hands."""
        async with self._database.look() as connection:
            beats = await workers.heartbeats(connection, workers.LEASE_MS)
            abandoned = await workers.abandoned(connection)
        stale = min((beat.id for beat in beats if beat.stale), default=None)
        if stale is not None:
            # Who lives cannot renew a lease while nothing can be written, though reading goes on: no turn then.
            async with self._database.write() as connection:
                await workers.touch(connection, stale)
        for beat in self._watch.look(beats, time.monotonic()):
            async with self._database.write() as connection:
                if await workers.declare_dead(connection, beat.id, beat.renewed_at):
                    await self._take_back(connection, beat.id)
        for worker_id in abandoned:
            async with self._database.write() as connection:
                await self._take_back(connection, worker_id)

    async def _take_back(self, connection: AsyncConnection, worker_id: UUID) -> None:
        rescued = await workers.rescue(connection, worker_id)
        self._meter.rescued(rescued)
        log.warning("keeper.worker_lost", worker=str(worker_id), rescued=rescued)

    async def ready(self) -> None:
        """Ready what is due, each workspace's lane for itself, so that none waits for another's million."""
        async with self._readying:
            groups, set_back = await self._groups_due()
            if set_back:
                await self._follow_clock()
                groups, _ = await self._groups_due()
            for _ in range(_ROUNDS):
                more = []
                for group in groups:
                    async with self._database.write() as connection:
                        if await keeping.ready_due(connection, group, _BATCH) == _BATCH:
                            more.append(group)
                groups = more

    async def _groups_due(self) -> tuple[Sequence[Group], bool]:
        """What is due, and whether the database's clock was set back since it was read last."""
        async with self._database.look() as connection:
            now_ms = await clock.read(connection)
            groups = await keeping.groups_due(connection)
        return groups, self._set_back.look(now_ms, time.monotonic())

    async def _follow_clock(self) -> None:
        for _ in range(_ROUNDS):
            async with self._database.write() as connection:
                followed = await keeping.follow_clock(connection, _BATCH)
            if followed:
                log.warning("keeper.clock_set_back", brought_after=followed)
            if followed < _BATCH:
                return

    async def expire(self) -> None:
        """Fail what was not sent in time."""
        for _ in range(_ROUNDS):
            async with self._database.write_at_once() as connection:
                if await keeping.expire(connection, _BATCH) < _BATCH:
                    return

    async def settle(self) -> None:
        """Let the messages of campaigns that were paused, resumed or cancelled follow, each campaign for itself.

        Were those that go on to wait for the turns of two more duties, a person would notice.
        """
        async with self._database.look() as connection:
            behind = await campaigns.unsettled(connection)
        if not behind:
            return
        for _ in range(_ROUNDS):
            more = []
            for campaign_id in behind:
                async with self._database.write() as connection:
                    if await campaigns.settle(connection, campaign_id, _BATCH) == _BATCH:
                        more.append(campaign_id)
            behind = more
        await self.ready()
        await self.wake()

    async def wake(self) -> None:
        """Top up the wake-ups of every lane with work, unless enough of them wait to be taken already."""
        for actor, lane in await work.waiting(self._database):
            depth = await self._wakeups.depth(actor, lane)
            if depth is not None and depth < _JOBS_ENOUGH:
                await self._wakeups.top_up(actor, lane)

    async def erase(self) -> None:
        """Look once more at people who were erased a while ago: a message or an answer may have been on its way."""
        async with self._database.look() as connection:
            unfinished = await erasing.unfinished(connection, _ERASED_FOR_MS, _BATCH)
        for workspace_id, contact_id in unfinished:
            wiped = _ERASED_AT_ONCE
            while wiped == _ERASED_AT_ONCE:
                async with self._database.write() as connection:
                    found = await erasing.wipe(connection, workspace_id, contact_id, after=None, most=_ERASED_AT_ONCE)
                    wiped = len(found)
                    if wiped < _ERASED_AT_ONCE:
                        await erasing.finish(connection, workspace_id, contact_id)

    async def offer(self) -> None:
        """Offer events that were put aside to the tracker: hits that have settled, what matched no message yet."""
        for _ in range(_ROUNDS):
            async with self._database.write_at_once() as connection:
                if await keeping.retry_parked_events(connection, _BATCH) < _BATCH:
                    return

    async def tidy(self) -> None:
        """Remove what is kept no longer."""
        async with self._database.write() as connection:
            await keeping.forget_keys(connection, _KEYS_KEPT_MS, _BATCH)
            await hook_tokens.forget(connection, _TOKENS_KEPT_MS, _BATCH)
            await workers.forget(connection, _DAY_MS)
            await endpoints.forget(connection)


async def _repeat(
    duty: Callable[[], Awaitable[None]], stopping: asyncio.Event, meter: KeepingMeter, pause_s: float
) -> None:
    """Do one duty again and again, with a pause between, until it is time to stop."""
    while not stopping.is_set():
        began = time.monotonic()
        outcome = "done"
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await duty()
        except (StorageUnavailable, TimeoutError):
            outcome = "no_database"
            log.warning("keeper.no_database", duty=duty.__name__)
        except Exception:
            # The other duties must go on; this one is tried again.
            outcome = "broke"
            log.exception("keeper.duty_broke", duty=duty.__name__)
        meter.turned(duty.__name__, outcome, time.monotonic() - began)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)


async def keep(storage: StorageSettings, metrics: MetricsSettings | None, audit_days: int) -> None:
    """Do every duty, each at its own pace, until SIGTERM or SIGINT. ``audit_days``: as long is the audit log kept."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    database = Database.connect(storage.database_url, pool_size=5)
    wakeups = Wakeups(storage.redis_url)
    meter = KeepingMeter()
    keeper = Keeper(database, wakeups, meter)
    folder = Folder(database)
    pruner = Pruner(database, audit_days)
    alarms = Alarms(database)
    server = answering(metrics, [Process("keeper"), *meter.families])
    # Apart: slow work must not keep the watch from looking, nor the wake-ups from going out.
    duties = (
        keeper.rescue,
        keeper.wake,
        keeper.ready,
        keeper.expire,
        keeper.settle,
        folder.count,
        keeper.offer,
        pruner.prune,
        alarms.late_lanes,
        alarms.conservation,
    )
    unhurried = (keeper.erase, keeper.tidy)
    await asyncio.gather(
        *(_repeat(duty, stopping, meter, _TURN_S) for duty in duties),
        *(_repeat(duty, stopping, meter, _UNHURRIED_S) for duty in unhurried),
    )
    if server is not None:
        await server.stop()
    await asyncio.to_thread(wakeups.close)
    await database.close()


def main() -> None:
    """Run the keeper until it is told to stop."""
    storage = StorageSettings.read()
    logs.configure(storage.log_level, storage.log_format)
    uvloop.run(keep(storage, MetricsSettings.read(), settings.audit_days()))


if __name__ == "__main__":
    main()
