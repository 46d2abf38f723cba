"""``python -m bench.sinks.smtp``: a mail server that accepts everything and counts (RFC 5321, RFC 2920).

It reads no more than it needs: the verbs, the final dot, and the header that names the message.
"""

import asyncio
from typing import Final, cast

from bench.sinks.tally import Tally, serve

ID_HEADER: Final = b"\r\nX-Wireroom-Message: "

_END: Final = b"\r\n.\r\n"
_OK: Final = b"250 OK\r\n"
_REPLIES: Final = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 20971520\r\n",
    b"HELO": _OK,
    b"MAIL": _OK,
    b"RCPT": _OK,
    b"RSET": _OK,
    b"NOOP": _OK,
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}


class SmtpSink(asyncio.Protocol):
    """One connection."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        # cast: uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer all that came in one write, as a pipelining client hopes for."""
        self._buffer += data
        replies: list[bytes] = []
        while (reply := self._take_content() if self._in_data else self._take_command()) is not None:
            replies.append(reply)
        if self._transport is not None and replies:
            self._transport.write(b"".join(replies))
            if replies[-1] is _REPLIES[b"QUIT"]:
                self._transport.close()

    def _take_command(self) -> bytes | None:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return None
        # The line end before a content belongs to it here: an empty one ends with the dot at once.
        verb = line[:4].upper()
        self._in_data = verb == b"DATA"
        self._buffer = b"\r\n" + rest if self._in_data else rest
        return _REPLIES.get(verb, b"500 what?\r\n")

    def _take_content(self) -> bytes | None:
        content, end, rest = self._buffer.partition(_END)
        if not end:
            return None
        self._in_data = False
        self._buffer = rest
        _, _, after = content.partition(ID_HEADER)
        self._tally.add(after[: after.find(b";")], len(content))
        return _OK


if __name__ == "__main__":
    serve(SmtpSink)
