"""Where the links of messages lead to: read out of what a message said when it was accepted, filled with its values."""

import asyncio
from typing import Final
from uuid import UUID

from channels.rendering import RenderError, Text, Texts
from channels.telegram_options import targets as targets_of_buttons
from channels.tracked_html import TrackedHtml
from models.admission import with_own_links
from models.cache import WeighedCache
from models.content import Content, decode
from models.store.contents import Said
from models.tokens import Links
from models.vocabulary import Channel

_KEPT: Final = 8 << 20  # bytes of text
_WEIGHT: Final = 4096  # what a text takes beside its words once it is read, roughly


class LinkTargets:
    """Finds targets; the texts that many messages share are read once while they are among the last asked for."""

    def __init__(self) -> None:
        self._read: WeighedCache[UUID, TrackedHtml] = WeighedCache(_KEPT)

    async def find(self, said: Said, links: Links, number: int) -> str | None:
        """The web address, or for a button any other, behind a message's link of that number; None where none is."""
        match said.channel:
            case Channel.TELEGRAM:
                targets = targets_of_buttons(decode(said.source).options)
                return targets[number] if number < len(targets) else None
            case Channel.EMAIL:
                return await self._in_mail(said, links, number)
            case _:
                return None

    async def _in_mail(self, said: Said, links: Links, number: int) -> str | None:
        known = self._read.get(said.content_id)
        if known is not None:
            return known.target(number, said.variables)
        # In a thread: a long text takes milliseconds to be read, one in Liquid to be filled.
        try:
            return await asyncio.to_thread(self._of_text, said, decode(said.source), links, number)
        except RenderError:
            return None

    def _of_text(self, said: Said, content: Content, links: Links, number: int) -> str | None:
        if content.format != "html":
            return None
        body = Texts(content.subject or "", content.body or "", content.format).body
        if isinstance(body, Text):
            read = TrackedHtml(body.pieces)
            self._read.put(said.content_id, read, len(said.source) + _WEIGHT)
            return read.target(number, said.variables)
        if body is None or body.reads_clock:
            return None
        return TrackedHtml([body.fill(with_own_links(said.variables, links))]).target(number, {})
