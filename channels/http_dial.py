"""New connections to web servers: the name resolved, every address checked, TCP, then TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

import aiohappyeyeballs

from channels.errors import Permanent, Transient
from channels.guard import ForbiddenDestination, GuardedResolver, Unresolved
from channels.http_connection import HttpConnection
from models.vocabulary import FailureReason

_NEXT_ADDRESS_S: Final = 0.25
"""How long one address is tried before the next is tried beside it (RFC 8305, section 5)."""


class Dialler:
    """Connects to what the guard allows; within ``timeout_s`` for each connection, TLS included.

    ``ssl_context`` replaces the default one, which trusts the system's authorities.
    """

    def __init__(self, resolver: GuardedResolver, ssl_context: ssl.SSLContext | None, timeout_s: float) -> None:
        self._resolver = resolver
        self._ssl_context = ssl_context
        self._timeout_s = timeout_s

    def limit(self, until: float) -> asyncio.Timeout:
        """The time that a connection may take that begins now, and not beyond ``until``."""
        return asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + self._timeout_s))

    async def dial(self, scheme: str, host: str, port: int, protocol: Callable[[], HttpConnection]) -> HttpConnection:
        """A connection; raises ForbiddenDestination, Unresolved or OSError, ssl.SSLError among the latter."""
        addresses = await self._resolver.resolve(host, scheme=scheme, port=port)
        ends = [
            (
                socket.AF_INET if address.version == 4 else socket.AF_INET6,
                socket.SOCK_STREAM,
                0,
                "",
                (str(address), port),
            )
            for address in addresses
        ]
        connected = await aiohappyeyeballs.start_connection(ends, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        tls = self._tls() if scheme == "https" else None
        # A certificate names the host without the dot that ends an absolute name (RFC 6066, section 3).
        name = host.removesuffix(".") if tls is not None else None
        _, connection = await asyncio.get_running_loop().create_connection(
            protocol, sock=connected, ssl=tls, server_hostname=name
        )
        return connection

    def close(self) -> None:
        """Give up what is being resolved."""
        self._resolver.close()

    def _tls(self) -> ssl.SSLContext:
        # Made when it is first needed: it reads all the system's authorities.
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context


def forbidden(refused: ForbiddenDestination) -> Permanent:
    """What becomes of a message to where the guard lets nothing go."""
    return Permanent(str(refused), reason=FailureReason.FORBIDDEN_DESTINATION)


def not_connected(error: Unresolved | OSError) -> Transient:
    """What went wrong before the request, without the host's name."""
    if isinstance(error, Unresolved):
        return Transient("the host name does not resolve")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Transient("the certificate is not valid for the host, or not trusted")
    if isinstance(error, ssl.SSLError):
        return Transient("the TLS handshake failed")
    if isinstance(error, TimeoutError):
        return Transient("no connection within the time-out")
    return Transient(f"no connection: {type(error).__name__}")
