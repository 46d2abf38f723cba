"""``python -m tests.support.smtp_rates``: mails a second over one connection of a slow link, against aiosmtplib's.

The link takes 25 ms each way. PIPELINING is measured against our own sink, CHUNKING against Postfix where it is
installed; the same mails go by ``aiosmtplib.SMTP.sendmail`` over the same link.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import aiosmtplib
import uvloop

from channels.smtp_pool import SmtpPool
from channels.smtp_session import Timeouts, Transaction
from channels.smtp_url import parse_smtp_url
from tests.support import delay_proxy, postfix, smtp_sink
from tests.support.envelopes import go_on

DELAY_S: Final = 0.025
_SENDER: Final = "news@example.org"
_RECIPIENT: Final = "ann@example.net"
_CONTENT: Final = b"From: news@example.org\r\nTo: ann@example.net\r\nSubject: Hi\r\n\r\n" + b"Hello there.\r\n" * 50

Send = Callable[[], Awaitable[object]]


class Rate(NamedTuple):
    """What one client did: mails a second, and round trips a mail."""

    per_second: float
    round_trips: float


class Rates(NamedTuple):
    """Ours and aiosmtplib's over the same link."""

    ours: Rate
    aiosmtplib: Rate

    @property
    def ratio(self) -> float:
        """How many times as many mails a second."""
        return self.ours.per_second / self.aiosmtplib.per_second


async def measure(port: int, mails: int, delay_s: float = DELAY_S) -> Rates:
    """Send ``mails`` mails by each client over one connection to the server at ``port``, ``delay_s`` away."""
    async with delay_proxy.running(port, delay_s) as link:
        pool = SmtpPool(parse_smtp_url(f"smtp+plain://127.0.0.1:{link.port}"), None, lambda: 1, Timeouts())
        try:
            mail = Transaction(_SENDER, _RECIPIENT, _CONTENT, go_on)
            ours = await _rate(link, lambda: pool.deliver(mail), mails)
        finally:
            await pool.close()
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=link.port, start_tls=False) as client:
            theirs = await _rate(link, lambda: client.sendmail(_SENDER, [_RECIPIENT], _CONTENT), mails)
    return Rates(ours, theirs)


async def _rate(link: delay_proxy.SlowLink, send: Send, mails: int) -> Rate:
    await send()  # The first one opens the connection.
    turns, began = link.turns, time.perf_counter()
    for _ in range(mails):
        await send()
    return Rate(mails / (time.perf_counter() - began), (link.turns - turns) / mails)


def _show(name: str, rates: Rates) -> None:
    ours, theirs = rates
    sys.stdout.write(
        f"{name}: {ours.per_second:.1f}/s in {ours.round_trips:.0f} round trips, "
        f"aiosmtplib {theirs.per_second:.1f}/s in {theirs.round_trips:.0f}: {rates.ratio:.2f} times\n"
    )


async def _main() -> None:
    async with smtp_sink.running(offers=("PIPELINING",)) as sink:
        _show("PIPELINING, our sink", await measure(sink.port, 40))
    if (reason := postfix.why_not()) is not None:
        sys.stdout.write(f"CHUNKING, Postfix: not measured: {reason}\n")
        return
    with postfix.running() as server:
        _show("CHUNKING, Postfix", await measure(server.port, 40))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
