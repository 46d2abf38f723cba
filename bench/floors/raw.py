"""Finished bytes, written as fast as a sink takes them: the proof that a sink is not what anybody waits for.

Nothing is read but the number of answers, and all that a connection has to say in one round is one write.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, cast

from bench.floors.task import Clock, Done

Pieces = Iterator[tuple[bytes, int]]
"""What one connection writes, and after each piece, how many marks must have come back before the next."""

ACCEPTED: Final = b"HTTP/1.1 200 "
"""The mark of a web server that does what it is asked."""
_HOST: Final = "127.0.0.1"


class _Writer(asyncio.Protocol):
    """One connection."""

    def __init__(self, pieces: Pieces, mark: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._pieces = pieces
        self._mark = mark
        self._left = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def write_next(self) -> None:
        """The next piece; ``ended`` where there is none."""
        piece, self._left = next(self._pieces, (b"", 0))
        if piece and self._transport is not None:
            self._transport.write(piece)
        elif not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._left -= data.count(self._mark)
        if self._left <= 0:
            self.write_next()

    async def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
            await self._closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the sink hung up"))


def one_by_one(waiting: Iterator[bytes]) -> Pieces:
    """What one connection takes of the requests that several share, each of which has one answer."""
    for request in waiting:
        yield request, 1


async def write_all(port: int, feeds: Sequence[Pieces], mark: bytes) -> Done:
    """Write each feed over a connection of its own; an answer ends with ``mark``."""
    loop = asyncio.get_running_loop()
    writers: list[_Writer] = []
    for feed in feeds:
        _, writer = await loop.create_connection(partial(_Writer, feed, mark), _HOST, port)
        writers.append(writer)
    clock = Clock()
    clock.start()
    for writer in writers:
        writer.write_next()
    await asyncio.gather(*(writer.ended for writer in writers))
    done = clock.stop()
    await asyncio.gather(*(writer.close() for writer in writers))
    return done
