"""TELEGRAM: one message to one chat by a bot (Bot API, by python-telegram-bot)."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from telegram import Bot, Document, InlineKeyboardButton, InlineKeyboardMarkup, Message, MessageEntity, PhotoSize, User
from telegram.error import TelegramError

from channels.contract import Content, Envelope, Limiter, Progress, Receipt
from channels.errors import NotStarted, Permanent, SendError, Transient
from channels.rendering import RenderError, Texts
from channels.telegram_address import check_chat
from channels.telegram_errors import Migrated, Reading, unparsable, verdict
from channels.telegram_letter import File, Letter, Part, Unparsable
from channels.telegram_options import Button, addressed, read_options
from channels.telegram_pace import Pace
from channels.telegram_request import EXCHANGE, BotRequest, Exchange, Refusal
from channels.telegram_text import Marked, Span
from models.vocabulary import Channel as ChannelName
from models.vocabulary import FailureReason

_TOTAL_S: Final = 45.0
_PATIENCE_S: Final = 30.0
_MOST_MOVES: Final = 2
_TAG: Final = re.compile(r"<([A-Za-z][\w-]{0,20})(?=[\s>/])")


@dataclass(frozen=True, slots=True)
class TelegramConfig:
    """What TELEGRAM needs. ``api_url``: the Bot API's base, without ``/bot`` and without a slash at its end."""

    token: str = field(repr=False)
    api_url: str
    connections: int = 64


class PreparedTelegram(msgspec.Struct, frozen=True):
    """What is made once for all recipients. ``tags``: those that the body itself has, in lower case."""

    letter: Letter
    rows: Sequence[Sequence[Button]]
    silent: bool
    tags: frozenset[str]


class TelegramChannel:
    """The TELEGRAM channel; made on the event loop that it is used on. Connects to nothing yet."""

    name: ChannelName = ChannelName.TELEGRAM

    def __init__(self, config: TelegramConfig, limiter: Limiter) -> None:
        self._request = BotRequest(config.connections)
        self._bot = Bot(
            config.token,
            base_url=f"{config.api_url}/bot",
            request=self._request,
            get_updates_request=self._request,  # never used; the library's own would take 0.3 s to make
        )
        self._pace = Pace(limiter, config.token)
        self._under_way: set[asyncio.Timeout] = set()
        self._closed = False

    def prepare(self, content: Content) -> PreparedTelegram:
        """Compile subject and body, read the options; raises Permanent where one of them cannot be sent."""
        try:
            texts = Texts(content.subject, content.body, content.format)
        except RenderError as error:
            raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from error
        try:
            options = read_options(content.options)
        except ValueError as error:
            raise Permanent(str(error), reason=FailureReason.REJECTED) from None
        file = None
        if options.photo or options.document:
            file = File("photo", options.photo) if options.photo else File("document", options.document or "")
        tags = _TAG.findall(content.body or "") if content.format == "html" else []
        return PreparedTelegram(
            Letter(texts.subject, texts.body, content.format, file),
            options.rows,
            bool(options.silent),
            frozenset(tag.lower() for tag in tags),
        )

    async def send(self, envelope: Envelope, prepared: PreparedTelegram) -> Receipt:
        """Send every part that is not accepted yet, in order; a SendError where one did not end well.

        ``provider_id`` is ``<chat>:<message>`` of the last part, the one with the buttons.
        """
        try:
            chat = check_chat(envelope.address)
        except ValueError as error:
            raise Permanent(str(error), reason=FailureReason.INVALID_ADDRESS) from None
        delivery = _Delivery(self, envelope, prepared, chat)
        try:
            await delivery.run()
        except SendError as error:
            error.progress = delivery.progress()
            raise
        provider_id = None if delivery.message is None else f"{delivery.chat}:{delivery.message}"
        return Receipt(code="200", provider_id=provider_id, progress=delivery.progress())

    async def close(self) -> None:
        """Close every connection, those in use too. What is sent afterwards is NotStarted."""
        self._closed = True
        for limit in self._under_way:
            if not limit.expired():
                limit.reschedule(0.0)
        await self._request.shutdown()

    async def turn(self, chat: str, *, ahead: bool) -> None:
        """Wait for a turn to write to ``chat``; raises Limited, or NotStarted where the channel is closed.

        ``ahead`` of the others that wait for one.
        """
        try:
            async with self._closable(_PATIENCE_S):
                await self._pace.turn(chat, ahead=ahead)
        except TimeoutError:
            raise NotStarted("the channel is closed" if self._closed else "no turn came on Telegram") from None

    async def post(
        self,
        part: Part,
        chat: str,
        keyboard: InlineKeyboardMarkup | None,
        *,
        silent: bool,
        proceed: Callable[[], None],
    ) -> int:
        """One request; the id of the message that it made. Raises Refusal, or a SendError where no answer came."""
        exchange = Exchange(proceed)
        here = EXCHANGE.set(exchange)
        try:
            async with self._closable(_TOTAL_S):
                return (await self._call(part, chat, keyboard, silent=silent)).message_id
        except Refusal:
            raise
        except (TelegramError, TimeoutError) as error:
            raise exchange.broken(error, closed=self._closed) from None
        finally:
            EXCHANGE.reset(here)

    async def _call(self, part: Part, chat: str, keyboard: InlineKeyboardMarkup | None, *, silent: bool) -> Message:
        text = part.marked.text
        entities = None if part.parse_mode else _entities(part.marked)
        where: int | str = chat if chat.startswith("@") else int(chat)
        if part.file is None:
            return await self._bot.send_message(
                where,
                text,
                parse_mode=part.parse_mode,
                entities=entities,
                disable_notification=silent,
                reply_markup=keyboard,
            )
        # Never as a string: where a file of that name is on this machine, the library would upload it.
        source = part.file.source
        if part.file.kind == "photo":
            return await self._bot.send_photo(
                where,
                PhotoSize(source, source, 0, 0),
                caption=text or None,
                parse_mode=part.parse_mode,
                caption_entities=entities,
                disable_notification=silent,
                reply_markup=keyboard,
            )
        return await self._bot.send_document(
            where,
            Document(source, source),
            caption=text or None,
            parse_mode=part.parse_mode,
            caption_entities=entities,
            disable_notification=silent,
            reply_markup=keyboard,
        )

    @contextlib.asynccontextmanager
    async def _closable(self, seconds: float) -> AsyncIterator[None]:
        """What closing ends, as a time-out that has come."""
        if self._closed:
            raise NotStarted("the channel is closed")
        async with asyncio.timeout(seconds) as limit:
            self._under_way.add(limit)
            try:
                yield
            finally:
                self._under_way.discard(limit)


