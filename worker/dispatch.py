"""One channel's work in one process: claim a chunk, send its messages side by side, record each as it ends."""

import asyncio
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import structlog

from channels.contract import Channel
from models import ids
from models.errors import StorageUnavailable
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Lane, OnUnknown
from worker import suspects, taking, verdicts
from worker.endpoint_rates import EndpointRates
from worker.pacing import Slots, claim_order
from worker.quota import Quota
from worker.routes import Route, Wait
from worker.routing import Routing
from worker.senders import Senders
from worker.services import Services

log = structlog.get_logger(__name__)

_LOOK_S: Final = 0.005
"""How often slots are looked for where a lane has more and there were none."""
_INVITES_S: Final = 0.1
"""How often other processes are told that a lane has more than this one takes."""
_GATHER_S: Final = {Lane.TRANSACTIONAL: 0.05, Lane.BULK: 0.1}
"""How long few free slots are let become more, after a claim: a claim of twenty costs nearly what one of 200 does."""


class Dispatcher:
    """Claims and sends the messages of one channel."""

    def __init__(
        self,
        channel: Channel,
        services: Services,
        *,
        most: int,
        quota: Quota,
        senders: Senders | None = None,
        endpoint_rates: EndpointRates | None = None,
    ) -> None:
        """``channel``: the operator's; ``senders``: the workspaces' own, where there may be any.

        ``most``: messages in hand at once; ``quota``: how many may begin, over all processes; ``endpoint_rates``: how
        many to one endpoint, on WEBHOOK.
        """
        self._channel = channel
        self._actor = channel.name.value.lower()
        self._services = services
        self._slots = Slots(most)
        self._quota = quota
        self._claiming = {each: asyncio.Lock() for each in Lane}
        self._deciding = asyncio.Lock()
        self._claims = 0
        self._claims_begun = dict.fromkeys(Lane, 0)
        self._waiting: set[Lane] = set()
        self._gathers_until = dict.fromkeys(Lane, float("-inf"))
        self._stuck_at = dict.fromkeys(Lane, -1)
        self._invites_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._unrecorded = 0
        self._senders = senders
        self._routing = Routing(channel, services, senders, endpoint_rates)
        self._tasks: set[asyncio.Task[None]] = set()

    async def pull(self, lane: Lane) -> None:
        """Answer a wake-up: claim what there is room for and begin to send it; returns before the sends end."""
        self._waiting.add(lane)
        await self._claim_in_order(lane)

    @property
    def slots(self) -> Slots:
        """How many messages are in hand, and how many may be."""
        return self._slots

    def pull_suspects(self) -> None:
        """Answer the keeper's word that there are suspects: send them one by one, with nothing else in hand."""
        self._begin(suspects.send_alone(self._services, self._quota, self._send_suspect))

    async def drain(self, patience_s: float) -> bool:
        """Wait until nothing is in flight; False where something still is after ``patience_s``."""
        give_up_at = time.monotonic() + patience_s
        while self._tasks and time.monotonic() < give_up_at:  # a chunk's task begins those of its messages
            await asyncio.wait(set(self._tasks), timeout=give_up_at - time.monotonic())
        return not self._tasks

    async def close(self) -> None:
        """Close the channel's connections."""
        if self._timer is not None:
            self._timer.cancel()
        await self._channel.close()
        if self._senders is not None:
            await self._senders.close()

    async def _claim_in_order(self, lane: Lane, *, told: bool = True) -> None:
        for each in claim_order(self._waiting, self._claims):
            if each is lane:
                await self._claim(lane, told=told)
                return  # what comes behind goes on by itself
            if not self._claiming[each].locked():
                self._begin(self._claim(each))
                await asyncio.sleep(0)  # it takes its slots first

    async def _claim(self, lane: Lane, *, told: bool = True) -> None:
        """One claim of a lane at a time; that of the other lane is not waited for. ``told``: by a wake-up."""
        before = self._claims_begun[lane]
        async with self._claiming[lane]:
            if told:
                if self._claims_begun[lane] != before:
                    return  # a claim that began since has seen what this one is for
                self._waiting.add(lane)
            elif lane not in self._waiting:
                return
            room = await self._reserve(lane)
            if not room:
                return
            self._claims_begun[lane] += 1
            full = self._slots.full(crumbs=True)
            claimed: Sequence[Claim] = ()
            try:
                claimed, left = await self._take(lane, room, without=full)
            finally:
                self._slots.expect(lane, -room)
                self._quota.spend(len(claimed) - room)
        if left:
            self._gathers_until[lane] = time.monotonic() + _GATHER_S[lane]
        else:
            self._waiting.discard(lane)
        if claimed:
            self._claims += 1
            self._begin(self._send_chunk(claimed, lane))
        if lane in self._waiting:
            self._go_on(lane, is_stuck=bool(full) and not claimed)

    async def _reserve(self, lane: Lane) -> int:
        """How many to claim now, kept for the claim; 0 where none may be."""
        async with self._deciding:
            room = await self._room(lane)
            if not room or not self._services.hand.open or not self._services.lease.holds():
                return 0
            room = self._slots.worth_reading(room)
            self._slots.expect(lane, room)
            self._quota.spend(room)
            return room

    async def _take(
        self, lane: Lane, most: int, *, suspects: bool = False, without: Collection[UUID] = ()
    ) -> tuple[list[Claim], bool]:
        """What it has in hand now, and whether the lane may hold more."""
        with self._services.hand.reaching():
            try:
                claimed, left = await taking.take(
                    self._services, self._channel.name, lane, most, self._slots, suspects=suspects, without=without
                )
            except StorageUnavailable:
                # Should it have been committed all the same, the sweep finds what nobody has in hand.
                log.warning("dispatch.no_database", channel=self._channel.name)
                return [], False  # the keeper asks again
            self._services.hand.take(claim.id for claim in claimed)
        for claim in claimed:
            self._slots.take(lane, claim.workspace_id)
        self._services.meter.claimed(self._channel.name, lane, claimed)
        self._unrecorded += len(claimed)
        return claimed, left

    def _space(self, lane: Lane) -> int:
        """How many slots there are to fill: none rather than crumbs, and no more than can be recorded in time."""
        gathering = time.monotonic() < self._gathers_until[lane]
        if gathering and self._slots.full(crumbs=False):
            return 0
        # What hangs may leave nothing but crumbs for long.
        return max(0, min(self._slots.chunk(lane, crumbs=not gathering), 2 * self._slots.most - self._unrecorded))

    async def _room(self, lane: Lane) -> int:
        """How many to claim: the slots, as far as the quota allows."""
        room, wait_s = await self._quota.draw(self._space(lane))
        # Slots that were not worth a claim yet are to be filled before long, too.
        if not room:
            self._look_again(wait_s or _LOOK_S)
        return room

    def _go_on(self, lane: Lane, *, is_stuck: bool) -> None:
        """Claim more of a lane, without the broker: its wake-ups cost more than a claim. Others are told, too.

        ``is_stuck``: all that was found is of workspaces with no slot left; then not before somebody gives one back.
        """
        self._stuck_at[lane] = self._slots.given_back if is_stuck else -1
        if is_stuck:
            self._look_again(_LOOK_S)
            return
        self._begin(self._claim_in_order(lane, told=False))
        if time.monotonic() >= self._invites_at:
            self._invites_at = time.monotonic() + _INVITES_S
            self._services.wakeups.poke(self._actor, lane.value)

    def _look_again(self, wait_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """Claim where slots are free by now; lanes that are being claimed from go on by themselves."""
        self._timer = None
        idle = [lane for lane in self._waiting if not self._claiming[lane].locked()]
        for lane in idle:
            if self._stuck_at[lane] != self._slots.given_back and self._space(lane):
                self._begin(self._claim_in_order(lane, told=False))
            else:
                self._look_again(_LOOK_S)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send_suspect(self, lane: Lane) -> bool:
        claimed, found = await self._take(lane, 1, suspects=True)
        self._quota.spend(len(claimed))
        if found:
            await self._send_chunk(claimed, lane)
        return found

    async def _send_chunk(self, claimed: Sequence[Claim], lane: Lane) -> None:
        left = list(claimed)
        try:
            routes = await self._routing.of(claimed, lane)
            going = self._put_off(left, routes, lane)
            left = [claim for claim in left if claim.id in going]
            begun = await self._write_beginnings(left)
            while left:
                claim = left.pop()
                if claim.id in begun:
                    self._begin(self._send(claim, going[claim.id], lane))
                    if going[claim.id].is_slow:
                        await asyncio.sleep(0)  # it fills its text as it begins
                else:
                    self._let_go(claim, lane)
        except StorageUnavailable:
            log.warning("dispatch.no_database", channel=self._channel.name)
        finally:
            for claim in left:
                self._slots.give_back(lane, claim.workspace_id)
                self._begin(self._record(verdicts.given_back(claim, verdicts.AT_ONCE)))

    def _put_off(
        self, claimed: Sequence[Claim], routes: Mapping[UUID, Route | Wait], lane: Lane
    ) -> Mapping[UUID, Route]:
        """Give back what no sender can take now; returns how the others go, by message id."""
        going = {}
        for claim in claimed:
            route = routes[claim.id]
            if isinstance(route, Wait):
                self._slots.give_back(lane, claim.workspace_id)
                self._begin(self._record(verdicts.given_back(claim, route.ms)))
            else:
                going[claim.id] = route
        self._services.meter.given_back(self._channel.name, lane, len(claimed) - len(going))
        return going

    async def _write_beginnings(self, claimed: Sequence[Claim]) -> set[UUID]:
        """Write down the beginning of those sends that are to be held when in doubt; returns what may be sent."""
        careful = [claim for claim in claimed if claim.on_unknown is OnUnknown.HOLD]
        written = await asyncio.gather(*(self._services.beginner.put(claim) for claim in careful))
        return {claim.id for claim in claimed if claim.on_unknown is not OnUnknown.HOLD}.union(*written)

    async def _send(self, claim: Claim, route: Route, lane: Lane) -> None:
        began = time.monotonic()
        try:
            ended = await route.runner.run(claim, route.prepared)
        finally:
            self._slots.give_back(lane, claim.workspace_id)
        if route.is_counted:
            self._services.meter.attempted(self._channel.name, lane, ended, time.monotonic() - began)
        await self._services.traces.recording(claim, self._channel.name, self._record(ended))
        await route.runner.recorded(ended)

    async def _record(self, ended: Ended) -> None:
        try:
            await self._services.recorder.submit(ended)
        except Exception:
            # The peer's words could not be stored; what became of the message must be, without them. Should that
            # fail too, the message stays in hand, so that nobody takes it for one that was never begun.
            log.exception("record.broke", message=ids.show(ids.Kind.MESSAGE, ended.message_id))
            await self._services.recorder.submit(verdicts.wordless(ended))
        self._services.hand.drop(ended.message_id)
        self._unrecorded -= 1

    def _let_go(self, claim: Claim, lane: Lane) -> None:
        """The message is not ours any more."""
        self._services.hand.drop(claim.id)
        self._slots.give_back(lane, claim.workspace_id)
        self._unrecorded -= 1
