"""HTTP requests to URLs that strangers gave: guarded, bounded, and clear about what may have been received."""

import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection

from channels.errors import NotStarted, Permanent, Transient, Unknown
from channels.guard import ForbiddenDestination, Guard, GuardedResolver, Network
from models.vocabulary import FailureReason

MAX_RETRY_AFTER_S: Final = 86_400
"""No peer holds a message back for longer than a day."""

_DETAIL_LENGTH: Final = 200
_MOST_DIGITS: Final = 100
_KEEP_ALIVE_S: Final = 4.0
"""Shorter than the 5 s after which common servers (Node.js) close an idle connection: a request that meets the closing
one ends as Unknown, because nobody can tell whether it was read (RFC 9112, section 9.3.1)."""


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


class Answer(NamedTuple):
    """What the peer answered; of its body only the status is ever of use."""

    status: int
    reason: str
    headers: Mapping[str, str]

    @property
    def detail(self) -> str:
        """Status and reason phrase, at most 200 characters, all of them printable."""
        phrase = "".join(character for character in self.reason if character.isprintable())
        return f"{self.status} {phrase}".strip()[:_DETAIL_LENGTH]


class GuardedHttp:
    """A client with pooled connections. It follows no redirect, keeps no cookie, uses no proxy, inflates nothing.

    ``resolver`` replaces the system's; ``ssl_context`` the default one, which trusts the system's authorities.
    """

    def __init__(
        self,
        config: HttpConfig,
        *,
        resolver: AbstractResolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._config = config
        self._guard = Guard(config.allow_nets)
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._closed = False

    async def post(
        self, address: str, *, headers: Mapping[str, str], body: bytes, proceed: Callable[[], None]
    ) -> Answer:
        """Send one request and read its answer, of which at most ``response_cap`` bytes.

        ``proceed`` is called on the connection that is used, right before the request's first byte. Raises Permanent
        for a destination that the guard refuses, Transient where nothing was sent, and Unknown where the line broke
        after that; whatever ``proceed`` raises passes through.
        """
        try:
            url = self._guard.check_url(address)
        except ValueError:
            raise Permanent("the address is not a URL", reason=FailureReason.INVALID_ADDRESS) from None
        except ForbiddenDestination as refused:
            raise _forbidden(refused) from None
        exchange = _Exchange(proceed)
        _EXCHANGE.set(exchange)
        try:
            response = await self._session(url.scheme).post(url, data=body, headers=headers, allow_redirects=False)
        except ForbiddenDestination as refused:
            raise _forbidden(refused) from None
        except (aiohttp.ClientError, OSError) as error:
            # The cause quotes the URL, which may hold a token: it ends here.
            if exchange.started:
                raise Unknown(f"no answer after the request was sent: {type(error).__name__}") from None
            raise Transient(_why_not_connected(error)) from None
        await self._drain(response)
        return Answer(response.status, response.reason or "", response.headers)

    async def close(self) -> None:
        """Close every connection, those in use too. What is sent afterwards is NotStarted."""
        self._closed = True
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
        if self._resolver is not None:
            await self._resolver.close()

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        if self._closed:
            raise NotStarted("the channel is closed")
        session = self._sessions.get(scheme)
        if session is None:
            session = self._sessions[scheme] = self._open(scheme)
        return session

    def _open(self, scheme: str) -> aiohttp.ClientSession:
        config = self._config
        if self._resolver is None:
            self._resolver = aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._guard, scheme, self._resolver),
            ssl=self._ssl_context or True,
            limit=config.max_connections,
            keepalive_timeout=_KEEP_ALIVE_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=config.total_timeout_s, sock_connect=config.connect_timeout_s),
            trust_env=False,
            auto_decompress=False,
            headers={"user-agent": config.user_agent, "accept": "*/*", "accept-encoding": "identity"},
            request_class=_CheckedRequest,
        )

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        """Read the answer to its end, so that the connection can be used again; or drop the connection at the cap.

        The status has been received by now, and nothing that goes wrong from here on takes it back.
        """
        left, content = self._config.response_cap, response.content
        try:
            while left > 0 and not content.is_eof():
                left -= len(await content.readany())
        except (aiohttp.ClientError, OSError):
            pass
        finally:
            # A connection whose answer has come to its end is back in the pool by now, and stays there.
            response.close()


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
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), float(MAX_RETRY_AFTER_S))


class _Exchange:
    """Where one request stands: whether a byte of it may have left."""

    __slots__ = ("proceed", "started")

    def __init__(self, proceed: Callable[[], None]) -> None:
        self.proceed = proceed
        self.started = False


_EXCHANGE: Final[ContextVar[_Exchange]] = ContextVar("exchange")
"""The exchange of the task that sends. aiohttp makes the request by itself and lets us hand it nothing else."""


class _CheckedRequest(aiohttp.ClientRequest):
    """A request that asks whether it may still be sent: on its connection, before its first byte.

    aiohttp's tracing has a signal at this place too, and it costs a quarter of the throughput.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        exchange = _EXCHANGE.get()
        # Where this raises, aiohttp closes the connection.
        exchange.proceed()
        exchange.started = True
        return await super().send(conn)


def _forbidden(refused: ForbiddenDestination) -> Permanent:
    return Permanent(str(refused), reason=FailureReason.FORBIDDEN_DESTINATION)


def _why_not_connected(error: Exception) -> str:
    """What went wrong before the request, without the host's name."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the certificate is not valid for the host, or not trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS handshake failed"
    if isinstance(error, TimeoutError):
        return "no connection within the time-out"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {type(error.os_error).__name__}"
    return f"no connection: {type(error).__name__}"
