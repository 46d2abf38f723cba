"""Everything that lives on the event loop of one worker process, from its first claim to its last record."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final

import structlog

from channels import registry, vapid
from channels.senders import TYPES, SenderMaker
from channels.settings import ChannelSettings
from models.errors import StorageUnavailable
from models.metrics import Process
from models.resealing import reseal
from models.secrets import Keyring, load_keyring, load_own
from models.session import Database
from models.settings import StorageSettings
from models.store.sealed import SENDERS
from models.vocabulary import Channel, Lane
from worker import limits, queues, senders, telemetry, traces, tracker, work
from worker.courier import Courier
from worker.dispatch import Dispatcher
from worker.endpoint_rates import EndpointRates
from worker.hand import Hand
from worker.leases import Lease
from worker.paces import Paces
from worker.quota import Quota, rate
from worker.services import Services, beginner, recorder
from worker.settings import WorkerSettings
from worker.wakeups import SUSPECTS, Wakeups

log = structlog.get_logger(__name__)

_DRAIN_S: Final = 30.0
_WAIT_FOR_DATABASE_S: Final = 1.0
_COUNT_S: Final = 5.0
_LOOK_S: Final = 1.0
"""As often as the keeper would repeat the wake-ups that cannot come."""


class WorkerProcess:
    """The process's dispatchers, its tracker and what they share."""

    def __init__(self, storage: StorageSettings, channels: ChannelSettings, worker: WorkerSettings) -> None:
        self._storage = storage
        self._channel_settings = channels
        self._worker_settings = worker
        self._dispatchers: Mapping[Channel, Dispatcher] = {}
        self._serves: Collection[str] = ()
        self._doing: set[asyncio.Task[None]] = set()

    async def start(self, serves: Collection[str]) -> None:
        """Wait for the database, take a lease, make the channels. Called on the loop that the sends will run on.

        ``serves``: the queues whose wake-ups come to this process.
        """
        self._database = Database.connect(self._storage.database_url)
        keyring, signing = await self._keys()
        self._serves = serves
        self._wakeups = Wakeups(self._storage.redis_url, partial(self._do_instead, asyncio.get_running_loop()))
        self._recorder = recorder(self._database)
        self._traces = traces.begin(self._worker_settings.traces, self._channel_settings.hosts)
        hand = Hand()
        self._lease = Lease(self._database, hand.ids, on_lost=_end_this_process, on_deaf=self._begin_to_leave)
        await self._lease.begin()
        services = Services(
            self._database,
            self._lease,
            keyring,
            self._wakeups,
            hand,
            self._recorder,
            beginner(self._database),
            self._worker_settings.public_url,
            traces=self._traces,
        )
        self._limiter = limits.RedisLimiter(self._storage.redis_url, keyring.alias)
        outfit = registry.Outfit(self._limiter, signing, self._worker_settings.max_inflight)
        operators = registry.configured(self._channel_settings)
        directory = senders.Directory(self._database)
        maker = SenderMaker(self._channel_settings, outfit)
        endpoint_rates = EndpointRates(self._database, Paces(self._limiter))
        made = {name: entry.make(outfit) for name, entry in operators.items()}
        self._dispatchers = {
            name: Dispatcher(
                made[name] if name in made else senders.NoSender(name),
                services,
                most=self._worker_settings.max_inflight[name],
                quota=self._quota(name),
                senders=self._senders_of(name, services, directory, maker, alone=name not in operators),
                endpoint_rates=endpoint_rates if name is Channel.WEBHOOK else None,
            )
            for name in Channel
            if name in operators or name in TYPES
        }
        # By the same channel as messages: an endpoint has its limits, whoever sends to it.
        quota = self._quota(Channel.WEBHOOK)
        self._courier = Courier(made[Channel.WEBHOOK], services, quota=quota, rates=endpoint_rates)
        self._tracker = tracker.Tracker(self._database, self._traces)
        self._watching = asyncio.create_task(self._watch_broker())
        slots = {name: each.slots for name, each in self._dispatchers.items()}
        levels = telemetry.levels(slots, self._lease.holds, lambda: not self._limiter.away)
        families = [Process("worker"), *services.meter.families, *levels]
        self._metrics = telemetry.answering(self._worker_settings.metrics, families)
        log.info(
            "worker.started",
            worker=str(self._lease.worker_id),
            channels=sorted(each.value for each in operators),
        )

    async def send(self, channel: Channel, lane: str) -> None:
        """Answer a wake-up of a channel's actor."""
        if lane == queues.STATUS_EVENTS:
            self._courier.pull()
            return
        dispatcher = self._dispatchers.get(channel)
        if dispatcher is None:
            return
        if lane == SUSPECTS:
            dispatcher.pull_suspects()
        else:
            await dispatcher.pull(Lane(lane))

    async def track(self) -> None:
        """Answer a wake-up of the tracker."""
        await self._tracker.pull()

    async def stop_sending(self) -> None:
        """From now on nothing is claimed, and nothing irreversible begins."""
        self._lease.stop_sending()

    def _begin_to_leave(self) -> None:
        self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        """Stop without dramatiq: its main thread waits for ever to tell a master that died while we started.

        ``multiprocessing.Event.set`` waits for those that wait for the event, and does not see that they are gone.
        """
        try:
            await self.stop_sending()
            await self.stop()
        finally:
            os._exit(1)

    async def stop(self) -> None:
        """Finish what is past its irreversible byte, give back the rest, and go."""
        self._watching.cancel()
        if self._metrics is not None:
            await self._metrics.stop()
        await asyncio.gather(*self._doing, return_exceptions=True)
        at_work: list[Dispatcher | Courier] = [*self._dispatchers.values(), self._courier]
        drained = await asyncio.gather(*(each.drain(_DRAIN_S) for each in at_work))
        await self._recorder.drain()
        if not all(drained):
            log.warning("worker.left_in_flight")
        await self._lease.end()
        for dispatcher in self._dispatchers.values():
            await dispatcher.close()
        await asyncio.to_thread(self._wakeups.close)
        await asyncio.to_thread(self._limiter.close)
        await asyncio.to_thread(self._traces.stop)
        await self._database.close()

    def _senders_of(
        self, name: Channel, services: Services, directory: senders.Directory, maker: SenderMaker, *, alone: bool
    ) -> senders.Senders | None:
        if name not in TYPES:
            return None
        slots = self._worker_settings.max_inflight[name]
        paces = Paces(self._limiter)
        return senders.Senders(name, services, directory, maker, paces, slots=slots, alone=alone)

    async def _watch_broker(self) -> None:
        """Be counted among those who share the limits; while no wake-up can come, look for work without."""
        while True:
            await self._limiter.count()
            if self._limiter.away:
                await self._look_for_work()
            await asyncio.sleep(_LOOK_S if self._limiter.away else _COUNT_S)

    async def _look_for_work(self) -> None:
        try:
            for actor, lane in await work.waiting(self._database):
                self._do(actor, lane)
        except StorageUnavailable:
            log.warning("worker.no_database")
        except Exception:
            log.exception("worker.work_not_found")  # the next look may find it

    def _do_instead(self, loop: asyncio.AbstractEventLoop, actor: str, lane: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the process with it
            loop.call_soon_threadsafe(self._do, actor, lane)

    def _do(self, actor: str, lane: str) -> None:
        """Begin what a wake-up would have brought, where it might have come to this process."""
        if queues.of(actor, lane) in self._serves:
            doing = self.track() if actor == queues.TRACKER else self.send(Channel(actor.upper()), lane)
            task = asyncio.create_task(doing)
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)

    def _quota(self, name: Channel) -> Quota:
        per_second = self._worker_settings.rate[name]
        return Quota(self._limiter, None if per_second is None else rate(f"channel:{name}", per_second))

    async def _keys(self) -> tuple[Keyring, vapid.Vapid]:
        settings = self._channel_settings
        while True:
            try:
                keyring = await load_keyring(self._database, self._storage)
                await reseal(self._database, keyring, [SENDERS])
                keep = partial(load_own, self._database, keyring)
                return keyring, await vapid.load(settings.vapid_private_key_file, settings.vapid_subject, keep)
            except StorageUnavailable:
                log.warning("worker.waits_for_database")
                await asyncio.sleep(_WAIT_FOR_DATABASE_S)


def _end_this_process() -> None:
    # Declared dead while it lived (a suspended machine): it starts afresh, under a new lease.
    os.kill(os.getpid(), signal.SIGTERM)
