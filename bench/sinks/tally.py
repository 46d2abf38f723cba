"""What a sink counts, and the small port where it is asked.

The questions are lines: ``reset`` → ``ok``; ``count`` → the tally as JSON; ``wait N`` → the same, once N different
messages have come. A sink's first line on standard output names both its ports, as JSON.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec
import uvloop

_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 1024


class Ports(msgspec.Struct, frozen=True):
    """Where a sink listens: for messages, and for questions."""

    messages: int
    control: int


class Counted(msgspec.Struct, frozen=True):
    """What came since the last reset. ``size``: bytes of all contents.

    ``last_at``: when the last one came, in seconds by the machine's monotonic clock, which all its processes share.
    """

    messages: int
    unique: int
    size: int
    last_at: float


class Tally:
    """Counts messages by their ids."""

    def __init__(self) -> None:
        self._ids: set[bytes] = set()
        self._messages = 0
        self._size = 0
        self._last_at = 0.0
        self._waiting: list[tuple[int, asyncio.Event]] = []

    def add(self, message_id: bytes, size: int) -> None:
        """A message came, whose content has ``size`` bytes."""
        self._messages += 1
        self._last_at = time.monotonic()
        self._size += size
        self._ids.add(message_id)
        if self._waiting:
            self._wake()

    def counted(self) -> Counted:
        """The tally."""
        return Counted(self._messages, len(self._ids), self._size, self._last_at)

    def reset(self) -> None:
        """Begin anew."""
        self._ids.clear()
        self._messages = self._size = 0

    async def wait(self, unique: int) -> None:
        """Return once that many different messages have come."""
        if len(self._ids) < unique:
            event = asyncio.Event()
            self._waiting.append((unique, event))
            await event.wait()

    def _wake(self) -> None:
        reached = len(self._ids)
        for unique, event in self._waiting:
            if reached >= unique:
                event.set()
        self._waiting = [each for each in self._waiting if each[0] > reached]


def serve(protocol: Callable[[Tally], asyncio.Protocol]) -> None:
    """Be a sink until SIGTERM; ``protocol`` makes the protocol of one connection."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(protocol))


async def _serve(protocol: Callable[[Tally], asyncio.Protocol]) -> None:
    loop = asyncio.get_running_loop()
    tally = Tally()
    messages = await loop.create_server(lambda: protocol(tally), _HOST, 0, backlog=_BACKLOG)
    control = await asyncio.start_server(lambda reader, writer: _answer(tally, reader, writer), _HOST, 0)
    ports = Ports(messages.sockets[0].getsockname()[1], control.sockets[0].getsockname()[1])
    sys.stdout.buffer.write(msgspec.json.encode(ports) + b"\n")
    sys.stdout.buffer.flush()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


async def _answer(tally: Tally, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        match line.split():
            case [b"reset"]:
                tally.reset()
                writer.write(b"ok\n")
            case [b"count"]:
                writer.write(msgspec.json.encode(tally.counted()) + b"\n")
            case [b"wait", unique]:
                await tally.wait(int(unique))
                writer.write(msgspec.json.encode(tally.counted()) + b"\n")
            case _:
                writer.write(b"what?\n")
    writer.close()
