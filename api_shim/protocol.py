"""HTTP/1.1 as uvicorn speaks it, with limits on what comes before a body, and no protocol to change to."""

import asyncio
from typing import Any, ClassVar, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api_shim import problems
from api_shim.decoding import WHOLE_BODY
from api_shim.problems import Problem

HEAD_BYTES: Final = 64 << 10


_ONE_HOST: Final = "A request names its host in one Host header (RFC 9112, section 3.2)."
_CHUNKED_ALONE: Final = "The only Transfer-Encoding that this server knows is chunked."
_NO_TUNNELS: Final = "This server opens no tunnels: it does not know the method CONNECT."


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers exceed 64 KiB (431) or take longer than 10 s (408).

    So it does where what comes is no HTTP/1.1 (400). One on which nothing is ever sent is closed after the time for
    which others are kept alive. ``Upgrade`` is ignored (RFC 9110, section 7.8), and so are the trailers of a body
    (section 6.5.1).
    """

    head_timeout_s: ClassVar[float] = 10.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_head = True
        self._begun = False
        self._turned = False  # whether a head or a body ended in the data at hand, or a piece of a body came
        self._unfinished = 0  # bytes of a head, chunk line or trailer that has not ended; those behind a body's
        # end are not counted
        self._problem: Problem | None = None  # what is wrong with a head that the parser can read
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # cast: uvicorn asks for more than asyncio says that it gives.
        super().connection_made(cast(asyncio.Transport, transport))
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._turned = False
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:  # nothing is logged: anybody may send anything
            self._refuse(self._problem or Problem(problems.MALFORMED_REQUEST))
        if self._turned:
            self._unfinished = 0
            self._stop_clock()
        else:
            self._unfinished += len(data)
        if self.transport.is_closing():
            self._stop_clock()
        elif self._unfinished > HEAD_BYTES:
            self._refuse(Problem(problems.HEAD_TOO_LARGE))
        elif self._in_head and (self._begun or self._unfinished) and self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout_s, self._head_is_late)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or behind a body a trailer, which is dropped: it would pass for a header."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head has ended; raises Problem, which the parser reports as an error."""
        self._check_head()
        if self.parser.should_upgrade():
            return  # it comes once more, from ``_parse``
        self._turned = True
        self._in_head = self._begun = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._turned = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body has ended; another request may follow."""
        if self.parser.should_upgrade():
            return  # its body has not begun
        self._turned = True
        self._in_head = True
        self.scope["extensions"] = {WHOLE_BODY: {}}
        super().on_message_complete()

    def _parse(self, data: bytes) -> None:
        """Feed the parser; raises HttpParserError.

        Behind a head that asks for an upgrade a parser takes the message for ended, and the connection too where the
        head says so. Another one is given the same head, without ``Upgrade``, and so reads the body by its length or
        its chunks.
        """
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            else:
                return
            head = self._head_without_upgrade()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            self.parser.feed_data(head)

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"".join([self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n", *lines, b"\r\n"])

    def _check_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        hosts = sum(name == b"host" for name, _ in self.headers)
        if size > HEAD_BYTES:
            self._problem = Problem(problems.HEAD_TOO_LARGE)
        elif self.parser.get_method() == b"CONNECT":  # what follows its head has no length
            self._problem = Problem(problems.MALFORMED_REQUEST, _NO_TUNNELS)
        elif any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in self.headers):
            self._problem = Problem(problems.MALFORMED_REQUEST, _CHUNKED_ALONE)
        elif hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._problem = Problem(problems.MALFORMED_REQUEST, _ONE_HOST)
        if self._problem is not None:
            raise self._problem

    def _head_is_late(self) -> None:
        self._deadline = None
        if self._is_answering():  # the next head may wait in our own buffers until this answer is given
            self._deadline = self.loop.call_later(self.head_timeout_s, self._head_is_late)
        else:
            self._refuse(Problem(problems.TIMED_OUT))

    def _refuse(self, problem: Problem) -> None:
        if not self._is_answering():  # else these bytes would stand in the middle of another answer
            problem.headers["Connection"] = "close"
            response = problems.respond(problem)
            lines = [b"%b: %b\r\n" % header for header in response.raw_headers]
            self.transport.write(b"".join([STATUS_LINE[problem.type.status], *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()

    def _is_answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request, whatever uvicorn says
        return cycle is not None and not cycle.response_complete

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
