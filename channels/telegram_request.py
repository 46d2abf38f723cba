"""The HTTP side of the Bot API: one client for all requests, which tells what may have been received.

The token is a part of every URL: nothing here quotes one, nor an exception that might.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import httpx
import msgspec
from telegram._utils.types import ODVInput
from telegram.error import TelegramError
from telegram.request import BaseRequest, HTTPXRequest, RequestData

from channels.errors import Blame, NotStarted, Transient, Unknown

_KEEP_ALIVE_S: Final = 4.0
"""Shorter than common servers keep an idle connection: a request that meets the closing one ends as Unknown."""

_CONNECT_S: Final = 5.0
_LATE_S: Final = 1.0
"""A timer that fires so late says more of this process than of the server."""

_CONNECTING: Final = frozenset({"connection.connect_tcp.started", "connection.start_tls.started"})
_FIRST_BYTE: Final = "http11.send_request_headers.started"


class Refusal(TelegramError):
    """An answer other than 2xx."""

    def __init__(self, status: int, payload: bytes) -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.payload = payload


class _Unreadable(TelegramError):
    """A 2xx that does not say that a message was sent."""


class _Result(msgspec.Struct):
    message_id: int


class _Accepted(msgspec.Struct):
    ok: bool
    result: _Result


class Exchange:
    """One request: ``proceed`` is called right before its first byte, on a connection that stands."""

    def __init__(self, proceed: Callable[[], None]) -> None:
        self._proceed = proceed
        self._begun = False
        self._stopped: BaseException | None = None
        self._late_at = float("inf")

    async def trace(self, event: str, _: dict[str, Any]) -> None:
        """Httpcore's ``trace`` extension."""
        if event in _CONNECTING:
            # Only from here: before, it waited for one of the connections there may be.
            self._late_at = asyncio.get_running_loop().time() + _CONNECT_S + _LATE_S
        if event != _FIRST_BYTE:
            return
        try:
            self._proceed()
        except BaseException as error:
            self._stopped = error
            raise
        self._begun = True

    def broken(self, error: Exception, *, closed: bool) -> BaseException:
        """How a request ended that got no answer."""
        if self._stopped is not None:
            return self._stopped
        why = type(error.__cause__ or error).__name__
        if self._begun:
            return Unknown(f"no answer after the request was sent: {why}", blame=Blame.SENDER)
        if closed:
            return NotStarted("the channel is closed")
        if isinstance(error.__cause__, httpx.ConnectTimeout) and asyncio.get_running_loop().time() > self._late_at:
            return NotStarted("this process was too busy to connect")
        return Transient(f"not connected: {why}", blame=Blame.SENDER)


EXCHANGE: Final[ContextVar[Exchange]] = ContextVar("EXCHANGE")
"""The library passes nothing through to its HTTP client: the request that this task sends."""


@cache
def _tls() -> ssl.SSLContext:
    """For all bots: reading the authorities takes a tenth of a second of this process."""
    return httpx.create_ssl_context()


class _Transport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "trace": EXCHANGE.get().trace}
        return await super().handle_async_request(request)


class BotRequest(HTTPXRequest):
    """The library's client. It uses no proxy of the environment, and leaves refusals unread: see ``Refusal``."""

    def __init__(self, connections: int) -> None:
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP_ALIVE_S
        )
        super().__init__(
            connection_pool_size=connections,
            connect_timeout=_CONNECT_S,
            write_timeout=10.0,
            read_timeout=30.0,  # Telegram fetches a file by its URL meanwhile
            pool_timeout=10.0,
            httpx_kwargs={"transport": _Transport(verify=_tls(), limits=limits), "trust_env": False},
        )

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        write_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        connect_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
        pool_timeout: ODVInput[float] = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """One request; raises Refusal for an answer other than 2xx."""
        status, payload = await super().do_request(
            url, method, request_data, read_timeout, write_timeout, connect_timeout, pool_timeout
        )
        if not 200 <= status <= 299:
            raise Refusal(status, payload)
        try:
            accepted = msgspec.json.decode(payload, type=_Accepted)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _Unreadable("the answer cannot be read") from None
        if not accepted.ok:
            raise _Unreadable("the answer cannot be read")
        return status, payload
