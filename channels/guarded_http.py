"""HTTP requests to URLs that strangers gave: guarded, bounded, and clear about what may have been received.

The client is our own. aiohttp's costs five times as much CPU a request, and was the dearest part of a worker.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from channels.errors import NotStarted, Permanent
from channels.guard import ForbiddenDestination, Guard, GuardedResolver, Network, Resolver, SystemResolver, Unresolved
from channels.http_connection import Answer as Answer
from channels.http_connection import HttpConnection
from channels.http_dial import Dialler, forbidden, not_connected
from channels.http_pool import HttpPool
from models.vocabulary import FailureReason

MAX_RETRY_AFTER_S: Final = 86_400
"""No peer holds a message back for longer than a day."""

_LATE_S: Final = 1.0
"""A timer that comes later than this tells of a loop that was busy, not of a peer."""

_MOST_DIGITS: Final = 100
_REMEMBERED_TARGETS: Final = 4096


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """How far a request may reach, and how much it may cost. Times in seconds, ``response_cap`` in bytes.

    ``max_connections`` is for each of http and https; a request over it waits within its total time.
    """

    allow_nets: tuple[Network, ...] = ()
    connect_timeout_s: float = 5.0
    total_timeout_s: float = 15.0
    response_cap: int = 65_536
    user_agent: str = "Wireroom"
    max_connections: int = 512


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL as it is dialled and asked. ``head``: what all requests to it share of their heads, behind the method."""

    scheme: str
    host: str
    port: int
    origin: str
    head: bytes


class GuardedHttp:
    """A client with pooled connections. It follows no redirect, keeps no cookie, uses no proxy, inflates nothing.

    ``resolver`` replaces the system's; ``ssl_context`` the default one, which trusts the system's authorities.
    """

    def __init__(
        self,
        config: HttpConfig,
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._config = config
        self._guard = Guard(config.allow_nets)
        self._dialler = Dialler(
            GuardedResolver(self._guard, resolver or SystemResolver()), ssl_context, config.connect_timeout_s
        )
        self._target: Callable[[str], _Target] = lru_cache(maxsize=_REMEMBERED_TARGETS)(self._make_target)
        self._pools: dict[str, HttpPool] = {}
        self._connecting: set[asyncio.Timeout] = set()
        self._closed = False

    async def post(
        self, address: str, *, headers: Mapping[str, str], body: bytes, proceed: Callable[[], None]
    ) -> Answer:
        """Send one request and read its answer, of which at most ``response_cap`` bytes.

        ``proceed`` is called on the connection that is used, right before the request's first byte. Raises Permanent
        for a destination that the guard refuses, Transient where nothing was sent, and Unknown where the line broke
        after that; whatever ``proceed`` raises passes through. The status, once received, is never taken back.
        """
        target = self._checked(address)
        request = b"".join((b"POST", target.head, _rest_of_head(headers, len(body)), body))
        return await self._exchange(target, request, proceed)

    async def get(self, address: str) -> Answer:
        """Read what lies there: an answer with its body, at most ``response_cap`` bytes of it. Raises as ``post``."""
        target = self._checked(address)
        return await self._exchange(target, b"".join((b"GET", target.head, b"\r\n")), lambda: None, keep_body=True)

    def _checked(self, address: str) -> _Target:
        try:
            return self._target(address)
        except ValueError:
            raise Permanent("the address is not a URL", reason=FailureReason.INVALID_ADDRESS) from None
        except ForbiddenDestination as refused:
            raise forbidden(refused) from None

    async def _exchange(
        self, target: _Target, request: bytes, proceed: Callable[[], None], *, keep_body: bool = False
    ) -> Answer:
        pool = self._pool(target.scheme)
        now = asyncio.get_running_loop().time()
        until = now + self._config.total_timeout_s
        connection = pool.take(target.origin, now) or await self._connect(pool, target, until)
        try:
            proceed()
        except BaseException:
            pool.keep(connection)
            raise
        answering = connection.send(request, until, keep_body=keep_body)
        try:
            return await answering
        except asyncio.CancelledError:
            connection.abandon(answering)
            raise

    async def close(self) -> None:
        """Close every connection, those in use too. What is sent afterwards is NotStarted."""
        self._closed = True
        for time_out in self._connecting:
            if not time_out.expired():
                time_out.reschedule(0.0)
        for pool in self._pools.values():
            await pool.close()
        self._dialler.close()

    def _make_target(self, address: str) -> _Target:
        url = self._guard.check_url(address)
        host, port = url.raw_host or "", url.port or 0
        head = (
            f" {url.raw_path_qs} HTTP/1.1\r\nhost: {url.host_port_subcomponent}\r\n"
            f"user-agent: {self._config.user_agent}\r\naccept: */*\r\naccept-encoding: identity\r\n"
        )
        return _Target(url.scheme, host, port, f"{host}:{port}", head.encode())

    def _pool(self, scheme: str) -> HttpPool:
        self._require_not_closed()
        pool = self._pools.get(scheme)
        if pool is None:
            pool = self._pools[scheme] = HttpPool(self._config.max_connections)
        return pool

    async def _connect(self, pool: HttpPool, target: _Target, until: float) -> HttpConnection:
        """A connection and a place in the pool; raises Permanent, Transient or NotStarted."""
        try:
            async with asyncio.timeout_at(until):
                await pool.enter()
        except TimeoutError as error:
            raise not_connected(error) from None
        try:
            now = asyncio.get_running_loop().time()
            return pool.take_kept(target.origin, now) or await self._dial(pool, target, until)
        except BaseException:
            pool.leave()
            raise

    async def _dial(self, pool: HttpPool, target: _Target, until: float) -> HttpConnection:
        # What this turn of the loop has still to do is not the peer's time.
        await asyncio.sleep(0)
        self._require_not_closed()
        time_out = self._dialler.limit(until)
        try:
            async with time_out:
                self._connecting.add(time_out)
                connection = await self._dialler.dial(
                    target.scheme,
                    target.host,
                    target.port,
                    lambda: HttpConnection(target.origin, pool, self._config.response_cap),
                )
        except ForbiddenDestination as refused:
            raise forbidden(refused) from None
        except (Unresolved, OSError) as error:
            self._require_not_closed()
            if time_out.expired() and _is_late(time_out):
                raise NotStarted("this process was too busy to connect") from None
            raise not_connected(error) from None
        finally:
            self._connecting.discard(time_out)
        if not connection.is_open:
            self._require_not_closed()
            raise not_connected(ConnectionResetError())
        return connection

    def _require_not_closed(self) -> None:
        if self._closed:
            raise NotStarted("the channel is closed") from None


def _is_late(time_out: asyncio.Timeout) -> bool:
    until = time_out.when()
    return until is not None and asyncio.get_running_loop().time() - until > _LATE_S


def _rest_of_head(headers: Mapping[str, str], length: int) -> bytes:
    """The part of a request's head that is its own; Permanent where a value would begin a line."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise Permanent("a header holds a line break", reason=FailureReason.HEADER_INJECTION)
    return f"{text}content-length: {length}\r\n\r\n".encode()


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that the peer asks for by ``Retry-After`` (RFC 9110, section 10.2.3), 0 to 86,400; None where unreadable.

    Both forms are read: a count of seconds, and a date.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        # int() refuses thousands of digits, and a peer may send as many as a header holds.
        return float(min(int(value[:_MOST_DIGITS]), MAX_RETRY_AFTER_S))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), float(MAX_RETRY_AFTER_S))
