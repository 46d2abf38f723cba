"""One sender of a workspace in one worker process: its channel while it is in use, and how it fares."""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Final
from uuid import UUID

import structlog

from channels.contract import Channel
from channels.errors import Blame, Limited, Misconfigured, SendError, Transient, Unknown
from models import ids
from models.store import sender_rests
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.store.senders import Usable
from models.vocabulary import Channel as ChannelName
from worker import verdicts
from worker.attempts import Attempts
from worker.preparations import Preparations
from worker.services import Services

REMEMBERED_S: Final = 2.0
"""How long what was read of senders is used."""

STUCK_S: Final = 5.0
"""A send is slow that has been under way for so long."""

_TEXTS_BYTES: Final = 2 << 20
_FAILURES: Final = 5
_FAILING_S: Final = 60.0
_PAST_S: Final = 600.0
"""A failure so long ago says nothing about now."""

log = structlog.get_logger(__name__)


class Conduct:
    """How one sender fares: what it does is learnt by all workers, what it fails to do by each for itself."""

    def __init__(
        self,
        row: Usable,
        channel: ChannelName,
        services: Services,
        *,
        failing_s: float = _FAILING_S,
        past_s: float = _PAST_S,
    ) -> None:
        """``failing_s``: how long a sender may fail each time before it rests. ``past_s``: after that it is past."""
        self._row = row
        self._services = services
        self._log = log.bind(sender=ids.show(ids.Kind.SENDER, row.id), channel=channel)
        self._failing_s = failing_s
        self._past_s = past_s
        self._failures = 0
        self._failing_since = 0.0
        self._failed_at = 0.0
        self.rested = row.last_error is not None
        """Whether the database says that it rests, or rested last."""
        self.awake_at = 0.0
        """Before that, by this process's clock, it is not used, whatever was read meanwhile."""

    async def works(self) -> None:
        """A message got through."""
        self._failures = 0
        if self.rested and time.monotonic() >= self.awake_at:
            self.rested = False
            await self._write(None, None)

    async def fails(self, error: SendError) -> bool:
        """A send ended otherwise; True where the sender rests now, and the message may go by another one."""
        match error:
            case Misconfigured():
                await self.rest(_said(error))
                return True
            case Limited(whole=True):
                await self.rest(error.detail, verdicts.milliseconds(error.retry_after_s))
                return True
            case Transient() | Unknown() if error.blame is Blame.SENDER:
                await self._count(error)
        return False

    async def rest(self, detail: str, ms: int | None = None) -> None:
        """Let it rest, for all workers; how long the database says, where the peer did not."""
        now = time.monotonic()
        if now < self.awake_at:
            return  # another message learnt the same
        # Until what is written now has surely been read again.
        self.awake_at = now + (2 * REMEMBERED_S if ms is None else min(2 * REMEMBERED_S, ms / 1000))
        self._log.info("sender.rests")
        await self._write(detail, ms)

    async def _count(self, error: SendError) -> None:
        now = time.monotonic()
        if now - self._failed_at >= self._past_s:
            self._failures = 0
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        self._failed_at = now
        if self._failures >= _FAILURES and now - self._failing_since >= self._failing_s:
            self._failures = 0
            # Not the peer's words: they may name a recipient, who may ask to be forgotten.
            await self.rest(f"it failed again and again, at last with {error.code or 'no answer'}")

    async def _write(self, detail: str | None, ms: int | None) -> None:
        try:
            async with self._services.database.write() as connection:
                if detail is None:
                    await sender_rests.recover(connection, self._row.id, self._row.version)
                else:
                    await sender_rests.rest(connection, self._row.id, self._row.version, detail, ms=ms)
        except Exception as broken:  # noqa: BLE001 - what cannot be written must not cost the message its end
            self._log.warning("sender.not_written", error=type(broken).__name__)


def _said(error: Misconfigured) -> str:
    """What is kept of it: enough to mend it, and none of the peer's words."""
    return error.summary if error.code is None else f"{error.summary} ({error.code})"


class Sending:
    """One sender with its credentials in use: its channel, its prepared texts, its attempts."""

    def __init__(self, row: Usable, channel: Channel, conduct: Conduct, services: Services) -> None:
        self.id = row.id
        self.version = row.version
        self.per_second = row.per_second
        self.used_at = 0.0
        self.retired = False
        self.preparations = Preparations(channel, services.database, _TEXTS_BYTES)
        self._channel = channel
        self._attempts = Attempts(channel, services, conduct, sender=row.id)
        self._users = 0
        self._begun: OrderedDict[UUID, float] = OrderedDict()

    async def run(self, claim: Claim, prepared: Any) -> Ended:
        """As ``Attempts.run``."""
        async with self.in_use():
            self._begun[claim.id] = time.monotonic()
            try:
                return await self._attempts.run(claim, prepared)
            finally:
                del self._begun[claim.id]

    async def recorded(self, ended: Ended) -> None:
        """As ``Attempts.recorded``."""
        await self._attempts.recorded(ended)

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """As ``Runner.in_use``."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self.retired:
                await self.retire()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being sent by it, or is about to be."""
        return not self._users

    def is_stuck(self, share: int, now: float) -> bool:
        """Whether ``share`` of its sends have been under way for long."""
        if len(self._begun) < share:
            return False
        return next(islice(self._begun.values(), share - 1, None)) <= now - STUCK_S

    async def retire(self) -> None:
        """Close it, once nothing is being sent by it."""
        self.retired = True
        if self.is_idle:
            await self._channel.close()

    async def close(self) -> None:
        """Close it now."""
        await self._channel.close()
