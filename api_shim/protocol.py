"""HTTP/1.1 as uvicorn speaks it, with limits on what comes before a body: the request line and the headers."""

import asyncio
from typing import Any, ClassVar, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api_shim import problems
from api_shim.problems import Problem, ProblemType

HEAD_BYTES: Final = 64 << 10


class HeadTooLarge(Exception):
    """The request line and the headers are longer than the server reads."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers exceed 64 KiB (431) or take longer than 10 s (408).

    One on which nothing is ever sent is closed after the time for which others are kept alive.
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
        self._turned = False  # whether a head or a body ended in the data at hand
        self._unfinished = 0  # bytes of a head that has not ended; those behind a body's end are not counted
        self._too_large = False
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
        super().data_received(data)
        if self._turned or not self._in_head:
            self._unfinished = 0
            self._stop_clock()
        else:
            self._unfinished += len(data)
        if self.transport.is_closing():
            self._stop_clock()
        elif self._unfinished > HEAD_BYTES:
            self._refuse(problems.HEAD_TOO_LARGE)
        elif (self._begun or self._unfinished) and self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout_s, self._head_is_late)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head has ended; raises HeadTooLarge, which the parser reports as an error."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES:
            self._too_large = True
            raise HeadTooLarge
        self._turned = True
        self._in_head = self._begun = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body has ended; another request may follow."""
        self._turned = True
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser cannot read, or what ``on_headers_complete`` refused."""
        if self._too_large:
            self._refuse(problems.HEAD_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def _head_is_late(self) -> None:
        self._deadline = None
        if self._is_answering():  # the next head may wait in our own buffers until this answer is given
            self._deadline = self.loop.call_later(self.head_timeout_s, self._head_is_late)
        else:
            self._refuse(problems.TIMED_OUT)

    def _refuse(self, kind: ProblemType) -> None:
        if not self._is_answering():  # else these bytes would stand in the middle of another answer
            response = problems.respond(Problem(kind, headers={"Connection": "close"}))
            lines = [b"%b: %b\r\n" % header for header in response.raw_headers]
            self.transport.write(b"".join([STATUS_LINE[kind.status], *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()

    def _is_answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request, whatever uvicorn says
        return cycle is not None and not cycle.response_complete

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
