"""E8: web servers that hang, lie, redirect, or never end, against a table that was written by hand.

Each misbehaves in one way, on a port of its own, and so is an endpoint of its own. Who listens where the guard lets
nothing go must hear nobody, and the worker must hold no more memory than before. It would catch a build that follows a
redirect, reads or inflates a whole body, believes any certificate, or waits for years; one that repeats a request after
a lost answer without saying so; and one that goes on with an endpoint that is gone, or gives up one that is not.
"""

import asyncio
import contextlib
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import partial
from typing import Final

import trustme

from models.vocabulary import Channel
from tests.faults import families, names, rig
from tests.faults.acts import perform
from tests.faults.experiment import KEEPERS, Found, Place, Size
from tests.faults.ledger import Ledger
from tests.faults.peers import COUNTS, Case, Court, Shop
from tests.faults.web_oracle import BOMB, CANARY, CLOSED, ELSEWHERE, ORACLE, SOON, Bad
from tests.support.waiting import wait_until
from tests.support.webhooks import RawPeer, raw_peer, read_request
from wireroom.up import worker_service

_FULL: Final = 100
_PATIENCE_S: Final = {Size.SHORT: 90.0, Size.MINUTES: 150.0, Size.FULL: 400.0}
_WELL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_MOST_GROWTH: Final = 50 << 20
_INSIDE: Final = "127.0.0.2"
"""Where the canary sits: the guard is told of 127.0.0.1 alone."""
_LOOPBACK: Final = "127.0.0.1"
_SOON_S: Final = 120
_GZIP: Final = 31
"""The window of zlib's that means gzip."""
_NETS: Final = f"{_LOOPBACK}/32"
_UNNAMED: Final = "names that break or change: needs a mount namespace (unshare) and port 53"


async def run(place: Place, size: Size) -> Found:
    """Send to servers of every kind at once."""
    authority = trustme.CA()
    trusted = place.folder / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    settings = {"WIREROOM_WEBHOOK_ALLOW_NETS": _NETS, "SSL_CERT_FILE": str(trusted)}
    url = place.server.url(place.server.create())
    count = COUNTS.get(size, _FULL)
    named = names.is_possible()
    async with (
        rig.opened(
            place.folder, url, seed=place.seed, workers=0, contacts=0, settings=settings, keepers=KEEPERS[size]
        ) as house,
        _street(authority) as street,
        contextlib.AsyncExitStack() as stack,
    ):
        worker = worker_service(1)
        if named:
            worker = names.asking(worker, stack.enter_context(names.running()), place.folder)
        house.stack.supervisor.start(worker)
        shop = await Shop.open(house, "webhooks")
        court = Court(house, Channel.WEBHOOK, street.ledger, place.say)
        first, *others = [bad for bad in ORACLE if size in bad.sizes and (named or not bad.zone)]
        court.add(await _sent(shop, first, await street.open(first, count)))
        await court.judge(_PATIENCE_S[size])
        memory = [families.resident(house.family("worker-1"))]
        async with court.watching():
            for bad in others:
                court.add(await _sent(shop, bad, await street.open(bad, count)))
        faults = await court.judge(
            _PATIENCE_S[size], lambda: memory.append(families.resident(house.family("worker-1")))
        )
        growth = max(memory) - memory[0]
        if growth >= _MOST_GROWTH:
            faults.append(f"the worker grew by {growth >> 20} MB")
        heard = street.heard()
        faults += await street.overheard()
        figures = {"came": street.ledger.count(), "worker_grew_mb": growth >> 20}
        figures["canaries"] = heard
        return Found({**court.figures(), **figures}, faults, [] if named else [_UNNAMED])


async def _sent(shop: Shop, bad: Bad, urls: Sequence[str]) -> Case:
    """A message to each of these URLs."""
    contacts = await shop.ask("/contacts", *[{"webhookUrl": url} for url in urls])
    promised = await shop.send(Channel.WEBHOOK, [{"contactId": contact["id"]} for contact in contacts])
    return Case(bad.name, shop.workspace, {token: (shown, bad.end) for token, shown in promised.items()})


