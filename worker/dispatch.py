"""One channel's work in one process: claim a chunk, send its messages side by side, record each as it ends."""

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from channels.contract import Channel, Envelope
from channels.errors import Misconfigured, Permanent, SendError, Unknown
from models import ids
from models.coalesce import Coalescer
from models.content import Content
from models.errors import StorageUnavailable
from models.secrets import Keyring
from models.session import Database
from models.store import claims
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import FailureReason, Lane
from worker import verdicts
from worker.leases import Lease
from worker.pacing import Rate, Slots, claim_order
from worker.quarantine import SUSPECT_AFTER, Quarantine
from worker.wakeups import Wakeups

log = structlog.get_logger(__name__)

_CHUNK: Final = 200
_PREPARED_KEPT: Final = 256
_PAUSE_WITHOUT_DATABASE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Services:
    """What every dispatcher of a process shares."""

    database: Database
    lease: Lease
    keyring: Keyring
    wakeups: Wakeups
    recorder: Coalescer[Ended, None]
    quarantine: Quarantine


class Dispatcher:
    """Claims and sends the messages of one channel."""

    def __init__(self, channel: Channel, services: Services, *, most: int, per_second: float | None) -> None:
        self._channel = channel
        self._actor = channel.name.value.lower()
        self._services = services
        self._slots = Slots(most)
        self._rate = Rate(per_second, time.monotonic())
        self._claiming = asyncio.Lock()
        self._claims = 0
        self._hungry: set[Lane] = set()
        self._prepared: OrderedDict[UUID, Any] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[UUID] = set()

    async def pull(self, lane: Lane) -> None:
        """Answer a wake-up: claim what there is room for and begin to send it; returns before the sends end."""
        await self._services.wakeups.clear(self._actor, lane.value)
        async with self._claiming:
            for each in claim_order(lane, self._claims):
                await self._claim(each)

    async def drain(self, patience_s: float) -> bool:
        """Wait until nothing is in flight; False where something still is after ``patience_s``."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=patience_s)
        return not self._tasks

    async def close(self) -> None:
        """Close the channel's connections."""
        await self._channel.close()

    async def _claim(self, lane: Lane) -> None:
        room = self._room(lane)
        if not room or not self._services.lease.holds():
            return
        try:
            async with self._services.database.write() as connection:
                claimed, seen = await claims.claim(
                    connection, self._channel.name, lane, self._services.lease.worker_id, room
                )
        except StorageUnavailable:
            log.warning("dispatch.no_database", channel=self._channel.name)
            self._begin(self._give_back_strays())
            return
        if not seen:
            return
        self._claims += 1
        self._in_hand.update(claim.id for claim in claimed)
        self._rate.spend(len(claimed))
        self._slots.take(lane, len(claimed))
        self._begin(self._send_chunk(claimed, lane))
        self._services.wakeups.poke(self._actor, lane.value)

    async def _give_back_strays(self) -> None:
        """The answer to a claim got lost: if it was committed, its messages are ours and nobody sends them."""
        async with self._claiming:
            while not self._services.lease.ended:
                await asyncio.sleep(_PAUSE_WITHOUT_DATABASE_S)
                with contextlib.suppress(StorageUnavailable):
                    async with self._services.database.write() as connection:
                        await claims.give_back_strays(
                            connection, self._channel.name, self._services.lease.worker_id, self._in_hand
                        )
                    return

    def _room(self, lane: Lane) -> int:
        room = min(_CHUNK, self._slots.free(lane))
        if not room:
            self._hungry.add(lane)
            return 0
        tokens = self._rate.available(time.monotonic())
        if tokens is None:
            return room
        if not tokens:
            wait_s = self._rate.seconds_to_next()
            asyncio.get_running_loop().call_later(wait_s, self._services.wakeups.poke, self._actor, lane.value)
        return min(room, tokens)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_chunk(self, claimed: Sequence[Claim], lane: Lane) -> None:
        try:
            prepared = await self._prepare({claim.content_id for claim in claimed})
        except StorageUnavailable:
            for claim in claimed:
                self._begin(self._finish(verdicts.given_back(claim, verdicts.GIVE_BACK_MS), lane))
            return
        for claim in claimed:
            self._begin(self._send(claim, prepared[claim.content_id], lane))

    async def _prepare(self, content_ids: Collection[UUID]) -> dict[UUID, Any]:
        """Every content, prepared; each is made at most once while it stays among the last used."""
        missing = [each for each in content_ids if each not in self._prepared]
        if missing:
            async with self._services.database.read() as connection:
                loaded = await claims.load_contents(connection, missing)
            for content_id, content in loaded.items():
                self._prepared[content_id] = self._prepare_one(content)
        found = {each: self._prepared[each] for each in content_ids}
        for each in content_ids:
            self._prepared.move_to_end(each)
        while len(self._prepared) > _PREPARED_KEPT:
            self._prepared.popitem(last=False)
        return found

    def _prepare_one(self, content: Content) -> Any:
        try:
            return self._channel.prepare(content)
        except SendError as error:
            return error

    async def _send(self, claim: Claim, prepared: Any, lane: Lane) -> None:
        quarantine = self._services.quarantine
        guard = quarantine.alone if claim.crashes >= SUSPECT_AFTER else quarantine.among_others
        async with guard():
            ended = await self._attempt(claim, prepared)
        await self._finish(ended, lane)

    async def _attempt(self, claim: Claim, prepared: Any) -> Ended:
        bound = log.bind(
            message=ids.show(ids.Kind.MESSAGE, claim.id),
            workspace=ids.show(ids.Kind.WORKSPACE, claim.workspace_id),
            attempt=claim.token,
            channel=self._channel.name,
        )
        try:
            if isinstance(prepared, SendError):
                raise prepared
            receipt = await self._channel.send(self._envelope(claim), prepared)
        except Misconfigured as error:
            bound.error("send.misconfigured", code=error.code, detail=error.detail)
            await self._rest(error)
            return verdicts.ended(self._channel.name, claim, error, random.random())
        except SendError as error:
            bound.info("send.ended", outcome=type(error).__name__, code=error.code)
            return verdicts.ended(self._channel.name, claim, error, random.random())
        except Exception as error:  # noqa: BLE001 - no message may be left without an end
            # A fault of ours: what the peer saw of the message, nobody knows.
            bound.exception("send.broke")
            unknown = Unknown(f"internal error: {type(error).__name__}")
            return verdicts.ended(self._channel.name, claim, unknown, random.random())
        bound.debug("send.accepted", code=receipt.code)
        return verdicts.accepted(claim, receipt)

    def _envelope(self, claim: Claim) -> Envelope:
        if claim.address is None:
            raise Permanent("the message has no address any more", reason=FailureReason.ERASED)
        return Envelope(
            message_id=ids.show(ids.Kind.MESSAGE, claim.id),
            contact_id=ids.show(ids.Kind.CONTACT, claim.contact_id),
            uuid=claim.id,
            run=claim.run,
            address=claim.address,
            secrets=tuple(self._services.keyring.open_text(secret, "webhook-secret") for secret in claim.secrets),
            variables=claim.variables,
            metadata=claim.metadata,
            proceed=self._services.lease.check,
        )

    async def _rest(self, error: Misconfigured) -> None:
        try:
            async with self._services.database.write() as connection:
                await claims.rest(connection, self._channel.name, verdicts.REST_MS, error.detail)
        except StorageUnavailable:
            log.warning("dispatch.no_database", channel=self._channel.name)

    async def _finish(self, ended: Ended, lane: Lane) -> None:
        try:
            await self._services.recorder.submit(ended)
        except Exception:
            # The peer's words could not be stored; what became of the message must be, without them.
            log.exception("record.broke", message=ids.show(ids.Kind.MESSAGE, ended.message_id))
            await self._services.recorder.submit(verdicts.wordless(ended))
        finally:
            self._in_hand.discard(ended.message_id)
            self._slots.give_back(lane)
            self._feed()

    def _feed(self) -> None:
        """Ask for more once a quarter of the slots is free, where work was left behind for lack of them."""
        if self._hungry and self._slots.most - self._slots.in_flight >= max(1, self._slots.most // 4):
            for lane in self._hungry:
                self._services.wakeups.poke(self._actor, lane.value)
            self._hungry.clear()
