"""What a channel makes of a text once for all its recipients, kept while it is among the last used."""

import asyncio
from collections.abc import Collection
from typing import Any, Final
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


class Preparations:
    """The prepared contents of one channel, or of one sender on it."""

    def __init__(self, channel: Channel, database: Database, kept_bytes: int = _KEPT_BYTES) -> None:
        self._channel = channel
        self._database = database
        self._prepared: WeighedCache[UUID, Any] = WeighedCache(kept_bytes)

    async def of(self, content_ids: Collection[UUID]) -> dict[UUID, Any]:
        """Every content, prepared; each is made once while it stays among the last used."""
        found = {each: self._prepared.get(each) for each in content_ids}
        missing = [each for each, prepared in found.items() if prepared is None]
        if missing:
            async with self._database.read() as connection:
                loaded = await contents.load(connection, missing)
            for content_id in missing:
                found[content_id] = await self._make(content_id, loaded.get(content_id))
        return found

    async def _make(self, content_id: UUID, source: bytes | None) -> Any:
        """The prepared content, or why it cannot be sent; only what the content itself decides is kept."""
        if source is None:
            return Permanent("its text was erased", reason=FailureReason.ERASED)
        try:
            content = decode(source)
            # Reading Liquid may take tens of milliseconds, and a chunk may hold two hundred such texts.
            slow = needs_liquid(content.subject or "") or needs_liquid(content.body or "")
            prepare = self._channel.prepare
            prepared = await asyncio.to_thread(prepare, content) if slow else prepare(content)
        except SendError as error:
            prepared = error
        except Exception as error:  # noqa: BLE001 - one text that breaks us must not stop those of others
            # Not its words: they may quote the text.
            log.error("prepare.broke", places=places(error), error=type(error).__name__)
            return Permanent(f"internal error: {type(error).__name__}", reason=FailureReason.RENDER_ERROR)
        self._prepared.put(content_id, prepared, len(source) + _WEIGHT)
        return prepared
