"""One connection to a web server: a request goes out in one write, and its answer is read (HTTP/1.1, RFC 9112).

The parser is llhttp's, the one of Node.js. Where aiohttp's client is lenient with answers, this one is too: a line may
end in a bare LF, and a value may hold control characters. Many an old script answers so.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from channels.errors import Unknown

_MOST_HEAD_BYTES: Final = 65_536
_MOST_FIELDS: Final = 128
_MOST_INTERIM: Final = 16
"""How many 1xx answers may come before the final one (RFC 9110, section 15.2)."""

_DETAIL_LENGTH: Final = 200
_REASON_LENGTH: Final = 1024
_NO_STATUS: Final = -1


class Headers(Mapping[str, str]):
    """The header fields of an answer, looked up whatever their case; of a repeated one the first."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode()
        for found, value in self._fields:
            if found.lower() == wanted:
                return value.decode("utf-8", "surrogateescape")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower().decode("ascii", "surrogateescape") for name, _ in self._fields))

    def __len__(self) -> int:
        return len(list(iter(self)))


class Answer(NamedTuple):
    """What the peer answered. ``body`` is kept only where it was asked for, and may have been cut short."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def detail(self) -> str:
        """Status and reason phrase, at most 200 characters, all of them printable."""
        phrase = "".join(character for character in self.reason if character.isprintable())
        return f"{self.status} {phrase}".strip()[:_DETAIL_LENGTH]


class Owner(Protocol):
    """Who counts the connections, keeps the idle ones and watches the time."""

    def made(self, connection: "HttpConnection") -> None:
        """It is open."""

    def watch(self, until: float) -> None:
        """Call ``end()`` on the connection that has this ``until`` when the time has come."""

    def keep(self, connection: "HttpConnection") -> None:
        """Its exchange is over, and it can carry another."""

    def leave(self) -> None:
        """An exchange is over, and its connection with it."""

    def drop(self, connection: "HttpConnection") -> None:
        """It was idle, and cannot be used any more."""

    def lost(self, connection: "HttpConnection") -> None:
        """Its socket is closed."""


class _TooMuch(Exception):
    """More than an answer may hold, or something behind it: ends the parsing."""


class HttpConnection(asyncio.Protocol):
    """One exchange at a time. The ``on_…`` methods are the parser's.

    ``until`` is the moment (of the loop's clock) when the owner ends it, whatever it does.
    """

    __slots__ = (
        "_answering",
        "_body",
        "_body_bytes",
        "_cap",
        "_complete",
        "_fields",
        "_interim",
        "_loop",
        "_owner",
        "_parser",
        "_read_bytes",
        "_reason",
        "_reusable",
        "_status",
        "_transport",
        "idle",
        "is_open",
        "origin",
        "until",
    )

    _transport: asyncio.WriteTransport

    def __init__(self, origin: str, owner: Owner, response_cap: int) -> None:
        self.origin = origin
        self.is_open = False
        self.idle = False
        self.until = math.inf
        self._owner = owner
        self._cap = response_cap
        self._answering: asyncio.Future[Answer] | None = None
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._status = _NO_STATUS
        self._reason = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] | None = None
        self._interim = self._read_bytes = self._body_bytes = 0
        self._complete = self._reusable = False

    def send(self, request: bytes, until: float, *, keep_body: bool = False) -> asyncio.Future[Answer]:
        """Write a whole request; its answer, or Unknown, by the moment ``until``."""
        self._answering = answering = self._loop.create_future()
        self._status = _NO_STATUS
        self._reason = b""
        self._fields = []
        self._body = [] if keep_body else None
        self._interim = self._read_bytes = self._body_bytes = 0
        self._complete = False
        self.until = until
        self._owner.watch(until)
        self._transport.write(request)
        return answering

    def abandon(self, answering: asyncio.Future[Answer]) -> None:
        """Close the connection if it still carries this exchange: by now it may carry the next one's."""
        if self._answering is answering:
            self.end("the sender gave up")

    def end(self, why: str) -> None:
        """Close at once. Who waits gets the answer if its status has come, else Unknown."""
        if not self.is_open:
            return
        self.is_open = False
        self.until = math.inf
        # Not close(): that would first write what a peer no longer reads, and wait for the end of TLS.
        self._transport.abort()
        if self.idle:
            self._owner.drop(self)
        answering, self._answering = self._answering, None
        if answering is None:
            return
        if not answering.done():
            if self._status == _NO_STATUS:
                answering.set_exception(Unknown(f"no answer after the request was sent: {why}"))
            else:
                answering.set_result(self._answer())
        self._owner.leave()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, TLS included."""
        # cast: uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self.is_open = True
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        """Read on. What nobody asked for ends the connection: the next exchange might take it for its answer."""
        answering = self._answering
        if answering is None:
            self.end("it spoke unasked")
            return
        self._read_bytes += len(data)
        intact = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            # An upgrade is a 101: we asked for no other protocol, and understand none.
            intact = False
        if self._complete and self._reusable and intact:
            self._answering = None
            # Where the sender was cancelled, its exchange ends well all the same.
            if not answering.done():
                answering.set_result(self._answer())
            self._owner.keep(self)
        elif self._complete or not intact or self._is_over():
            self.end("it is not HTTP/1.1, or too long")

    def eof_received(self) -> None:
        """The peer says no more, so no answer comes; where its length was not told, this is its end."""
        self.end("the connection was closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more can be read or written."""
        self.end("the connection was closed" if exc is None else type(exc).__name__)
        # It refers back to this object, by way of its callbacks.
        del self._parser
        self._owner.lost(self)

    def on_message_begin(self) -> None:
        """An answer begins: after an interim one perhaps, but not after the one that was asked for."""
        if self._complete:
            raise _TooMuch

    def on_status(self, phrase: bytes) -> None:
        """A piece of the reason phrase."""
        self._reason = (self._reason + phrase)[:_REASON_LENGTH]

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field, of the head or of a chunked body's trailer."""
        if self._status != _NO_STATUS:
            return
        if len(self._fields) >= _MOST_FIELDS:
            raise _TooMuch
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head has come, and with it the status."""
        status = self._parser.get_status_code()
        if not 100 <= status <= 199:
            self._status = status
            return
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            raise _TooMuch

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(piece)
        if self._body is not None and self._body_bytes <= self._cap:
            self._body.append(piece)

    def on_message_complete(self) -> None:
        """The answer is whole; behind an interim one comes another."""
        if self._status == _NO_STATUS:
            self._reason = b""
            self._fields = []
        else:
            self._complete = True
            self._reusable = self._body_bytes <= self._cap and self._parser.should_keep_alive()

    def _answer(self) -> Answer:
        reason = self._reason.decode("utf-8", "surrogateescape")
        return Answer(self._status, reason, Headers(self._fields), b"".join(self._body or ()))

    def _is_over(self) -> bool:
        """Whether more was read than an answer may cost. Chunks' extensions and trailers are no body, but count."""
        if self._status == _NO_STATUS:
            return self._read_bytes > _MOST_HEAD_BYTES
        return self._body_bytes >= self._cap or self._read_bytes > _MOST_HEAD_BYTES + self._cap