class _Street:
    """The servers. ``canary`` sits where nothing may go, ``elsewhere`` where nothing was sent to.

    Beside each server that has a name sits a canary of its own, on the same port. ``closed``: a port that is taken, and
    where nobody listens.
    """

    def __init__(
        self,
        stack: contextlib.AsyncExitStack,
        certificates: Mapping[str, ssl.SSLContext],
        canary: RawPeer,
        elsewhere: RawPeer,
        closed: int,
    ) -> None:
        self.ledger = Ledger()
        self._canaries = [canary]
        self._stack = stack
        self._certificates = certificates
        self._elsewhere = elsewhere
        self._words = {
            CANARY: f"{_INSIDE}:{canary.port}".encode(),
            ELSEWHERE: f"{_LOOPBACK}:{elsewhere.port}".encode(),
            CLOSED: f"{_LOOPBACK}:{closed}".encode(),
            BOMB: _bomb(),
        }

    async def open(self, bad: Bad, count: int) -> list[str]:
        """Endpoints that misbehave so, one for each message."""
        if bad.url:
            where = self._filled(bad.url.encode()).decode()
            return [f"{where}/{number}" for number in range(count)]
        peers = [await self._stack.enter_async_context(self._peer(bad)) for _ in range(count if bad.apart else 1)]
        if bad.zone:
            self._canaries.append(await self._stack.enter_async_context(raw_peer(_listen, _INSIDE, port=peers[0].port)))
            hosts = [f"name{number}.{bad.zone}.{names.ZONE}" for number in range(count)]
            return [f"{peers[0].url(host)}/{number}" for number, host in enumerate(hosts)]
        scheme = "https" if bad.certificate else "http"
        return [f"{peers[number % len(peers)].url(scheme=scheme)}/{number}" for number in range(count)]

    def heard(self) -> int:
        """How many connections came to canaries."""
        return sum(each.connections for each in self._canaries)

    async def overheard(self) -> list[str]:
        """Who was spoken to that should not have been; that they hear at all is tried last."""
        silent = [*((_INSIDE, each) for each in self._canaries), (_LOOPBACK, self._elsewhere)]
        faults = [f"{host}:{peer.port}: {peer.connections} came" for host, peer in silent if peer.connections]
        for host, peer in silent:
            before = peer.connections
            _, writer = await asyncio.open_connection(host, peer.port)
            await wait_until(partial(_came, peer, before))
            writer.close()
        return faults

    def _peer(self, bad: Bad) -> contextlib.AbstractAsyncContextManager[RawPeer]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                request = await read_request(reader)
                self.ledger.note(Channel.WEBHOOK, request.decode())
                act = replace(bad.act, says=self._filled(bad.act.says))
                await perform(act, _WELL, reader, writer)

        return raw_peer(serve, tls=self._certificates.get(bad.certificate))

    def _filled(self, text: bytes) -> bytes:
        soon = formatdate(time.time() + _SOON_S, usegmt=True).encode()
        for word, meaning in {**self._words, SOON: soon}.items():
            text = text.replace(word, meaning)
        return text


@contextlib.asynccontextmanager
async def _street(authority: trustme.CA) -> AsyncIterator[_Street]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    shown = {
        "good": authority.issue_cert(_LOOPBACK),
        "expired": authority.issue_cert(_LOOPBACK, not_after=yesterday),
        "other": authority.issue_cert("hooks.example.org"),
        "nobody": trustme.CA().issue_cert(_LOOPBACK),
    }
    certificates = {name: ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) for name in shown}
    for name, context in certificates.items():
        shown[name].configure_cert(context)
    with socket.socket() as closed:
        closed.bind((_LOOPBACK, 0))
        async with contextlib.AsyncExitStack() as stack:
            canary = await stack.enter_async_context(raw_peer(_listen, _INSIDE))
            elsewhere = await stack.enter_async_context(raw_peer(_listen))
            yield _Street(stack, certificates, canary, elsewhere, closed.getsockname()[1])


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def _came(peer: RawPeer, before: int) -> bool:
    return peer.connections > before


def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    block = bytes(1_000_000)
    return b"".join([*[packer.compress(block) for _ in range(60)], packer.flush()])
