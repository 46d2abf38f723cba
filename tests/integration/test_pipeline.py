"""Worker and keeper as processes, on real servers: what is accepted arrives, whatever dies meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import redis
from sqlalchemy import func, select

from models.ids import Kind, show
from models.session import Database
from models.store import outcomes
from models.tables import messages
from models.vocabulary import Channel, FailureReason, State, Status
from tests.support import scene as scenes
from tests.support.broker import ValkeyServer
from tests.support.house import House
from tests.support.http_sink import HttpSink
from tests.support.lapsing import let_lapse
from tests.support.scene import Scene
from tests.support.smtp_sink import Mail, SmtpSink
from tests.support.waiting import wait_until
from worker import redis_keys


@pytest.fixture
async def post(tmp_path: Path, database: Database, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[Scene]:
    """A scene on a Valkey of its own."""
    async with scenes.opened(tmp_path, database, valkey.url, scenes.channel_settings(mail_sink.port)) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path, database_url: str, valkey: ValkeyServer, mail_sink: SmtpSink) -> AsyncIterator[House]:
    """The processes; none runs yet."""
    house = House(tmp_path, database_url=database_url, redis_url=valkey.url, smtp_port=mail_sink.port)
    yield house
    await asyncio.to_thread(house.close)  # the mail server, on this loop, must answer to the last


async def states(scene: Scene) -> Counter[Status]:
    return Counter(row.status for row in await scene.rows())


def copies(sink: SmtpSink) -> Counter[str]:
    """How often each message arrived, by its own header."""
    return Counter(str(mail.parsed()["X-Wireroom-Message"]).partition(";")[0] for mail in sink.mails)


async def send_mails(scene: Scene, count: int) -> list[UUID]:
    contact = await scene.contact()
    results = await scene.intake.submit_many([scene.draft(contact) for _ in range(count)])
    return [result.message.id for result in results if not isinstance(result, Exception)]


async def all_sent(scene: Scene, count: int) -> None:
    """Wait until nothing is under way; all of it is sent."""
    waiting = select(func.count()).where(messages.c.state.in_([State.QUEUED.value, State.SENDING.value]))

    async def at_rest() -> bool:
        async with scene.database.read() as connection:
            return not await connection.scalar(waiting)

    await wait_until(at_rest, timeout=60, interval=0.2)
    assert await states(scene) == {Status.SENT: count}


def is_gone(client: "redis.Redis", key: str) -> bool:
    return not client.exists(key)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_lets_those_who_come_later_wake_it_anew(post: Scene, house: House, valkey: ValkeyServer) -> None:
    house.start_worker()
    with redis.Redis.from_url(valkey.url) as client:
        for actor, lane in (("email", "transactional"), ("webhook", "bulk"), ("tracker", "events")):
            key = redis_keys.on_its_way(actor, lane)
            client.set(key, b"1")  # for ever: it does not die by itself
            await post.wakeups.top_up(actor, lane)
            await wait_until(partial(is_gone, client, key), timeout=60)


async def test_a_mail_and_a_webhook_arrive(post: Scene, house: House, mail_sink: SmtpSink, web_sink: HttpSink) -> None:
    house.start_worker()
    house.start_keeper()  # a wake-up may get lost; the keeper repeats it
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    contact = await post.contact(webhook_url=web_sink.url("/in"), webhook_secret=secret)
    mail = await post.send(contact)
    hook = await post.send(contact, channel=Channel.WEBHOOK, metadata={"order": 7})

    async def settled() -> bool:
        return (await states(post)) == {Status.SENT: 1, Status.DELIVERED: 1}

    await wait_until(settled, timeout=30, interval=0.1)
    (received,) = mail_sink.mails
    assert received.recipients == ("ann@example.org",)
    assert received.parsed()["Subject"] == "Hello Ann"
    assert received.parsed()["Message-ID"].startswith(f"<{show(Kind.MESSAGE, mail.id)}")
    (request,) = web_sink.requests
    assert request.headers["webhook-id"] == show(Kind.MESSAGE, hook.id)


async def test_a_killed_worker_loses_nothing(post: Scene, house: House, mail_sink: SmtpSink) -> None:
    async def answer(mail: Mail) -> None:
        if len(mail_sink.mails) > 40:
            await asyncio.Event().wait()  # until the connection goes

    mail_sink.before_answer = answer
    ids = await send_mails(post, 100)
    house.start_keeper()
    first = house.start_worker()

    async def all_that_was_answered_is_recorded() -> bool:
        return (await states(post))[Status.SENT] == 40 and len(mail_sink.mails) == 50

    await wait_until(all_that_was_answered_is_recorded, timeout=30)
    await let_lapse(post.database, house.kill_worker(first))
    mail_sink.before_answer = None
    in_doubt = {show(Kind.MESSAGE, row.id) for row in await post.rows() if row.status is Status.SENDING}
    unanswered = set(copies(mail_sink)) & in_doubt
    assert len(unanswered) == 10  # as many as there are connections
    house.start_worker()
    await all_sent(post, 100)
    # What arrived twice had come, and its answer had not gone, at the kill.
    assert copies(mail_sink) == {each: 1 + (each in unanswered) for each in (show(Kind.MESSAGE, id_) for id_ in ids)}


@pytest.mark.parametrize("loss", ["flushed", "killed", "away"])
async def test_a_lost_broker_is_a_non_event(
    post: Scene, house: House, mail_sink: SmtpSink, valkey: ValkeyServer, loss: str
) -> None:
    mail_sink.script("DOT", delay_s=0.3)
    ids = await send_mails(post, 300)
    house.start_keeper()
    house.start_worker(WIREROOM_MAX_INFLIGHT_EMAIL="20")
    await wait_until(lambda: len(mail_sink.mails) >= 60, timeout=30)
    if loss == "flushed":
        valkey.flush()
    else:
        valkey.kill()
    if loss == "killed":
        valkey.start_empty()
    assert len(mail_sink.mails) < 200  # of what was not under way, most was still to be claimed
    mail_sink.clear_script()
    await all_sent(post, 300)
    ids += await send_mails(post, 3)  # of these no worker has ever heard
    await all_sent(post, 303)
    assert copies(mail_sink) == Counter({show(Kind.MESSAGE, each): 1 for each in ids})


async def test_what_is_suppressed_after_the_200_is_not_sent(post: Scene, house: House, mail_sink: SmtpSink) -> None:
    contact = await post.contact()
    stopped = await post.send(contact)
    async with post.database.write() as connection:
        await outcomes.suppress_dead(connection, [(stopped.id, "bounced")])
    other = await post.send(await post.contact(email="bob@example.org"))
    house.start_worker()
    house.start_keeper()

    async def settled() -> bool:
        return State.QUEUED not in {row.state for row in await post.rows()} and bool(mail_sink.mails)

    await wait_until(settled, timeout=30, interval=0.1)
    assert set(copies(mail_sink)) == {show(Kind.MESSAGE, other.id)}
    assert (await post.row(stopped.id)).failure_reason is FailureReason.SUPPRESSED


async def test_a_worker_told_to_stop_finishes_and_gives_back(post: Scene, house: House, mail_sink: SmtpSink) -> None:
    mail_sink.script("DOT", delay_s=0.3)
    ids = await send_mails(post, 60)
    house.start_keeper()
    first = house.start_worker()
    await wait_until(lambda: len(mail_sink.mails) >= 5, timeout=30)
    first.terminate()
    await wait_until(lambda: first.poll() is not None, timeout=30)

    async def nothing_in_hand() -> bool:
        return State.SENDING not in {row.state for row in await post.rows()}

    await wait_until(nothing_in_hand, timeout=5)
    mail_sink.clear_script()
    house.start_worker()
    await all_sent(post, 60)
    assert copies(mail_sink) == Counter({show(Kind.MESSAGE, each): 1 for each in ids})
