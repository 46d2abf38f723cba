"""``python -m bench.sinks.http``: a web server that answers 200 to everything and counts (RFC 9112).

It reads no more than it needs: the end of the head, the length of the body, and the header that names the message.
"""

import asyncio
import re
from typing import Final, cast

from bench.sinks.tally import Tally, serve

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID: Final = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class HttpSink(asyncio.Protocol):
    """One connection."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        # cast: uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        answered = 0
        while self._take():
            answered += 1
        if self._transport is not None and answered:
            self._transport.write(_OK * answered)

    def _take(self) -> bool:
        end = self._buffer.find(_END_OF_HEAD)
        if end < 0:
            return False
        length, message_id = _LENGTH.search(self._buffer, 0, end), _ID.search(self._buffer, 0, end)
        size = int(length[1]) if length else 0
        total = end + len(_END_OF_HEAD) + size
        if len(self._buffer) < total:
            return False
        self._buffer = self._buffer[total:]
        if message_id:  # a client that only opens its connections sends none
            self._tally.add(message_id[1], size)
        return True


if __name__ == "__main__":
    serve(HttpSink)
