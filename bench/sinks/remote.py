"""A sink as the bench sees it: a process, its port, and its tally."""

import asyncio
import sys
from typing import Final

import msgspec

from bench.errors import BenchFailed
from bench.processes import Children, Process
from bench.sinks.tally import Counted, Ports

_ANSWER_S: Final = 5.0


class Sink:
    """A running sink. ``port``: where it takes messages."""

    def __init__(self, process: Process, ports: Ports) -> None:
        self.process = process
        self.port = ports.messages
        self._control = ports.control

    async def reset(self) -> None:
        """Forget what came."""
        await self._ask(b"reset", _ANSWER_S)

    async def count(self) -> Counted:
        """What came since the last reset."""
        return msgspec.json.decode(await self._ask(b"count", _ANSWER_S), type=Counted)

    async def wait(self, unique: int, timeout_s: float) -> Counted:
        """The same, once ``unique`` different messages have come; TimeoutError where they do not."""
        return msgspec.json.decode(await self._ask(b"wait %d" % unique, timeout_s), type=Counted)

    async def require(self, expected: int) -> Counted:
        """The tally; raises BenchFailed unless exactly that many messages came, each of them once."""
        counted = await self.count()
        if not counted.messages == counted.unique == expected:
            raise BenchFailed(
                f"{expected} messages were sent; the sink has {counted.messages}, {counted.unique} of them different"
            )
        return counted

    async def _ask(self, question: bytes, timeout_s: float) -> bytes:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._control)
            try:
                writer.write(question + b"\n")
                return await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()


def start(children: Children, kind: str) -> Sink:
    """Start the sink ``bench.sinks.<kind>``; raises BenchFailed."""
    name = f"sink-{kind}"
    process = children.start(name, [sys.executable, "-P", "-m", f"bench.sinks.{kind}"])
    log = children.log_path(name)
    children.wait_ready(name, process, lambda: log.read_bytes().endswith(b"\n"))
    return Sink(process, msgspec.json.decode(log.read_bytes().splitlines()[0], type=Ports))