class _Delivery:
    """One message on its way: where to by now, and what got through."""

    def __init__(self, channel: TelegramChannel, envelope: Envelope, prepared: PreparedTelegram, chat: str) -> None:
        self._channel = channel
        self._envelope = envelope
        self._prepared = prepared
        self._accepted: list[str] = []
        self._moved_to: str | None = None
        self._head_bytes = 0
        self._several = False
        self.chat = chat
        self.message: int | None = None

    async def run(self) -> None:
        """Send the parts that are left; raises a SendError."""
        letter, variables = self._prepared.letter, self._envelope.variables
        self._head_bytes = len(letter.head(variables).encode("utf-8", "surrogatepass"))
        try:
            parts = letter.parts(variables)
        except Unparsable as error:
            raise unparsable(str(error), self._reading()) from None
        self._several = len(parts) > 1
        for number, part in enumerate(parts, 1):
            name = f"{number}/{len(parts)}"
            if name not in self._envelope.accepted:
                self.message = await self._send(part, self._keyboard() if number == len(parts) else None)
                self._accepted.append(name)

    def progress(self) -> Progress | None:
        """What got done or was learnt; None where it is nothing that the outcome does not say."""
        accepted = tuple(self._accepted) if self._several else ()
        return Progress(accepted=accepted, moved_to=self._moved_to) if accepted or self._moved_to else None

    async def _send(self, part: Part, keyboard: InlineKeyboardMarkup | None) -> int:
        for _ in range(_MOST_MOVES):
            # A message has had its turn when it learns that the chat moved: the queue is not for it a second time.
            await self._channel.turn(self.chat, ahead=self._envelope.rescued or self._moved_to is not None)
            try:
                return await self._channel.post(
                    part, self.chat, keyboard, silent=self._prepared.silent, proceed=self._envelope.proceed
                )
            except Refusal as refusal:
                try:
                    raise verdict(refusal.status, refusal.payload, self._reading()) from None
                except Migrated as migrated:
                    self.chat = self._moved_to = migrated.chat
        raise Transient("the chat moved again")

    def _reading(self) -> Reading:
        return Reading(self._head_bytes, self._prepared.tags)

    def _keyboard(self) -> InlineKeyboardMarkup | None:
        if not self._prepared.rows:
            return None
        links = self._envelope.links if self._envelope.track_clicks else None
        rows = addressed(self._prepared.rows, links)
        return InlineKeyboardMarkup(
            [
                [InlineKeyboardButton(each.text, url=each.url, callback_data=each.callback_data) for each in row]
                for row in rows
            ]
        )


def _entities(marked: Marked) -> Sequence[MessageEntity] | None:
    if not marked.spans:
        return None
    return MessageEntity.adjust_message_entities_to_utf_16(marked.text, [_entity(span) for span in marked.spans])


def _entity(span: Span) -> MessageEntity:
    argument = span.argument or None
    return MessageEntity(
        span.kind,
        span.start,
        span.end - span.start,
        url=argument if span.kind == "text_link" else None,
        # Only the id counts (Bot API, "MessageEntity"); the library wants a name.
        user=User(int(span.argument), "?", is_bot=False) if span.kind == "text_mention" else None,
        language=argument if span.kind == "pre" else None,
        custom_emoji_id=argument if span.kind == "custom_emoji" else None,
    )
