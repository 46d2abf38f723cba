"""E7: mail servers that refuse, fall silent, hang up, or talk nonsense, against a table that was written by hand.

Each misbehaves in one way, and serves one workspace, whose sender it is: how that one fares is seen too. What came is
what the servers had whole. It would catch a build that retries a 5xx or gives up at a 4xx, that repeats a mail after a
lost answer without marking the first try, repeats one that is to be held, takes a refused recipient for a broken
sender or the other way round, or gives up a silent server too early.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Mapping
from typing import Final

import trustme

from models.vocabulary import Channel
from tests.faults import rig
from tests.faults.acts import Act, perform
from tests.faults.experiment import KEEPERS, Found, Place, Size
from tests.faults.ledger import Ledger
from tests.faults.mail_oracle import ORACLE, Bad
from tests.faults.peers import COUNTS, Case, Court, End, Shop
from tests.faults.rig import Rig
from tests.support.webhooks import raw_peer

_FULL: Final = 200
_PATIENCE_S: Final = {Size.SHORT: 90.0, Size.MINUTES: 200.0, Size.FULL: 680.0}
_OFFERS: Final = (b"250 bad.test\r\n", b"250-bad.test\r\n250 PIPELINING\r\n")
_NO_OTHER: Final = {"WIREROOM_SMTP_URL": "", "WIREROOM_EMAIL_FROM": ""}
"""The operator has no sender: a workspace's own one is looked up at once, and nothing goes another way."""
_USUAL: Final = {
    "CONNECT": b"220 bad.test\r\n",
    "DATA": b"354 go on\r\n",
    "DOT": b"250 2.0.0 taken\r\n",
    "QUIT": b"221 bye\r\n",
}
_OK: Final = b"250 OK\r\n"
_NOBODY: Final = b"503 5.5.1 no valid recipients\r\n"


async def run(place: Place, size: Size) -> Found:
    """Send by servers of every kind at once."""
    url = place.server.url(place.server.create())
    count = COUNTS.get(size, _FULL)
    choice = random.Random(place.seed)
    chosen = [bad for bad in ORACLE if size in bad.sizes]
    async with (
        rig.opened(
            place.folder, url, seed=place.seed, workers=1, contacts=0, settings=_NO_OTHER, keepers=KEEPERS[size]
        ) as house,
        contextlib.AsyncExitStack() as stack,
    ):
        ledger = Ledger()
        court = Court(house, Channel.EMAIL, ledger, place.say)
        async with court.watching():
            for bad in chosen:
                server = _Server({"EHLO": Act(choice.choice(_OFFERS))} | dict(bad.acts), ledger)
                peer = await stack.enter_async_context(raw_peer(server.serve))
                court.add(await _sent(house, bad, peer.port, min(count, bad.most)))
        faults = await court.judge(_PATIENCE_S[size])
        messages = sum(len(case.messages) for case in court.cases)
        return Found({"cases": len(chosen), "messages": messages, "came": ledger.count(), **court.figures()}, faults)


async def _sent(house: Rig, bad: Bad, port: int, count: int) -> Case:
    """Messages by a sender of a new workspace, half of them to recipients who are called odd."""
    shop = await Shop.open(house, bad.name)
    credentials = {"smtpUrl": bad.url.format(port=port), "from": "Shop <shop@example.org>"}
    await shop.ask("/channels/EMAIL", {"name": bad.name, "credentials": credentials})
    (contact,) = await shop.ask("/contacts", {"email": "reader@example.net"})
    ends: list[End] = [bad.odd or bad.end if number % 2 else bad.end for number in range(count)]
    items = [
        {
            "contactId": contact["id"],
            "to": f"{'odd' if number % 2 else 'even'}{number}@example.net",
            "onUnknown": "hold" if bad.hold else "retry",
        }
        for number in range(count)
    ]
    promised = await shop.send(Channel.EMAIL, items)
    messages = {token: (shown, end) for (token, shown), end in zip(promised.items(), ends, strict=True)}
    return Case(bad.name, shop.workspace, messages, rests=bad.rests)


class _Server:
    """A mail server that does as its acts say, and what is usual where they say nothing."""

    def __init__(self, acts: Mapping[str, Act], ledger: Ledger) -> None:
        self._acts = acts
        self._ledger = ledger

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until somebody hangs up."""
        has_recipient = False
        await self._answer("CONNECT", reader, writer)
        while line := await reader.readline():
            word = line[:8].split()[0].upper().decode("latin-1")
            if word == "DATA" and not has_recipient:
                writer.write(_NOBODY)
                continue
            said = await self._answer("RCPT odd" if word == "RCPT" and b"<odd" in line else word, reader, writer)
            has_recipient = said.startswith(b"2") if word == "RCPT" else has_recipient and word != "RSET"
            if word == "STARTTLS" and said.startswith(b"2"):
                await _begin_tls(writer)
                return
            if word == "DATA" and said.startswith(b"354"):
                has_recipient = False
                await self._take(reader, writer)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readline()
        if "CONTENT" in self._acts:
            await self._answer("CONTENT", reader, writer)
        content = head + await reader.readuntil(b"\r\n.\r\n")
        self._ledger.note(Channel.EMAIL, content.decode("latin-1"))
        await self._answer("DOT", reader, writer)

    async def _answer(self, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        act = self._acts.get(command) or self._acts.get(command.partition(" ")[0]) or Act()
        return await perform(act, _USUAL.get(command, _OK), reader, writer)


async def _begin_tls(writer: asyncio.StreamWriter) -> None:
    """Show a certificate by an authority that nobody trusts; no client goes on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with contextlib.suppress(ssl.SSLError):
        await writer.start_tls(context)
    writer.transport.abort()
