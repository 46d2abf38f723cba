"""What a channel makes of a text once for all its recipients, kept while it is among the last used."""

import asyncio
from collections.abc import Collection
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog

from channels.contract import Channel
from channels.errors import Permanent, SendError
from channels.rendering import needs_liquid
from models.cache import WeighedCache
from models.content import decode
from models.logs import places
from models.session import Database
from models.store import contents
from models.vocabulary import FailureReason

log = structlog.get_logger(__name__)

_KEPT_BYTES: Final = 32 << 20
_WEIGHT: Final = 4096  # what a prepared text takes beside its words, roughly


class Prepared(NamedTuple):
    """``what`` the channel made, or the SendError that says why it cannot.

    ``is_slow``: filling it takes milliseconds.
    """

    what: Any
    is_slow: bool = False


class Preparations:
    """The prepared contents of one channel, or of one sender on it."""

    def __init__(self, channel: Channel, database: Database, kept_bytes: int = _KEPT_BYTES) -> None:
        self._channel = channel
        self._database = database
        self._prepared: WeighedCache[UUID, Prepared] = WeighedCache(kept_bytes)

    async def of(self, content_ids: Collection[UUID]) -> dict[UUID, Prepared]:
        """Every content, prepared; each is made once while it stays among the last used."""
        known = {each: self._prepared.get(each) for each in content_ids}
        found = {each: prepared for each, prepared in known.items() if prepared is not None}
        missing = [each for each in content_ids if each not in found]
        if missing:
            async with self._database.look() as connection:
                loaded = await contents.load(connection, missing)
            for content_id in missing:
                found[content_id] = await self._make(content_id, loaded.get(content_id))
        return found

    async def _make(self, content_id: UUID, source: bytes | None) -> Prepared:
        """The prepared content, or why it cannot be sent; only what the content itself decides is kept."""
        if source is None:
            return Prepared(Permanent("its text was erased", reason=FailureReason.ERASED))
        try:
            content = decode(source)
            # Reading Liquid may take tens of milliseconds, and a chunk may hold two hundred such texts.
            slow = needs_liquid(content.subject or "") or needs_liquid(content.body or "")
            prepare = self._channel.prepare
            prepared = Prepared(await asyncio.to_thread(prepare, content) if slow else prepare(content), slow)
        except SendError as error:
            prepared = Prepared(error)
        except Exception as error:  # noqa: BLE001 - one text that breaks us must not stop those of others
            # Not its words: they may quote the text.
            log.error("prepare.broke", places=places(error), error=type(error).__name__)
            detail = f"internal error: {type(error).__name__}"
            return Prepared(Permanent(detail, reason=FailureReason.RENDER_ERROR))
        self._prepared.put(content_id, prepared, len(source) + _WEIGHT)
        return prepared
