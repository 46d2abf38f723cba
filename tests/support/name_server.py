"""A name server that knows some TXT records, by UDP on a port of its own, and a resolver that asks nobody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final, cast

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

_TTL: Final = 0
_PATIENCE_S: Final = 1.0


class _Server(asyncio.DatagramProtocol):
    """``texts``: a record's pieces by its name; of None there is the name, and no such record."""

    def __init__(self, texts: Mapping[str, tuple[str, ...] | None]) -> None:
        self._texts = {f"{name}.": pieces for name, pieces in texts.items()}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # which its own class is not derived from

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        question = query.question[0]
        name = question.name.to_text().lower()
        if name not in self._texts:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif (pieces := self._texts[name]) is not None and question.rdtype == dns.rdatatype.TXT:
            record = " ".join(f'"{piece}"' for piece in pieces)
            answer.answer = [dns.rrset.from_text(name, _TTL, "IN", "TXT", record)]
        if self._transport is not None:
            self._transport.sendto(answer.to_wire(), addr)


@contextlib.asynccontextmanager
async def knowing(texts: Mapping[str, tuple[str, ...] | None]) -> AsyncIterator[dns.asyncresolver.Resolver]:
    """A resolver that asks a server which knows ``texts``: the pieces of each name's one TXT record."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(texts), local_addr=("127.0.0.1", 0))
    try:
        yield asking(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def asking(port: int) -> dns.asyncresolver.Resolver:
    """A resolver that asks whoever is at this port of this machine, if anybody is."""
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = port
    resolver.lifetime = _PATIENCE_S
    return resolver
