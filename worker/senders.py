"""The senders of workspaces, in one worker process: by which of them each message goes, and how each fares.

Everything here costs nothing where no workspace has a sender, but for one short query in two seconds.
"""

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from channels.contract import Content, Envelope, Receipt
from channels.errors import Limited
from channels.senders import TYPES, SenderMaker
from models import ids
from models.errors import InvalidSetting
from models.sealing import SealedFor
from models.secrets import SealBroken
from models.session import Database
from models.store import senders as store
from models.store.claims import Claim
from models.store.senders import Usable
from models.vocabulary import Channel as ChannelName
from models.vocabulary import Lane
from worker.paces import Paces
from worker.routes import Route, Wait
from worker.sending import REMEMBERED_S, STUCK_S, Conduct, Sending
from worker.services import Services

_MOST_REMEMBERED: Final = 10_000
_MOST_KEPT: Final = 64
_IDLE_S: Final = 600.0
_NOBODY_S: Final = 30.0
"""When to look again where a workspace has no sender left that is not paused."""
_FRESH_S: Final = 0.0
"""How old what was read may be where messages are to be put off for it: it is read again."""
_LONGEST_WAIT_S: Final = 120.0
"""A rest may end before its time, just as messages are put off: so long may that go unnoticed."""
_STUCK_SHARE: Final = 8
"""A sender is stuck while an eighth of the slots has waited for its peer for so long: others are to have theirs."""

log = structlog.get_logger(__name__)


class NoSender:
    """A channel that the operator has not set up: messages wait for a sender of their workspace."""

    def __init__(self, name: ChannelName) -> None:
        self.name = name

    def prepare(self, content: Content) -> Content:
        """Nothing: nobody sends it."""
        return content

    async def send(self, envelope: Envelope, prepared: Content) -> Receipt:
        """Give it back."""
        raise Limited("the workspace has no sender on this channel", retry_after_s=_NOBODY_S)

    async def close(self) -> None:
        """Nothing to close."""


class Directory:
    """Which workspaces send by themselves; for all channels of a process, read at most every two seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owners: Mapping[ChannelName, frozenset[UUID]] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def owners(self, channel: ChannelName, age_s: float = REMEMBERED_S) -> Collection[UUID]:
        """The workspaces that have senders on this channel, ``age_s`` ago or later; raises StorageUnavailable."""
        if time.monotonic() >= self._read_at + age_s:
            async with self._reading:
                if time.monotonic() >= self._read_at + age_s:
                    await self._read()
        return self._owners.get(channel, frozenset())

    async def _read(self) -> None:
        async with self._database.look() as connection:
            pairs = await store.owners(connection)
        self._owners = {each: frozenset(owner for owner, on in pairs if on is each) for each in TYPES}
        self._read_at = time.monotonic()


class _Listed(NamedTuple):
    """A sender as it was read; it rests until ``awake_at``, by this process's clock."""

    row: Usable
    awake_at: float


