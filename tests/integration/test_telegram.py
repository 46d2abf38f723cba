"""TELEGRAM against a Bot API of ours: what arrives, in which parts, how fast, and what refusals mean."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from channels.contract import Content, Limit, Progress, Receipt
from channels.errors import Limited, Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from channels.telegram import TelegramChannel, TelegramConfig
from models.session import Database
from models.tokens import Purpose, Ref
from models.vocabulary import Channel, FailureReason, Status
from tests.support import bot_api
from tests.support import scene as scenes
from tests.support.bot_api import BotApi
from tests.support.envelopes import PUBLIC_URL, TOKENS, Unlimited, envelope
from tests.support.house import House
from tests.support.scene import Scene
from tests.support.smtp_sink import SmtpSink
from tests.support.waiting import wait_until
from worker.limits import LocalLimiter

LONG = "".join(f"Line {number} of a long letter.\n" for number in range(400))
HTML = "".join(f"<b>Line {number}</b> of a <i>long</i> letter.\n" for number in range(400))


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """A Bot API without flood control."""
    async with bot_api.running() as running:
        yield running


@pytest.fixture
async def telegram(api: BotApi) -> AsyncIterator[TelegramChannel]:
    """A channel without limits."""
    channel = TelegramChannel(TelegramConfig(bot_api.TOKEN, api.url), Unlimited())
    yield channel
    await channel.close()


@pytest.fixture
async def paced(api: BotApi) -> AsyncIterator[TelegramChannel]:
    """A channel that keeps Telegram's limits."""
    channel = TelegramChannel(TelegramConfig(bot_api.TOKEN, api.url), LocalLimiter())
    yield channel
    await channel.close()


async def send(channel: TelegramChannel, chat: str, content: Content, **fields: Any) -> Receipt | SendError:
    """How it ends."""
    try:
        return await channel.send(envelope(chat, **fields), channel.prepare(content))
    except SendError as error:
        return error


@pytest.mark.parametrize(
    ("form", "body"),
    [("text", "Hi {{name}} <3"), ("html", "Hi {{name}} &lt;3"), ("markdownv2", r"Hi {{name}} <3")],
)
async def test_the_subject_is_a_bold_first_line_in_every_format(
    telegram: TelegramChannel, api: BotApi, form: str, body: str
) -> None:
    content = Content(subject="1.5 < {{name}}!", body=body, format=form)
    await send(telegram, "42", content, variables={"name": "Zoë_*&👍"})
    (sent,) = api.ledger
    assert sent.text == "1.5 < Zoë_*&👍!\n\nHi Zoë_*&👍 <3"
    assert sent.entities == (("bold", 0, 15, ""),)


async def test_without_a_subject_there_is_the_body_alone(telegram: TelegramChannel, api: BotApi) -> None:
    receipt = await send(telegram, "@Example_Channel", Content(body="*Hi*", format="markdownv2"))
    assert isinstance(receipt, Receipt)
    (sent,) = api.ledger
    assert (sent.chat, sent.text, sent.entities) == ("@example_channel", "Hi", (("bold", 0, 2, ""),))
    assert receipt.provider_id == f"@example_channel:{sent.message_id}"
    assert receipt.progress is None
    assert sent.fields.keys() == {"chat_id", "text", "parse_mode", "disable_notification"}


@pytest.mark.parametrize("tracked", [True, False])
async def test_buttons(telegram: TelegramChannel, api: BotApi, tracked: bool) -> None:
    buttons = [
        {"text": "Open", "url": "https://shop.example/a"},
        [
            {"text": "Yes", "callbackData": "y"},
            {"text": "Chat", "url": "tg://resolve?domain=shop"},
            {"text": "More", "url": "https://shop.example/b"},
        ],
    ]
    content = Content(body="Hi", options={"buttons": buttons, "silent": True})
    message = envelope("42", track_clicks=tracked)
    await telegram.send(message, telegram.prepare(content))
    (sent,) = api.ledger
    assert sent.fields["disable_notification"] == "true"
    assert sent.keyboard is not None
    (opens,), (yes, chat, more) = sent.keyboard
    assert (yes, chat) == ({"text": "Yes", "callback_data": "y"}, {"text": "Chat", "url": "tg://resolve?domain=shop"})
    if not tracked:
        assert (opens["url"], more["url"]) == ("https://shop.example/a", "https://shop.example/b")
        return
    for button, number in ((opens, 0), (more, 2)):
        prefix, _, token = button["url"].rpartition("/")
        assert prefix == f"{PUBLIC_URL}/t/c"
        assert TOKENS.read(Purpose.CLICK, token) == Ref(message.uuid, 1, number)


