"""Workspaces' own senders at work: order, weights, stepping over, coming back, and nobody's secrets anywhere."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text, update
from structlog.testing import capture_logs

from channels.contract import Content
from channels.email import EmailChannel, EmailConfig
from channels.errors import Limited, Misconfigured, NotStarted, SendError, Transient
from channels.senders import check, keep
from channels.smtp_dial import SmtpDialler
from channels.smtp_url import parse_smtp_url
from models.sealing import SealedFor
from models.store import claims, sender_rests, senders
from models.store.senders import SenderRow, Usable
from models.tables import senders as table
from models.vocabulary import Channel, Lane, State, Status
from tests.support import smtp_sink
from tests.support.envelopes import envelope
from tests.support.house import House
from tests.support.scene import Scene
from tests.support.sending import Post, mail_credentials, mail_sender, post
from tests.support.smtp_sink import Command, SmtpSink
from tests.support.waiting import wait_until
from worker.sending import STUCK_S, Conduct, Sending

PASSWORD = "kR7mW2qLx9VbT4nY"


@pytest.fixture
async def other_sink() -> AsyncIterator[SmtpSink]:
    """Another mail server."""
    async with smtp_sink.running() as sink:
        yield sink


@pytest.fixture
async def locked_sink() -> AsyncIterator[SmtpSink]:
    """A mail server that demands a login."""
    async with smtp_sink.running(username="shop", password=PASSWORD, auth_over_plain=True) as sink:
        yield sink


async def send(scene: Scene, count: int, workspace_id: UUID | None = None) -> None:
    own = {} if workspace_id is None else {"workspace_id": workspace_id}
    contact = await scene.contact(**own)
    await scene.intake.submit_many([scene.draft(contact, **own) for _ in range(count)])


async def all_sent(scene: Scene, count: int) -> bool:
    rows = await scene.rows()
    return len(rows) == count and {row.status for row in rows} == {Status.SENT}


async def stored(scene: Scene, row: SenderRow) -> SenderRow:
    async with scene.database.read() as connection:
        found = await senders.get(connection, row.workspace_id, row.channel, row.id)
    assert found is not None
    return found


async def mend(scene: Scene, row: SenderRow, port: int, password: str) -> None:
    credentials = mail_credentials(port, user="shop", password=password)
    sealed = scene.keyring.seal(keep(credentials), SealedFor.SENDER)
    hint = check(credentials, scene.settings.webhook_allow_nets)
    async with scene.database.write() as connection:
        await senders.change(
            connection, row.workspace_id, row.channel, row.id, lambda _: {"credentials": sealed, "hint": hint}
        )
        await sender_rests.wake(connection, row.workspace_id, row.channel)


def written_in(folder: Path) -> bytes:
    """All files there: on SQLite the database among them."""
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def until_sent(house: Post, scene: Scene, count: int) -> None:
    """Well before anything that was put off would be due of itself."""

    async def sent() -> bool:
        return await all_sent(scene, count)

    await house.until(sent, timeout=15)


def usable(row: SenderRow) -> Usable:
    return Usable(
        id=row.id,
        workspace_id=row.workspace_id,
        credentials=row.credentials,
        position=row.position,
        weight=row.weight,
        per_second=row.per_second,
        version=row.version,
        last_error=row.last_error,
        rests_ms=0,
    )


async def failure(port: int) -> SendError:
    """How a mail to this server ends."""
    channel = EmailChannel(EmailConfig(f"smtp+plain://127.0.0.1:{port}", "shop@example.org"))
    with pytest.raises(SendError) as caught:
        await channel.send(envelope("ann@example.org"), channel.prepare(Content(subject="Hi", body="Hi")))
    await channel.close()
    return caught.value


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("command", "reply", "rests"),
    [
        ("CONNECT", "421 4.3.2 Not now", True),
        ("EHLO", "451 4.3.0 Not now", True),
        ("MAIL", "451 4.7.1 Not now", True),
        ("RCPT", "451 4.7.1 Greylisted", False),
        ("RCPT", "452 4.2.2 The mailbox is full", False),
        ("DATA", "451 4.3.0 Not now", False),
        ("DOT", "451 4.3.0 Not now", False),
        (None, "nobody is there", True),
    ],
)
async def test_only_what_is_said_of_the_sender_makes_it_rest(
    scene: Scene, mail_sink: SmtpSink, command: Command | None, reply: str, rests: bool
) -> None:
    row = await mail_sender(scene, mail_credentials(1))
    if command is not None:
        mail_sink.script(command, reply)
    refused = await failure(1 if command is None else mail_sink.port)
    assert isinstance(refused, Transient)
    async with post(scene) as house:
        conduct = Conduct(usable(row), row.channel, house.services, failing_s=0.0)
        for _ in range(10):
            await conduct.fails(refused)
    assert ((await stored(scene, row)).resting_until is not None) is rests


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_sender_keeps_nothing_of_what_its_peer_said(scene: Scene, mail_sink: SmtpSink) -> None:
    row = await mail_sender(scene, mail_credentials(mail_sink.port))
    mail_sink.script("MAIL", "550 5.7.1 Ann Example may not send")
    with capture_logs() as logs:
        async with post(scene) as house:
            await send(scene, 1)
            await house.turn()
    assert (await stored(scene, row)).last_error == "the SMTP server refused us at MAIL FROM (550 5.7.1)"
    assert "Ann" not in str(logs)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_success_is_on_record_before_it_is_that_a_sender_works_again(scene: Scene, mail_sink: SmtpSink) -> None:
    row = await mail_sender(scene, mail_credentials(mail_sink.port))
    async with scene.database.write() as connection:
        await connection.execute(update(table).values(resting_until=1, last_error="421 later"))
        await connection.execute(text("CREATE TABLE seen (state TEXT)"))
        await connection.execute(
            text("CREATE TRIGGER see AFTER UPDATE ON senders BEGIN INSERT INTO seen SELECT state FROM messages; END")
        )
    async with post(scene) as house:
        await send(scene, 1)
        await until_sent(house, scene, 1)
    assert (await stored(scene, row)).last_error is None
    async with scene.database.read() as connection:
        assert (await connection.scalars(text("SELECT state FROM seen"))).all() == ["done"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_that_fails_again_and_again_rests(scene: Scene, mail_sink: SmtpSink) -> None:
    row = await mail_sender(scene, mail_credentials(1))
    mail_sink.script("CONNECT", "421 4.3.2 ann@example.org has sent too much")
    refused = await failure(mail_sink.port)
    async with post(scene) as house:
        conduct = Conduct(usable(row), row.channel, house.services, failing_s=0.0)
        patient = Conduct(usable(row), row.channel, house.services)
        forgetful = Conduct(usable(row), row.channel, house.services, failing_s=0.0, past_s=0.0)
        for _ in range(4):
            assert not await conduct.fails(refused)
        await conduct.works()
        for _ in range(4):
            await conduct.fails(refused)
        for _ in range(10):
            await forgetful.fails(refused)
            await patient.fails(refused)
            await patient.fails(Limited("a limit", retry_after_s=1))
            await patient.fails(NotStarted("shuts down"))
        assert (await stored(scene, row)).resting_until is None
        assert not await conduct.fails(refused)  # the message itself was tried, and has its own schedule
        rests = await stored(scene, row)
        assert rests.failures == 1
        assert rests.last_error == "it failed again and again, at last with 421 4.3.2"
        assert await patient.fails(Limited("429 wait", retry_after_s=10, whole=True))
        assert (await stored(scene, row)).last_error == rests.last_error  # it rests already


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_whose_peer_never_answers_is_stuck(scene: Scene, mail_sink: SmtpSink) -> None:
    mail_sink.script("DOT", delay_s=30)
    row = usable(await mail_sender(scene, mail_credentials(mail_sink.port)))
    async with post(scene) as house:
        channel = EmailChannel(EmailConfig(f"smtp+plain://127.0.0.1:{mail_sink.port}", "shop@example.org"))
        slow = Sending(row, channel, Conduct(row, Channel.EMAIL, house.services), house.services)
        await send(scene, 2)
        async with scene.database.write() as connection:
            found, _ = await claims.claim(
                connection, Channel.EMAIL, Lane.TRANSACTIONAL, house.services.lease.worker_id, 2
            )
        prepared = await slow.preparations.of({claim.content_id for claim in found})
        runs = [asyncio.create_task(slow.run(claim, prepared[claim.content_id].what)) for claim in found]
        await wait_until(lambda: mail_sink.commands.count("DOT") == 2)
        now = time.monotonic()
        assert [slow.is_stuck(2, now), slow.is_stuck(2, now + STUCK_S), slow.is_stuck(3, now + STUCK_S)] == [
            False,
            True,
            False,
        ]
        await slow.retire()
        assert not any(run.done() for run in runs)  # what is under way may end
        await slow.close()
        assert {type(ended.state) for ended in await asyncio.gather(*runs)} == {State}
        assert slow.is_idle


@pytest.mark.parametrize(("scheme", "implicit"), [("smtp", False), ("smtps", True)])
async def test_a_guarded_connection_is_under_tls(
    scheme: str, implicit: bool, server_tls: ssl.SSLContext, authority_file: Path
) -> None:
    async with smtp_sink.running(tls=server_tls, implicit_tls=implicit) as sink:
        url = f"{scheme}://localhost:{sink.port}?ca={authority_file}"
        allowed = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        channel = EmailChannel(EmailConfig(url, "shop@example.org", guarded=allowed))
        await channel.send(envelope("ann@example.org"), channel.prepare(Content(subject="Hi", body="Hi")))
        assert [mail.tls for mail in sink.mails] == [True]
        await channel.close()
        refused = EmailChannel(EmailConfig(url, "shop@example.org", guarded=()))
        with pytest.raises(Misconfigured, match="not a public address"):
            await refused.send(envelope("ann@example.org"), refused.prepare(Content(subject="Hi", body="Hi")))
        await refused.close()
        assert sink.connections == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_senders_of_one_position_share_by_weight(scene: Scene, mail_sink: SmtpSink, other_sink: SmtpSink) -> None:
    await mail_sender(scene, mail_credentials(mail_sink.port), weight=3, position=1)
    await mail_sender(scene, mail_credentials(other_sink.port), weight=1, position=1)
    await mail_sender(scene, mail_credentials(1), weight=1000, position=2)
    async with post(scene) as house:
        await send(scene, 400)
        await house.until(partial(all_sent, scene, 400))  # nothing is put off here
        assert house.drum.sent == []
    # 300 of 400 with a deviation of 8.7: six of them.
    assert 248 <= len(mail_sink.mails) <= 352
    assert len(mail_sink.mails) + len(other_sink.mails) == 400


async def test_one_that_cannot_log_in_is_stepped_over_and_comes_back(
    scene: Scene, mail_sink: SmtpSink, locked_sink: SmtpSink, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wrong = "wrong-" + PASSWORD
    first = await mail_sender(scene, mail_credentials(locked_sink.port, user="shop", password=wrong))
    await mail_sender(scene, mail_credentials(mail_sink.port), position=1)
    async with post(scene) as house:
        await send(scene, 30)
        await until_sent(house, scene, 30)
        assert (len(mail_sink.mails), locked_sink.mails) == (30, [])
        rests = await stored(scene, first)
        assert rests.resting_until is not None
        assert rests.failures == 1
        assert "5.7.8" in (rests.last_error or "")
        await mend(scene, first, locked_sink.port, PASSWORD)
        sent = 30

        async def is_back() -> bool:  # what was read of senders is used for a while
            nonlocal sent
            sent += 1
            await send(scene, 1)
            await until_sent(house, scene, sent)
            return bool(locked_sink.mails)

        await wait_until(is_back)
        by_the_other = len(mail_sink.mails)
        await send(scene, 30)
        await until_sent(house, scene, sent + 30)
        assert (len(mail_sink.mails), len(locked_sink.mails)) == (by_the_other, 31)
        assert {mail.login for mail in locked_sink.mails} == {"shop"}
    assert (await stored(scene, first)).last_error is None
    said = "".join(capfd.readouterr())
    assert PASSWORD not in said
    assert PASSWORD.encode() not in written_in(tmp_path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_where_all_rest_messages_wait_without_a_try_burnt(scene: Scene, locked_sink: SmtpSink) -> None:
    only = await mail_sender(scene, mail_credentials(locked_sink.port, user="shop", password="no"))
    async with post(scene) as house:
        await send(scene, 20)

        async def put_off() -> bool:
            due = [await scene.column(row.id, "due_at") - row.queued_at for row in await scene.rows()]
            return all(each > 20_000 for each in due)

        await house.until(put_off)
        connections = locked_sink.connections
        await house.turn()
        assert locked_sink.connections == connections
        assert {await scene.column(row.id, "tries") for row in await scene.rows()} == {0}
        assert house.drum.sent == []
        await mend(scene, only, locked_sink.port, PASSWORD)
        await until_sent(house, scene, 20)
    assert len(locked_sink.mails) == 20


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_process_sends_by_them_and_tells_nobody_of_their_secrets(
    scene: Scene, mail_sink: SmtpSink, locked_sink: SmtpSink, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    await mail_sender(scene, mail_credentials(locked_sink.port, user="shop", password=PASSWORD), position=1)
    await mail_sender(scene, mail_credentials(locked_sink.port, user="shop", password="not-" + PASSWORD))
    house = House(tmp_path, database_url=database_url, redis_url=redis_url, smtp_port=mail_sink.port)
    try:
        house.start_worker(WIREROOM_LOG_LEVEL="debug")
        house.start_keeper()
        await send(scene, 5)
        await wait_until(lambda: len(locked_sink.mails) == 5, timeout=30)
        assert "sender.rests" in house.log("worker")
    finally:
        await asyncio.to_thread(house.close)
    assert mail_sink.mails == []
    assert PASSWORD.encode() not in written_in(tmp_path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_workspace_sends_by_its_own_senders_alone(scene: Scene, mail_sink: SmtpSink) -> None:
    other = await scene.workspace()
    await mail_sender(scene, mail_credentials(mail_sink.port), workspace_id=other)
    async with post(scene) as house:
        await send(scene, 5)
        await send(scene, 5, other)

        async def sent() -> bool:
            return len(mail_sink.mails) == 5 and len(house.drum.sent) == 5

        await house.until(sent)
        await until_sent(house, scene, 5)
        ours = {mail.parsed()["X-Wireroom-Message"].partition(";")[0] for mail in mail_sink.mails}
        assert not ours & set(house.drum.sent)
        assert {mail.parsed()["From"] for mail in mail_sink.mails} == {"Shop <shop@example.org>"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_without_any_sender_messages_wait_for_one(scene: Scene, mail_sink: SmtpSink) -> None:
    row = await mail_sender(scene, mail_credentials(mail_sink.port))
    async with scene.database.write() as connection:
        await connection.execute(update(table).values(paused=True))
    async with post(scene, operator=False) as house:
        await send(scene, 3)

        async def put_off() -> bool:
            return all([await scene.column(each.id, "due_at") > each.queued_at + 20_000 for each in await scene.rows()])

        await house.until(put_off)
        async with scene.database.write() as connection:
            await senders.change(connection, row.workspace_id, row.channel, row.id, lambda _: {"paused": False})
            await sender_rests.wake(connection, row.workspace_id, row.channel)
        await until_sent(house, scene, 3)
    assert len(mail_sink.mails) == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_whose_credentials_do_not_open_rests(scene: Scene, mail_sink: SmtpSink) -> None:
    broken = await mail_sender(scene, mail_credentials(mail_sink.port))
    await mail_sender(scene, mail_credentials(mail_sink.port), position=1)
    unread = scene.keyring.seal(b"{}", SealedFor.SENDER)
    async with scene.database.write() as connection:
        await connection.execute(update(table).where(table.c.id == broken.id).values(credentials=unread))
    async with post(scene) as house:
        await send(scene, 3)
        await until_sent(house, scene, 3)
    assert "cannot be used" in ((await stored(scene, broken)).last_error or "")


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("smtp://127.0.0.1:587", Misconfigured),
        ("smtp://localhost", Misconfigured),
        ("smtp://[::ffff:169.254.169.254]:25", Misconfigured),
        ("smtp://10.0.0.1:25", Misconfigured),
        ("smtps://no-such-host.invalid", Transient),
    ],
)
async def test_no_connection_is_made_to_what_a_stranger_may_not_reach(url: str, refused: type[Exception]) -> None:
    dialler = SmtpDialler(())
    with pytest.raises(refused):
        await dialler.dial(parse_smtp_url(url), 5)
    dialler.close()
