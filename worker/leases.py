"""The lease of a worker process: the right to send, as long as its row is renewed.

The worker counts its lease from *before* each request to the database, on a clock that runs while the machine
sleeps, so it always believes less than the keeper does. Before each irreversible byte it must have ``MARGIN_S`` left.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

import structlog

from channels.errors import NotStarted
from models.errors import StorageUnavailable
from models.ids import new_id
from models.session import Database
from models.store import in_hand, workers

log = structlog.get_logger(__name__)

LEASE_S: Final = workers.LEASE_MS / 1000
MARGIN_S: Final = 3.0
_RENEW_EVERY_S: Final = 3.0
_RETRY_EVERY_S: Final = 0.5
_STRAY_AFTER_MS: Final = 10_000
_DEAF_AFTER_S: Final = 5.0

# CLOCK_BOOTTIME counts a suspended laptop's sleep; where it is missing (macOS), CLOCK_MONOTONIC does.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def wakeful_clock() -> float:
    """Seconds on a clock that also runs while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """This process's lease. ``on_lost`` is called once, when it is gone for good.

    ``on_deaf``: when the process has lost its parent, and SIGTERM does not end it. ``in_hand``: the messages that this
    process knows to have; others that are claimed for it are given back.
    """

    def __init__(
        self,
        database: Database,
        in_hand: Collection[UUID],
        on_lost: Callable[[], None],
        on_deaf: Callable[[], None] = lambda: None,
    ) -> None:
        self.worker_id: UUID = new_id()
        self._database = database
        self._in_hand = in_hand
        self._on_lost = on_lost
        self._on_deaf = on_deaf
        self._good_until = 0.0
        self._lost = False
        self._closing = False
        self._parent = os.getppid()
        self._orphaned_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Register the worker, waiting for the database as long as it takes, and keep the lease from then on."""
        while True:
            asked_at = wakeful_clock()
            try:
                async with self._database.write() as connection:
                    await workers.register(connection, self.worker_id, socket.gethostname(), os.getpid())
                break
            except StorageUnavailable:
                log.warning("worker.waits_for_database")
                await asyncio.sleep(_RETRY_EVERY_S)
        self._good_until = asked_at + LEASE_S
        self._task = asyncio.create_task(self._keep())

    def stop_sending(self) -> None:
        """From now on nothing irreversible may begin; what began may end."""
        self._closing = True

    def check(self) -> None:
        """Raises NotStarted unless an irreversible byte may be written now."""
        if self._closing:
            raise NotStarted("the worker shuts down")
        if self._lost or self._good_until - wakeful_clock() < MARGIN_S:
            raise NotStarted("the worker's lease runs out")

    def holds(self) -> bool:
        """Whether new work may be claimed."""
        return not self._lost and not self._closing and self._good_until - wakeful_clock() >= MARGIN_S

    async def end(self) -> None:
        """Give the lease up. What is still in this worker's hands is left to the keeper."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(StorageUnavailable):
            async with self._database.write() as connection:
                await workers.retire(connection, self.worker_id)

    async def _keep(self) -> None:
        try:
            while not self._lost:
                await asyncio.sleep(_RENEW_EVERY_S)
                await self._renew()
                self._watch_parent()
        except Exception:
            # Whatever it is: a worker that cannot keep its lease must not linger without one.
            log.exception("worker.lease_broke", worker=str(self.worker_id))
            self._lost = True
            self._on_lost()

    async def _renew(self) -> None:
        while True:
            asked_at = wakeful_clock()
            try:
                async with asyncio.timeout(LEASE_S), self._database.write() as connection:
                    alive = await workers.renew(connection, self.worker_id)
                    await in_hand.give_back_strays(connection, self.worker_id, self._in_hand, _STRAY_AFTER_MS)
            except (StorageUnavailable, TimeoutError):
                await asyncio.sleep(_RETRY_EVERY_S)
                continue
            if alive:
                self._good_until = asked_at + LEASE_S
            else:
                self._lost = True
                log.error("worker.lease_lost", worker=str(self.worker_id))
                self._on_lost()
            return

    def _is_orphan(self) -> bool:
        """Whether the parent is gone, also where that was before this lease was made."""
        forked_by = multiprocessing.parent_process()
        return os.getppid() != self._parent or (forked_by is not None and not forked_by.is_alive())

    def _watch_parent(self) -> None:
        # dramatiq's master was killed: nobody would restart or stop this process any more. Once only: a second
        # SIGTERM makes dramatiq drop what it is sending.
        if self._closing or not self._is_orphan():
            return
        if self._orphaned_at is None:
            self._orphaned_at = wakeful_clock()
            log.warning("worker.orphaned")
            os.kill(os.getpid(), signal.SIGTERM)
        elif wakeful_clock() - self._orphaned_at >= _DEAF_AFTER_S:
            self._on_deaf()
