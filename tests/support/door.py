"""Who is connected to a server of the tests, whom it lets in, and how it hangs up."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakSet

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

Dropping = Callable[[int], object]
"""Called with the client's port, just before its line is cut."""


@dataclass
class Door:
    """``dropping``: called for the next to come, of whom nothing is read; ``hang_up`` then ends it."""

    dropping: Dropping | None = None
    _connected: "WeakSet[asyncio.BaseTransport]" = field(default_factory=WeakSet)

    def came(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._connected.add(transport)
        dropping, self.dropping = self.dropping, None
        if dropping is not None:
            dropping(_port(transport))
            # aiohttp cannot bear that it is gone at once.
            cast(asyncio.ReadTransport, transport).pause_reading()

    def hang_up(self) -> None:
        """Cut every connection."""
        for transport in list(self._connected):
            drop(transport, None)


def drop(transport: asyncio.BaseTransport | None, dropping: Dropping | None) -> None:
    """Cut the line, unless it is gone."""
    if transport is not None:
        if dropping is not None:
            dropping(_port(transport))
        # cast: uvloop's transports are no subclass of asyncio's.
        cast(asyncio.WriteTransport, transport).abort()


def _port(transport: asyncio.BaseTransport) -> int:
    return int(transport.get_extra_info("peername")[1])


class WebServer(web.Server):
    """aiohttp's, with a door."""

    def __init__(self, door: Door, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._door = door

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._door.came(transport)
