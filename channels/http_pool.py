"""The connections of one scheme: how many there may be, which are kept, and when each has had its time."""

import asyncio
import math
from collections import deque
from typing import Final

from channels.http_connection import HttpConnection

_KEEP_ALIVE_S: Final = 4.0
"""Shorter than the 5 s after which common servers (Node.js) close an idle connection: a request that meets the closing
one ends as Unknown, because nobody can tell whether it was read (RFC 9112, section 9.3.1)."""

_MOST_CLOSING_S: Final = 1.0

_CLOCK_S: Final = 0.001
"""uvloop's clock goes by the millisecond: a timer may come as much too early."""


class HttpPool:
    """At most ``limit`` exchanges at once, and about as many connections, the idle ones included.

    Who uses a connection, or makes one, holds a place. A free place goes to whoever has waited longest; a kept
    connection is used again the warmest first, and when there are too many the coldest makes room. One timer
    serves all deadlines.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: dict[str, list[HttpConnection]] = {}
        self._open: set[HttpConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._drained: asyncio.Future[None] | None = None

    def take(self, origin: str, now: float) -> HttpConnection | None:
        """A kept connection and a place, where both are free."""
        if self._taken >= self._limit:
            return None
        connection = self.take_kept(origin, now)
        if connection is not None:
            self._taken += 1
        return connection

    async def enter(self) -> None:
        """Take a place, or wait for one."""
        if self._taken < self._limit:
            self._taken += 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # The place came at the very moment.
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1
        self._look_whether_drained()

    def take_kept(self, origin: str, now: float) -> HttpConnection | None:
        """The connection to this origin that was used last, for one who holds a place."""
        kept = self._idle.get(origin)
        if kept is None:
            return None
        connection = kept[-1]
        if connection.until <= now:
            # The loop was busy and its timer is late. The others are older still, and end by the timer.
            return None
        kept.pop()
        if not kept:
            del self._idle[origin]
        connection.idle = False
        return connection

    def keep(self, connection: HttpConnection) -> None:
        """Keep it for a while, and give its place back."""
        connection.idle = True
        connection.until = self._loop.time() + _KEEP_ALIVE_S
        self._idle.setdefault(connection.origin, []).append(connection)
        self.watch(connection.until)
        self.leave()

    def drop(self, connection: HttpConnection) -> None:
        """Forget an idle one."""
        connection.idle = False
        kept = self._idle[connection.origin]
        kept.remove(connection)
        if not kept:
            del self._idle[connection.origin]

    def made(self, connection: HttpConnection) -> None:
        """Count a new one, for which the coldest idle one may have to make room."""
        if len(self._open) >= self._limit:
            coldest = min((each for each in self._open if each.idle), key=lambda each: each.until, default=None)
            if coldest is not None:
                coldest.end("it made room")
        self._open.add(connection)

    def lost(self, connection: HttpConnection) -> None:
        """Its socket is closed."""
        self._open.discard(connection)
        self._look_whether_drained()

    def watch(self, until: float) -> None:
        """Have ``until`` of a connection looked at when it has come."""
        if until < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = until
            self._timer = self._loop.call_at(until, self._end_overdue)

    async def close(self) -> None:
        """Close every connection, those in use too, and see the last one go. Who waits for a place gets one."""
        for connection in tuple(self._open):
            connection.end("the channel was closed")
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
        if self._drained is None:
            self._drained = self._loop.create_future()
        self._look_whether_drained()
        # What was aborted is gone in the loop's next turns. Whatever else may be, a shutdown does not hang on it.
        await asyncio.wait([self._drained], timeout=_MOST_CLOSING_S)

    def _end_overdue(self) -> None:
        now = self._loop.time() + _CLOCK_S
        for connection in tuple(self._open):
            if connection.until <= now:
                connection.end("the time ran out")
        self._timer, self._timer_at = None, math.inf
        self.watch(min((each.until for each in self._open), default=math.inf))

    def _look_whether_drained(self) -> None:
        if self._drained is not None and not self._drained.done() and not self._open and not self._taken:
            self._drained.set_result(None)
