"""Everybody in a process who listens to an inbox: one look at the database for all of them.

The database alone says what is new, so it does not matter which process wrote it. A stream holds one batch at most:
until its reader has taken that, the stream is left out, and goes on from its cursor. Those who are behind share each
look and take turns, so that nobody's long inbox holds back another's news.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Final
from uuid import UUID

import msgspec

from api_shim import problems
from api_shim.problems import Problem
from models.errors import StorageUnavailable
from models.session import Database
from models.store import inbox
from models.store.inbox import News

_LOOK_EVERY_S: Final = 0.25
_ITEMS_AT_ONCE: Final = 100
_MOST_STREAMS: Final = 2_000
_MOST_OF_ONE: Final = 10


class Stream:
    """One who listens. ``after``: the number of the last change that was given to them.

    ``hurry`` is set where they took a batch that was not all that there is.
    """

    def __init__(self, workspace_id: UUID, contact_id: UUID, after: int, hurry: asyncio.Event) -> None:
        self.workspace_id = workspace_id
        self.contact_id = contact_id
        self.after = after
        self.ended = False
        self._batch: News | None = None
        self._ready = asyncio.Event()
        self._hurry = hurry

    @property
    def listens(self) -> bool:
        """Whether there is room for a batch."""
        return not self.ended and self._batch is None

    def put(self, news: News) -> None:
        """Hand over what is new; of what this stream has already, nothing is repeated."""
        items = [item for item in news.items if item.change > self.after]
        self.after = max(self.after, news.cursor)
        self._batch = msgspec.structs.replace(news, items=items)
        self._ready.set()

    def end(self) -> None:
        """Nothing more comes; what was handed over is still taken."""
        self.ended = True
        self._ready.set()

    async def take(self, patience_s: float) -> News | None:
        """The next batch; None where none came in time, or the stream has ended."""
        try:
            await asyncio.wait_for(self._ready.wait(), patience_s)
        except TimeoutError:
            return None
        news, self._batch = self._batch, None
        if news is not None and not news.is_whole:
            self._hurry.set()
        if not self.ended:
            self._ready.clear()
        return news


class Streams:
    """Everybody in this process who listens to an inbox."""

    def __init__(
        self,
        database: Database,
        *,
        most: int = _MOST_STREAMS,
        most_of_one: int = _MOST_OF_ONE,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._database = database
        self._most = most
        self._most_of_one = most_of_one
        self._look_every_s = look_every_s
        self._streams: dict[UUID, set[Stream]] = {}
        self._of_workspace: Counter[UUID] = Counter()
        self._closed = False
        self._hurry = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def open(self, workspace_id: UUID, contact_id: UUID, after: int) -> Stream:
        """Listen from a cursor on, until ``leave``; raises Problem (429) where too many do.

        A workspace has at most as many streams as are free, so that it never has all.
        """
        free = self._most - self._of_workspace.total()
        mine = len(self._streams.get(contact_id, ()))
        if self._closed or self._of_workspace[workspace_id] >= free or mine >= self._most_of_one:
            raise Problem(problems.TOO_MANY_STREAMS, headers={"Retry-After": "5"})
        stream = Stream(workspace_id, contact_id, after, self._hurry)
        self._streams.setdefault(contact_id, set()).add(stream)
        self._of_workspace[workspace_id] += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return stream

    def leave(self, stream: Stream) -> None:
        """Listen no more."""
        stream.end()
        others = self._streams.get(stream.contact_id)
        if others is not None and stream in others:
            self._of_workspace -= Counter([stream.workspace_id])  # and forget who has none
            others.discard(stream)
            if not others:
                del self._streams[stream.contact_id]

    def close(self) -> None:
        """End every stream: whoever listens connects again, to another process."""
        self._closed = True
        self._hurry.set()
        for streams in self._streams.values():
            for stream in streams:
                stream.end()

    async def drain(self) -> None:
        """Return once nothing of it uses the database; after ``close``."""
        if self._looking is not None:
            await asyncio.wait({self._looking})

    async def _look(self) -> None:
        """Look for what is new for all, while anybody listens."""
        last: UUID | None = None
        self._hurry.set()
        try:
            while self._streams and not self._closed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), self._look_every_s)
                self._hurry.clear()
                seen = self._seen()
                if not seen:
                    continue
                try:
                    async with self._database.read() as connection:
                        found = await inbox.look(connection, seen, most=_ITEMS_AT_ONCE, behind=last)
                except StorageUnavailable:
                    continue  # whoever listens is told when it is back
                last = found.last
                if found.left_out:
                    self._hurry.set()
                for contact_id in found.gone:
                    self._end(contact_id)
                for contact_id, each in found.news.items():
                    self._hand_over(contact_id, seen[contact_id], each)
        finally:
            self._looking = None
            for contact_id in list(self._streams):  # where looking broke, those who listen must come again
                self._end(contact_id)

    def _seen(self) -> dict[UUID, int]:
        """By contact, the lowest cursor of those who have room."""
        return {
            contact_id: min(stream.after for stream in streams if stream.listens)
            for contact_id, streams in self._streams.items()
            if any(stream.listens for stream in streams)
        }

    def _hand_over(self, contact_id: UUID, seen: int, news: News) -> None:
        for stream in self._streams.get(contact_id, ()):
            # One that came or made room meanwhile may stand below what was asked for: it is asked for next time.
            if stream.listens and seen <= stream.after < news.cursor:
                stream.put(news)

    def _end(self, contact_id: UUID) -> None:
        for stream in self._streams.get(contact_id, ()):
            stream.end()