@pytest.mark.parametrize(("form", "body"), [("text", LONG), ("html", HTML)])
async def test_a_long_text_comes_in_parts_and_a_retry_sends_the_rest(
    telegram: TelegramChannel, api: BotApi, form: str, body: str
) -> None:
    options = {"buttons": [{"text": "Yes", "callbackData": "y"}]}
    content = Content(subject="Letter", body=body, format=form, options=options)
    asked: list[int] = []

    def proceed() -> None:
        asked.append(len(api.ledger))
        if len(asked) == 2:
            api.refuse("42", 502, "Bad Gateway", once=True)

    ended = await send(telegram, "42", content, proceed=proceed)
    assert type(ended) is Unknown
    assert ended.progress == Progress(accepted=("1/3",))
    assert asked == [0, 1]
    receipt = await send(telegram, "42", content, proceed=proceed, accepted=frozenset({"1/3"}))
    assert isinstance(receipt, Receipt)
    assert receipt.progress == Progress(accepted=("2/3", "3/3"))
    assert receipt.provider_id == f"42:{api.ledger[-1].message_id}"
    text, entities = bot_api.joined(api.ledger)
    assert text == f"Letter\n\n{LONG}"
    assert Counter(kind for kind, _, _ in entities) == ({"bold": 401, "italic": 400} if form == "html" else {"bold": 1})
    assert [sent.keyboard is not None for sent in api.ledger] == [False, False, True]
    assert all(sent.text.endswith("letter.\n") for sent in api.ledger)


async def test_markup_that_hides_a_short_text_needs_no_parts(telegram: TelegramChannel, api: BotApi) -> None:
    body = "<a href='https://a.example/'>x</a>" * 1000
    await send(telegram, "42", Content(body=body, format="html"))
    (sent,) = api.ledger
    assert sent.text == "x" * 1000
    assert sent.fields["parse_mode"] == "HTML"