class Senders:
    """Routes the messages of one channel whose workspaces have senders of their own.

    ``slots``: the dispatcher's. ``alone``: the operator has no sender on the channel. ``paces``: of those senders that
    have a rate.
    """

    def __init__(
        self,
        channel: ChannelName,
        services: Services,
        directory: Directory,
        maker: SenderMaker,
        paces: Paces,
        *,
        slots: int,
        alone: bool,
    ) -> None:
        self._channel = channel
        self._services = services
        self._directory = directory
        self._maker = maker
        self._paces = paces
        self._alone = alone
        self._share = max(slots // _STUCK_SHARE, 1)
        self._listed: dict[UUID, tuple[float, Sequence[_Listed]]] = {}
        self._sendings: OrderedDict[UUID, Sending] = OrderedDict()
        self._conducts: OrderedDict[tuple[UUID, int], Conduct] = OrderedDict()

    async def routes(self, claims: Sequence[Claim], lane: Lane) -> dict[UUID, Route | Wait]:
        """By message id, the way of each that does not go by the operator's sender; raises StorageUnavailable."""
        owners = await self._directory.owners(self._channel)
        if self._alone and any(claim.workspace_id not in owners for claim in claims):
            owners = await self._directory.owners(self._channel, _FRESH_S)  # it may have its first one since
        own = [claim for claim in claims if claim.workspace_id in owners] if owners else []
        if not own:
            return {}
        workspace_ids = {claim.workspace_id for claim in own}
        listed = await self._list(workspace_ids, REMEMBERED_S)
        resting = {each for each in workspace_ids if not self._ready(listed[each])}
        # Mended since, perhaps: before messages are put off for long, that is looked up.
        listed |= await self._list(resting, _FRESH_S)
        routes: dict[UUID, Route | Wait] = {}
        by_sending: dict[Sending, list[Claim]] = {}
        for claim in own:
            chosen = await self._choose(listed[claim.workspace_id])
            if isinstance(chosen, int):
                routes[claim.id] = Wait(chosen)
            else:
                by_sending.setdefault(chosen, []).append(claim)
        for sending, theirs in by_sending.items():
            prepared = await sending.preparations.of({claim.content_id for claim in theirs})
            ways = {claim.id: Route(sending, *prepared[claim.content_id]) for claim in theirs}
            if sending.per_second is not None:
                pace = self._paces.of(f"sender:{ids.show(ids.Kind.SENDER, sending.id)}", sending.per_second, lane)
                routes |= pace.spread(theirs, ways)
            else:
                routes |= ways
        await self._tidy()
        return routes

    async def close(self) -> None:
        """Close every connection."""
        for sending in self._sendings.values():
            await sending.close()

    async def _list(self, workspace_ids: Collection[UUID], age_s: float) -> dict[UUID, Sequence[_Listed]]:
        """The senders of each workspace as they were ``age_s`` ago or later."""
        oldest = time.monotonic() - age_s
        found = {each: kept[1] for each in workspace_ids if (kept := self._listed.get(each)) and kept[0] > oldest}
        missing = [each for each in workspace_ids if each not in found]
        if not missing:
            return found
        async with self._services.database.look() as connection:
            rows = await store.usable(connection, self._channel, missing)
        if len(self._listed) >= _MOST_REMEMBERED:
            self._listed.clear()
        now = time.monotonic()
        for workspace_id in missing:
            found[workspace_id] = [
                _Listed(row, now + row.rests_ms / 1000) for row in rows if row.workspace_id == workspace_id
            ]
            self._listed[workspace_id] = now, found[workspace_id]
        for row in rows:
            if row.last_error is not None:
                self._conduct(row).rested = True
        return found

    def _ready(self, listed: Sequence[_Listed]) -> list[Usable]:
        """Those that can be used now, in their order."""
        now = time.monotonic()
        return [each.row for each in listed if self._awake_at(each, now) <= now]

    def _wait_ms(self, listed: Sequence[_Listed]) -> int:
        """How long messages wait where none can be used: until the first can, but never for very long."""
        now = time.monotonic()
        first = min((self._awake_at(each, now) - now for each in listed), default=_NOBODY_S)
        return max(math.ceil(1000 * min(first, _LONGEST_WAIT_S)), 1)

    async def _choose(self, listed: Sequence[_Listed]) -> Sending | int:
        """The sender of the lowest place that can be used, by weight among equals; else in how many ms one may be."""
        while True:
            ready = self._ready(listed)
            if not ready:
                return self._wait_ms(listed)
            peers = [row for row in ready if row.position == ready[0].position]
            row = peers[0] if len(peers) == 1 else random.choices(peers, [peer.weight for peer in peers])[0]
            sending = await self._sending(row)
            if sending is not None:
                sending.used_at = time.monotonic()
                sending.per_second = row.per_second
                return sending

    def _awake_at(self, listed: _Listed, now: float) -> float:
        row = listed.row
        conduct = self._conducts.get((row.id, row.version))
        awake_at = listed.awake_at if conduct is None else max(listed.awake_at, conduct.awake_at)
        sending = self._sendings.get(row.id)
        if awake_at <= now and sending is not None and sending.is_stuck(self._share, now):
            return now + STUCK_S
        return awake_at

    def _conduct(self, row: Usable) -> Conduct:
        key = row.id, row.version
        conduct = self._conducts.get(key)
        if conduct is None:
            conduct = self._conducts[key] = Conduct(row, self._channel, self._services)
            if len(self._conducts) > _MOST_REMEMBERED:
                self._conducts.popitem(last=False)
        self._conducts.move_to_end(key)
        return conduct

    async def _sending(self, row: Usable) -> Sending | None:
        """The sender, made where it is new; None where it cannot be made, and therefore rests."""
        found = self._sendings.get(row.id)
        if found is not None and found.version >= row.version:
            self._sendings.move_to_end(row.id)
            return found
        conduct = self._conduct(row)
        try:
            channel = self._maker.make(self._channel, self._services.keyring.open(row.credentials, SealedFor.SENDER))
        except SealBroken:
            await conduct.rest("its credentials do not open: WIREROOM_SECRET_KEY lacks the key that sealed them")
            return None
        except (InvalidSetting, ValueError) as error:  # msgspec's errors are ValueErrors
            await conduct.rest(f"its credentials cannot be used: {type(error).__name__}")
            return None
        self._sendings[row.id] = made = Sending(row, channel, conduct, self._services)
        self._sendings.move_to_end(row.id)
        if found is not None:
            await found.retire()
        return made

    async def _tidy(self) -> None:
        """Close what was not used for long, and what is one too many; never what is in use."""
        now = time.monotonic()
        while self._sendings:
            sender_id, oldest = next(iter(self._sendings.items()))
            if not oldest.is_idle or (len(self._sendings) <= _MOST_KEPT and now - oldest.used_at < _IDLE_S):
                return
            del self._sendings[sender_id]
            await oldest.retire()
