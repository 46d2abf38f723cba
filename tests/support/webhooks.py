"""What the tests of outgoing requests share: a name server that says what it is told, a raw peer."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

from channels.guard import Address
from channels.guarded_http import Answer, GuardedHttp
from channels.webhook import WebhookChannel, WebhookConfig
from tests.support.envelopes import go_on

LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def opened(config: WebhookConfig, **parts: Any) -> AsyncIterator[WebhookChannel]:
    """A channel, closed in the end."""
    channel = WebhookChannel(config, **parts)
    try:
        yield channel
    finally:
        await channel.close()


async def post(http: GuardedHttp, url: str, *, body: bytes = b"{}", proceed: Callable[[], None] = go_on) -> Answer:
    """A small request."""
    return await http.post(url, headers={"content-type": "application/json"}, body=body, proceed=proceed)


@dataclass
class NameServer:
    """Resolves every name to the next of ``answers``; the last one stands. An empty answer: no such name."""

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("no such name")
        return [ip_address(address) for address in answer]

    def close(self) -> None:
        """It holds nothing."""


@dataclass
class RawPeer:
    """A TCP server that counts who comes."""

    port: int = 0
    connections: int = 0

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """The address of a hook here."""
        return f"{scheme}://{host}:{self.port}/hook"


@contextlib.asynccontextmanager
async def raw_peer(
    serve: Peer, host: str = "127.0.0.1", *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawPeer]:
    """A server that runs ``serve`` for every connection, then aborts those left. ``port``: 0 for a free one."""
    peer = RawPeer()
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.connections += 1
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(accept, host, port, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request to the end of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, rest = head.lower().partition(b"content-length:")
    return head + await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