@pytest.mark.parametrize("length", [4096, 4097])
async def test_lengths_are_counted_in_utf_16(telegram: TelegramChannel, api: BotApi, length: int) -> None:
    text = "👍" * (length // 2) + "x" * (length % 2)
    await send(telegram, "42", Content(body=text))
    assert "".join(sent.text for sent in api.ledger) == text
    assert len(api.ledger) == (1 if length == 4096 else 2)


async def test_a_text_that_takes_too_many_parts_is_too_large(telegram: TelegramChannel, api: BotApi) -> None:
    for body in ("x" * (51 * 4096), "x" * (1 << 20)):
        ended = await send(telegram, "42", Content(body=body))
        assert isinstance(ended, Permanent)
        assert (ended.reason, ended.hard) == (FailureReason.TOO_LARGE, False)
    assert api.requests == 0


@pytest.mark.parametrize("kind", ["photo", "document"])
async def test_a_file_has_the_text_as_its_caption(telegram: TelegramChannel, api: BotApi, kind: str) -> None:
    content = Content(subject="S", body="<i>x</i>", format="html", options={kind: "https://a.example/file"})
    await send(telegram, "42", content)
    (sent,) = api.ledger
    assert (sent.method, sent.text) == (f"send{kind}", "S\n\nx")
    assert sent.entities == (("bold", 0, 1, ""), ("italic", 3, 1, ""))
    assert sent.fields[kind] == "https://a.example/file"


async def test_a_text_too_long_for_a_caption_follows_its_file(telegram: TelegramChannel, api: BotApi) -> None:
    content = Content(
        body="x" * 1025, options={"photo": "AgACAgIAAxkBAAI", "buttons": [{"text": "Yes", "callbackData": "y"}]}
    )
    receipt = await send(telegram, "42", content)
    assert isinstance(receipt, Receipt)
    assert receipt.progress == Progress(accepted=("1/2", "2/2"))
    assert [(sent.method, sent.text, sent.keyboard is None) for sent in api.ledger] == [
        ("sendphoto", "", True),
        ("sendmessage", "x" * 1025, False),
    ]


async def test_a_file_of_this_machine_is_never_sent(
    telegram: TelegramChannel, api: BotApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "named_like_a_file_id").write_text("a secret of this machine")
    monkeypatch.chdir(tmp_path)
    await send(telegram, "42", Content(body="x", options={"document": "named_like_a_file_id"}))
    (sent,) = api.ledger
    assert sent.fields["document"] == "named_like_a_file_id"


@pytest.mark.parametrize(
    ("form", "body", "words"),
    [
        ("html", "é<x>Hi</x>", 'can\'t parse entities: Unsupported start tag "x" at byte offset 2'),
        ("html", "<{{name}}>", "can't parse entities: Unsupported start tag … at byte offset 0"),
        (
            "markdownv2",
            "1.5",
            "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
        ),
        ("html", LONG + "<b>x</i>", None),
    ],
)
async def test_unparsable_markup_is_a_failure_in_the_parsers_words(
    telegram: TelegramChannel, api: BotApi, form: str, body: str, words: str | None
) -> None:
    content = Content(subject="A subject", body=body, format=form)
    ended = await send(telegram, "42", content, variables={"name": "canary@example.org"})
    assert isinstance(ended, Permanent)
    assert (ended.reason, ended.hard) == (FailureReason.RENDER_ERROR, False)
    offset = len(LONG) + 4
    expected = f'can\'t parse entities: Unmatched end tag at byte offset {offset}, expected "</b>", found …'
    assert ended.detail == (words or expected)
    assert api.ledger == []
    assert api.requests <= 1


async def test_a_group_that_moved_is_written_to_where_it_is_now(telegram: TelegramChannel, api: BotApi) -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    api.refuse("-42", 400, words, {"migrate_to_chat_id": -1001234})
    receipt = await send(telegram, "-42", Content(body=LONG))
    assert isinstance(receipt, Receipt)
    assert receipt.progress == Progress(accepted=("1/3", "2/3", "3/3"), moved_to="-1001234")
    assert [sent.chat for sent in api.ledger] == ["-1001234"] * 3
    assert api.requests == 4


async def test_a_group_that_moved_is_written_to_before_those_who_came_later(
    paced: TelegramChannel, api: BotApi
) -> None:
    api.refuse("-42", 400, "Bad Request: moved", {"migrate_to_chat_id": -43})
    await asyncio.gather(*(send(paced, chat, Content(body="Hi")) for chat in ("-42", *map(str, range(100, 130)))))
    assert [sent.chat for sent in api.ledger].index("-43") < 15


async def test_a_group_that_moves_in_a_circle_is_tried_again_later(telegram: TelegramChannel, api: BotApi) -> None:
    api.refuse("-42", 400, "Bad Request: moved", {"migrate_to_chat_id": -43})
    api.refuse("-43", 400, "Bad Request: moved", {"migrate_to_chat_id": -42})
    ended = await send(telegram, "-42", Content(body="Hi"))
    assert type(ended) is Transient
    assert api.requests == 2


async def test_too_many_requests_rest_the_bot_and_keep_what_got_through(telegram: TelegramChannel, api: BotApi) -> None:
    def proceed() -> None:
        if api.ledger:
            api.refuse("42", 429, "Too Many Requests: retry after 35", {"retry_after": 35}, once=True)

    ended = await send(telegram, "42", Content(body=LONG), proceed=proceed)
    assert isinstance(ended, Limited)
    assert (ended.whole, ended.retry_after_s) == (True, 35.0)
    assert ended.progress == Progress(accepted=("1/3",))


@pytest.mark.parametrize("token", ["1234567:another-token", "1:x"])
async def test_a_wrong_token_is_misconfigured_and_shown_nowhere(api: BotApi, token: str) -> None:
    channel = TelegramChannel(TelegramConfig(token, api.url), Unlimited())
    ended = await send(channel, "42", Content(body="Hi"))
    await channel.close()
    assert type(ended) is Misconfigured
    assert token not in ended.detail


async def test_a_malformed_address_is_refused_before_anything_is_sent(telegram: TelegramChannel, api: BotApi) -> None:
    ended = await send(telegram, "ann@example.org", Content(body="Hi"))
    assert isinstance(ended, Permanent)
    assert ended.reason is FailureReason.INVALID_ADDRESS
    assert api.requests == 0


async def test_an_answer_that_cannot_be_read_is_unknown() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text="<html>canary</html>")

    runner = web.ServerRunner(web.Server(answer), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = TelegramConfig(bot_api.TOKEN, f"http://127.0.0.1:{runner.addresses[0][1]}")
    channel = TelegramChannel(config, Unlimited())
    ended = await send(channel, "42", Content(body="Hi"))
    await channel.close()
    await runner.cleanup()
    assert type(ended) is Unknown
    assert "canary" not in ended.detail


async def test_a_chat_gets_one_message_a_second_in_order(paced: TelegramChannel, api: BotApi) -> None:
    began = time.monotonic()
    ends = await asyncio.gather(*(send(paced, "42", Content(body=f"Hi {number}")) for number in range(3)))
    assert time.monotonic() - began >= 1.0
    assert all(isinstance(end, Receipt | Limited) for end in ends)
    times = [sent.at for sent in api.ledger]
    assert len(times) >= 2
    # However late one came, no other came too early for it.
    assert all(at >= began + number for number, at in enumerate(times))


class Held(LocalLimiter):
    """Lets whoever has written to a chat wait for the next time, until that is ``held`` no more."""

    def __init__(self) -> None:
        super().__init__()
        self.held = True
        self._written: set[str] = set()

    async def take(self, limits: Sequence[Limit]) -> float:
        """As ``Limiter``: no time is measured."""
        chats = {limit.name for limit in limits if limit.name.startswith("telegram:chat:")}
        if self.held and chats & self._written:
            return 0.1  # it asks again
        self._written |= chats
        return 0.0


@pytest.fixture
async def held(api: BotApi) -> AsyncIterator[tuple[TelegramChannel, Held]]:
    """A channel, and the limiter that holds it."""
    limiter = Held()
    channel = TelegramChannel(TelegramConfig(bot_api.TOKEN, api.url), limiter)
    yield channel, limiter
    await channel.close()


async def test_who_waits_for_a_chat_holds_up_no_other(held: tuple[TelegramChannel, Held], api: BotApi) -> None:
    channel, limiter = held
    await send(channel, "42", Content(body="first"))
    slow = asyncio.create_task(send(channel, "42", Content(body="second")))
    ends = await asyncio.gather(*(send(channel, str(number), Content(body="Hi")) for number in range(100, 105)))
    assert all(isinstance(end, Receipt) for end in ends)
    assert not slow.done()
    limiter.held = False
    assert isinstance(await slow, Receipt)


async def test_a_group_gets_twenty_a_minute_and_the_rest_is_given_back(paced: TelegramChannel, api: BotApi) -> None:
    limiter = LocalLimiter()
    channel = TelegramChannel(TelegramConfig(bot_api.TOKEN, api.url), limiter)
    ended: Receipt | SendError | None = None
    for _ in range(8):
        ended = await send(channel, "-42", Content(body="Hi"))
        if not isinstance(ended, Receipt):
            break
    await channel.close()
    assert isinstance(ended, Limited)
    assert (ended.whole, ended.progress) == (False, None)
    assert 1.9 < ended.retry_after_s <= 4.0
    assert 5 <= len(api.ledger) <= 7


async def test_closing_ends_the_waiting(held: tuple[TelegramChannel, Held], api: BotApi) -> None:
    channel, _ = held
    await send(channel, "42", Content(body="first"))
    waiting = asyncio.create_task(send(channel, "42", Content(body="second")))
    await asyncio.sleep(0)
    await channel.close()
    assert type(await waiting) is NotStarted  # by itself it would wait until it is put off
    assert len(api.ledger) == 1


def test_the_token_is_in_no_log_line() -> None:
    script = """
import asyncio
from channels.contract import Content
from channels.errors import SendError
from channels.telegram import TelegramChannel, TelegramConfig
from models import logs
from tests.support.bot_api import running, TOKEN
from tests.support.envelopes import Unlimited, envelope

async def main():
    logs.configure("debug", "json")
    async with running() as api:
        for url in (api.url, "http://127.0.0.1:1"):
            channel = TelegramChannel(TelegramConfig(TOKEN, url), Unlimited())
            for chat in ("42", "43"):
                api.refuse("43", 403, "Forbidden: bot was blocked by the user")
                try:
                    await channel.send(envelope(chat), channel.prepare(Content(body="canary")))
                except SendError as error:
                    print(repr(error), error.detail)
            await channel.close()
    print(len(api.ledger), "sent")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 sent" in done.stdout
    for shown in (done.stdout, done.stderr):
        assert bot_api.TOKEN not in shown
        assert "canary" not in shown


@pytest.fixture
async def strict_api() -> AsyncIterator[BotApi]:
    """A Bot API that counts, and refuses who is too fast."""
    async with bot_api.running(flood_control=True) as running:
        yield running


@pytest.fixture
async def scene(
    tmp_path: Path, postgres_url: str, redis_url: str, mail_sink: SmtpSink, strict_api: BotApi
) -> AsyncIterator[Scene]:
    """A workspace whose two workers share one bot."""
    database = Database.connect(postgres_url)
    house = House(tmp_path, database_url=postgres_url, redis_url=redis_url, smtp_port=mail_sink.port)
    bot = {"WIREROOM_TELEGRAM_BOT_TOKEN": bot_api.TOKEN, "WIREROOM_TELEGRAM_API_URL": strict_api.url}
    house.start_keeper()
    # So few that neither can take all of them.
    house.start_worker(**bot, WIREROOM_MAX_INFLIGHT_TELEGRAM="20")
    house.start_worker(**bot, WIREROOM_MAX_INFLIGHT_TELEGRAM="20")
    settings = scenes.channel_settings(mail_sink.port, strict_api.url)
    async with scenes.opened(tmp_path, database, redis_url, settings) as opened:
        yield opened
    await asyncio.to_thread(house.close)  # the Bot API, on this loop, must answer to the last
    await database.close()


async def all_sent_without_a_try(scene: Scene) -> bool:
    rows = await scene.rows()
    tries = [await scene.column(row.id, "tries") for row in rows]
    return {row.status for row in rows} == {Status.SENT} and set(tries) == {0}


async def test_two_workers_and_one_bot_stay_below_its_limit(scene: Scene, strict_api: BotApi) -> None:
    """200 messages to 200 chats. Then a 429, which rests both workers."""
    chats = [str(1000 + number) for number in range(200)]
    contacts = [await scene.contact(telegram_chat_id=chat) for chat in chats]
    await scene.intake.submit_many([scene.draft(contact, channel=Channel.TELEGRAM) for contact in contacts])
    await wait_until(lambda: len(strict_api.ledger) >= 200, timeout=60)
    await wait_until(lambda: all_sent_without_a_try(scene))
    assert sorted(sent.chat for sent in strict_api.ledger) == chats
    assert strict_api.floods == 0

    strict_api.refuse("1000", 429, "Too Many Requests: retry after 2", {"retry_after": 2}, once=True)
    began = time.monotonic()
    await scene.send(contacts[0], channel=Channel.TELEGRAM)
    await wait_until(lambda: len(strict_api.ledger) == 201, timeout=30)
    assert strict_api.ledger[-1].at - began >= 2.0
    await wait_until(lambda: all_sent_without_a_try(scene))
