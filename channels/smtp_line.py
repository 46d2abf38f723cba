"""One SMTP connection after it was opened: bytes go out, replies come back in order (RFC 5321, section 4.2).

It takes the place of the protocol that aiosmtplib opened the connection with, and reads as many replies as there were
commands in one write (RFC 2920).
"""

import asyncio
import re
from typing import Final, NamedTuple, cast

_MOST_LINE_BYTES: Final = 8_192
_MOST_REPLY_LINES: Final = 256
_MOST_REPLY_BYTES: Final = 32_768
# What nearly every server says: replies of one line each, whole.
_PLAIN: Final = re.compile(rb"(?:[0-9]{3} [^\r\n]*+\r\n)++")


class Reply(NamedTuple):
    r"""A reply; the lines of ``message`` are parted by ``\n`` and hold neither code nor line end."""

    code: int
    message: str


class LineBroken(Exception):
    """The connection is of no more use, for the reason that it says; ``replies`` had come before it broke."""

    def __init__(self, reason: str, replies: list[Reply]) -> None:
        super().__init__(reason)
        self.replies = replies


class SmtpLine(asyncio.Protocol):
    """The client's end of an open connection, used by one task at a time.

    What comes unasked ends it: an answer that nobody waits for would be taken for that of the next command.
    """

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        """Take the transport over from the protocol that it had."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._broken: str | None = None
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0
        self.replies: list[Reply] = []
        """What has been answered and not taken yet."""
        self._due = 0
        self._needed = 0
        self._answered: asyncio.Future[None] | None = None
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        # So that drain() waits for the last byte. With high=0 asyncio's TLS transport pauses and never resumes.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether more can be said, as far as is known."""
        return self._broken is None and not self._transport.is_closing()

    def expect(self, answers: int) -> None:
        """So many replies more are to come."""
        self._due += answers

    def write(self, data: bytes) -> None:
        """Write without waiting; raises LineBroken."""
        if not self.is_open:
            raise self._error()
        self._transport.write(data)

    async def drain(self, timeout_s: float) -> None:
        """Wait until the kernel took all that was written; raises LineBroken."""
        if self._paused and self.is_open:
            self._drained = self._loop.create_future()
            await self._wait(self._drained, timeout_s)
        if not self.is_open:
            raise self._error()

    async def answers(self, number: int, timeout_s: float) -> list[Reply]:
        """Wait for the next so many of the expected replies; raises LineBroken, with those that came."""
        if len(self.replies) < number:
            if not self.is_open:
                raise self._error()
            self._needed = number
            self._answered = self._loop.create_future()
            await self._wait(self._answered, timeout_s)
            if len(self.replies) < number:
                raise self._error()
        taken, self.replies = self.replies[:number], self.replies[number:]
        return taken

    def close(self) -> None:
        """Hang up once everything written has left; with a peer that does not take it, ``abort``."""
        self._break("it was closed")
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Read replies; called by the transport."""
        if self._broken is not None:
            return
        if not self._due:
            self._abort("the server spoke unasked")
            return
        if (self._read_plain(data) or self._read(data)) and len(self.replies) >= self._needed:
            self._wake(self._answered)

    def _read_plain(self, data: bytes) -> bool:
        """Read what holds nothing but whole replies of one line; False, with nothing read, where it is not so."""
        if self._lines or self._rest or len(data) > _MOST_LINE_BYTES or not _PLAIN.fullmatch(data):
            return False
        lines = data.decode("utf-8", "surrogateescape").split("\r\n")[:-1]
        if len(lines) > self._due:
            return False
        self._due -= len(lines)
        self.replies += [Reply(int(line[:3]), line[4:].strip(" \t")) for line in lines]
        return True

    def _read(self, data: bytes) -> bool:
        """Read anything; False where the connection ended by it."""
        *lines, self._rest = (self._rest + data if self._rest else data).split(b"\n")
        for line in lines:
            if not self._take(line):
                return False
        if len(self._rest) > _MOST_LINE_BYTES:
            self._abort("an answer was too long")
        elif not self._due and (self._rest or self._lines):
            self._abort("the server said more than it was asked")
        return True

    def eof_received(self) -> None:
        """The server hung up; called by the transport, which then closes."""
        self._break("the server hung up")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self._break(f"the connection was lost ({type(exc).__name__})" if exc else "the server hung up")

    def pause_writing(self) -> None:
        """Called by the transport."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by the transport."""
        self._paused = False
        self._wake(self._drained)

    def _take(self, line: bytes) -> bool:
        """Read one line; False where the connection ended by it."""
        code = line[:3]
        self._size += len(line)
        if not self._due:
            self._abort("the server said more than it was asked")
        elif not (code.isdigit() and len(code) == 3):
            self._abort("an answer was no SMTP reply")
        elif self._size > _MOST_REPLY_BYTES or len(line) > _MOST_LINE_BYTES or len(self._lines) >= _MOST_REPLY_LINES:
            self._abort("an answer was too long")
        else:
            text = line[4:].strip(b" \t\r")
            if line[3:4] == b"-":
                self._lines.append(text)
                return True
            if self._lines:
                text = b"\n".join([*self._lines, text])
                self._lines = []
            self._size = 0
            self._due -= 1
            self.replies.append(Reply(int(code), text.decode("utf-8", "surrogateescape")))
            return True
        return False

    async def _wait(self, waiter: asyncio.Future[None], timeout_s: float) -> None:
        """Wait for one future. The timer stays from wait to wait and is moved on when it goes off: most never do."""
        self._deadline = self._loop.time() + timeout_s
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()
        await waiter

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if not any(waiter is not None and not waiter.done() for waiter in (self._answered, self._drained)):
            return
        if self._loop.time() < self._deadline:
            self._set_timer()
        else:
            self._abort("time ran out")

    def _error(self) -> LineBroken:
        return LineBroken(self._broken or "it was closed", self.replies)

    def _abort(self, reason: str) -> None:
        """End the connection at once: its peer reads nothing, or is not understood."""
        self._break(reason)
        self._transport.abort()

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake(self._answered)
        self._wake(self._drained)

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def take_over(transport: asyncio.BaseTransport) -> SmtpLine:
    """The line over an open transport of asyncio's or uvloop's, plain or TLS."""
    # cast: uvloop's transports are no subclass of asyncio's.
    return SmtpLine(cast(asyncio.WriteTransport, transport))
