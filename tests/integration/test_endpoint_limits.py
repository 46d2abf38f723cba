"""An endpoint that hangs delays only itself: by the channel, and through the whole house."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from channels.contract import Content
from channels.errors import Limited, NotStarted, SendError, Transient, Unknown
from channels.webhook import WebhookChannel, WebhookConfig
from models.session import Database
from tests.support import hanging
from tests.support.broker import ValkeyServer
from tests.support.envelopes import envelope
from tests.support.http_sink import HttpSink
from tests.support.webhooks import LOOPBACK, opened

CONTENT = Content(body="b")
_ATTEMPTS = 3


async def outcome(channel: WebhookChannel, url: str) -> type[SendError] | None:
    try:
        await channel.send(envelope(url), channel.prepare(CONTENT))
    except SendError as error:
        return type(error)
    return None


async def test_what_an_endpoint_cannot_take_is_refused_before_anything_is_sent(web_sink: HttpSink) -> None:
    web_sink.script(path="/slow", delay_s=60)
    async with opened(WebhookConfig(LOOPBACK, total_timeout_s=1.5), slots=40) as channel:
        first = await asyncio.gather(*(outcome(channel, web_sink.url("/slow")) for _ in range(40)))
        assert (first.count(Unknown), first.count(Limited)) == (4, 36)
        assert len(web_sink.requests) == 4
        then = await asyncio.gather(*(outcome(channel, web_sink.url("/slow")) for _ in range(10)))
        assert (then.count(Unknown), then.count(Limited)) == (1, 9)
        # It answers again: the next one that is sent opens it, and each answer by one more.
        for number in (1, 2, 4):
            ends = await asyncio.gather(*(outcome(channel, web_sink.url("/")) for _ in range(number)))
            assert set(ends) == {None}
        ends = await asyncio.gather(*(outcome(channel, web_sink.url("/")) for _ in range(30)))
        # What it could not take in a quarter of a second, as on a busy machine, may come back.
        assert set(ends) <= {None, Limited}
        assert ends.count(None) >= 4  # which begin at once


async def test_an_endpoint_that_answers_takes_a_burst_of_any_size(web_sink: HttpSink) -> None:
    async with opened(WebhookConfig(LOOPBACK), slots=200) as channel:
        left, bursts = 200, 0
        while left:
            ends = await asyncio.gather(*(outcome(channel, web_sink.url()) for _ in range(left)))
            # What it could not take in a quarter of a second comes back; nothing else may have happened.
            assert set(ends) <= {None, Limited}
            left -= ends.count(None)
            bursts += 1
    assert len(web_sink.requests) == 200
    # It may have twelve at once: without a wait for their turn it would take eighteen bursts.
    assert bursts <= 12


async def test_a_busy_process_does_not_take_its_own_delay_for_the_peers() -> None:
    """The loop stands still while the connection is made, which is then given up far too late."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        full = [socket.socket() for _ in range(4)]  # nobody accepts: what comes next gets no answer
        for each in full:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        config = WebhookConfig(LOOPBACK, connect_timeout_s=0.3)
        async with opened(config) as channel:
            assert await outcome(channel, f"http://127.0.0.1:{port}/") is Transient
            # This is the delay. Its timer is due before that of the connection, and so is run before it.
            asyncio.get_running_loop().call_later(0.05, time.sleep, 2.0)
            assert await outcome(channel, f"http://127.0.0.1:{port}/") is NotStarted
        for each in full:
            each.close()


@pytest.mark.timeout(400)  # it tries three times, on a machine that may be busy
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL: tests/faults/web_peers.py
async def test_a_fifth_of_the_endpoints_hang_and_the_others_do_not_notice(
    tmp_path: Path, database: Database, valkey: ValkeyServer
) -> None:
    """The short form; the long one is ``pytest -s tests/integration/long_hang.py``.

    Endpoints that delay others do so each time; a machine that is busy with something else, now and then.
    """
    seen: list[hanging.Comparison] = []
    while len(seen) < _ATTEMPTS:
        folder = tmp_path / str(len(seen))
        folder.mkdir()
        found = await hanging.compare(folder, database, valkey.url, rounds=30, stretches=3)
        assert found.most_in_hand <= 25
        # What was refused burnt no try.
        assert found.failed == 0
        seen.append(found)
        # What an attempt leaves behind may disturb the next one's normal. Below a tenth of a second it is the machine
        # that is measured.
        if found.median <= 2 * max(min(each.normal for each in seen), 0.1):
            return
    pytest.fail(f"the others were delayed: {seen}")
