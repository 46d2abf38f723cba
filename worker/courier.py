"""Status events on their way to the subscriptions: claimed, sent as the WEBHOOK channel sends, and recorded."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from channels.contract import Channel
from models.coalesce import Coalescer
from models.errors import StorageUnavailable
from models.ids import event_id
from models.sealing import SealedFor
from models.session import Database
from models.store import due_subscriptions, status_events
from models.store.claims import Claim
from models.store.due_subscriptions import Waiting
from models.store.outcomes import Ended
from models.store.status_events import Told
from models.vocabulary import Lane, OnUnknown
from worker import verdicts
from worker.attempts import Attempts
from worker.endpoint_rates import EndpointRates
from worker.notices import notice
from worker.paces import Pace
from worker.pacing import Slots
from worker.quota import Quota
from worker.services import Services

log = structlog.get_logger(__name__)

_MOST: Final = 200
_SHARE: Final = 64
"""One subscription has no more in hand, so that one which is slow leaves room for the workspace's others."""
_GATHER_S: Final = 0.02
"""How long few free places are let become more, after a claim."""
_LOOK_AGAIN_S: Final = 1.0
"""What another process gives back, or a person resumes, is seen by then."""
_CHUNK: Final = 200

_Sent = tuple[Told, Ended]


class Courier:
    """Sends what subscriptions wait for, by the operator's WEBHOOK channel: its guard, its limits, its schedule."""

    def __init__(self, channel: Channel, services: Services, *, quota: Quota, rates: EndpointRates) -> None:
        self._services = services
        self._quota = quota
        self._rates = rates
        self._attempts = Attempts(channel, services, sealed_for=SealedFor.SUBSCRIPTION)
        self._recorder = _recorder(services.database)
        self._slots = Slots(_MOST)
        self._in_hand: Counter[UUID] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    def pull(self) -> None:
        """Answer a wake-up: begin to send all that is due. Returns at once."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def drain(self, patience_s: float) -> bool:
        """Wait until nothing is in flight; False where something still is after ``patience_s``."""
        give_up_at = time.monotonic() + patience_s
        while under_way := {*self._tasks, *([] if self._running is None else [self._running])}:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0:
                return False
            await asyncio.wait(under_way, timeout=left_s)
        return True

    async def _run(self) -> None:
        try:
            while self._services.lease.holds() and self._services.hand.open:
                async with self._services.database.look() as connection:
                    waiting = await due_subscriptions.waiting(connection, _SHARE)
                # Where there is not room for all, who has less goes first, and of equals nobody is always the last.
                random.shuffle(waiting)
                waiting.sort(key=lambda each: self._slots.allowed(each.workspace_id), reverse=True)
                claimed = sum([await self._begin(each) for each in waiting])
                if not claimed and not (waiting and self._tasks):
                    return  # what others have in hand is theirs
                if not claimed:
                    await asyncio.wait(self._tasks, timeout=_LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(_GATHER_S)
        except StorageUnavailable:
            log.warning("courier.no_database")  # the keeper asks again
        finally:
            self._running = None

    async def _begin(self, subscription: Waiting) -> int:
        try:
            return await self._claim(subscription)
        except StorageUnavailable:
            raise
        except Exception:
            log.exception("courier.subscription_broke", subscription=str(subscription.id))  # the others are told
            return 0

    async def _claim(self, subscription: Waiting) -> int:
        """Begin to send as many of a subscription's events as there is room for; returns how many."""
        workspace_id = subscription.workspace_id
        room = min(
            subscription.due,
            _SHARE - self._in_hand[subscription.id],
            self._slots.allowed(workspace_id),
            self._slots.chunk(Lane.BULK, crumbs=True),
        )
        room, _ = await self._quota.draw(max(room, 0))
        if not room:
            return 0
        pace = await self._rates.of(workspace_id, subscription.url, Lane.BULK)
        async with self._services.database.write() as connection:
            claimed = await status_events.claim(connection, subscription, room)
        self._quota.spend(len(claimed))
        for told in claimed:
            self._in_hand[subscription.id] += 1
            self._slots.take(Lane.BULK, workspace_id)
            task = asyncio.create_task(self._send(told, pace))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(claimed)

    async def _send(self, told: Told, pace: Pace | None) -> None:
        try:
            ended = await self._attempt(told, pace)
            self._services.meter.told(ended)
            try:
                await self._recorder.submit((told, ended))
            except Exception:
                # As with messages: the peer's words could not be stored; what became of it must be, without them.
                log.exception("record.broke", event=event_id(told.message_id, told.type))
                await self._recorder.submit((told, verdicts.wordless(ended)))
        finally:
            self._give_back(told.subscription)

    def _give_back(self, subscription: Waiting) -> None:
        self._slots.give_back(Lane.BULK, subscription.workspace_id)
        self._in_hand[subscription.id] -= 1
        if not self._in_hand[subscription.id]:
            del self._in_hand[subscription.id]

    async def _attempt(self, told: Told, pace: Pace | None) -> Ended:
        claim = _as_claim(told)
        if pace is not None:
            try:
                await pace.turn()
            except TimeoutError:
                return verdicts.given_back(claim, pace.put_off_ms(claim))
        return await self._attempts.run(claim, notice(told))


def _as_claim(told: Told) -> Claim:
    """The event as a message of its own would be claimed: what the attempt, its verdict and its record need."""
    return Claim(
        id=told.message_id,
        workspace_id=told.subscription.workspace_id,
        contact_id=told.contact_id,
        run=1,
        token=told.token,
        tries=told.tries,
        crashes=0,
        content_id=told.message_id,
        address=told.subscription.url,
        variables={},
        metadata={},
        on_unknown=OnUnknown.RETRY,
        claimed_at=told.claimed_at,
        secrets=told.subscription.secrets,
        essential=True,
        track_opens=False,
        track_clicks=False,
        lane=Lane.BULK,
    )


def _recorder(database: Database) -> Coalescer[_Sent, None]:
    """Writes outcomes, however long the database is away."""

    async def record(chunk: Sequence[_Sent]) -> Sequence[None]:
        async with database.write() as connection:
            await status_events.record(connection, chunk)
        return [None] * len(chunk)

    return Coalescer(record, most=_CHUNK, patience_s=float("inf"), gather_s=_GATHER_S)
