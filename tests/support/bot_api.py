"""A Bot API server of ours on loopback: strict about what is documented, in the real one's words.

It reads markup by parsers of its own, which share nothing with the channel's.
"""

import asyncio
import contextlib
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from typing import Any, Final

import msgspec
from aiohttp import web

from tests.support.door import Door, Dropping, WebServer, drop

TOKEN: Final = "1234567:not-a-real-token_AbCdEf"

ME: Final = {
    "id": 1234567,
    "is_bot": True,
    "first_name": "Wireroom",
    "username": "wireroom_bot",
    "can_join_groups": True,
    "can_read_all_group_messages": False,
    "supports_inline_queries": False,
}
"""What ``getMe`` answers."""

_GET_ME: Final = "getme"
_BOT_PER_S: Final = 30.0
_METHODS: Final = {"sendmessage": "text", "sendphoto": "caption", "senddocument": "caption"}
_FIELDS: Final = {
    "sendmessage": {"text", "entities"},
    "sendphoto": {"photo", "caption", "caption_entities"},
    "senddocument": {"document", "caption", "caption_entities"},
}
_COMMON: Final = {"chat_id", "parse_mode", "disable_notification", "reply_markup"}
_TAGS: Final = {
    **dict.fromkeys(("b", "strong"), "bold"),
    **dict.fromkeys(("i", "em"), "italic"),
    **dict.fromkeys(("u", "ins"), "underline"),
    **dict.fromkeys(("s", "strike", "del"), "strikethrough"),
    **dict.fromkeys(("span", "tg-spoiler"), "spoiler"),
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
_MARKS: Final = re.compile(
    r"\\(?P<escaped>.)|(?P<mark>```|__|\|\||[_*~`])|(?P<link>\[)|\]\((?P<url>(?:[^)\\]|\\.)*)\)"
    r"|(?P<reserved>[\](){}>#+\-=|.!])|(?P<plain>.)",
    re.DOTALL,
)
_MARK_KINDS: Final = {
    "```": "pre",
    "__": "underline",
    "||": "spoiler",
    "_": "italic",
    "*": "bold",
    "~": "strikethrough",
    "`": "code",
}

Entity = tuple[str, int, int, str]
"""Type, offset, length (in UTF-16 units), and URL or ''."""


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, description: str, parameters: Mapping[str, int] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


@dataclass(frozen=True)
class Sent:
    """One message as it came. ``at``: seconds of the monotonic clock."""

    at: float
    method: str
    chat: str
    text: str
    entities: tuple[Entity, ...]
    fields: Mapping[str, str]
    message_id: int

    @property
    def keyboard(self) -> list[list[dict[str, str]]] | None:
        """The rows of buttons."""
        markup = self.fields.get("reply_markup")
        rows: list[list[dict[str, str]]] | None = msgspec.json.decode(markup)["inline_keyboard"] if markup else None
        return rows


@dataclass
class BotApi:
    """What to connect to, and what came. Every chat takes messages unless told otherwise.

    ``tokens``: of the bots that it knows. ``asked``: the text of every message that came for a chat, refused or not.
    ``flood_control``: answer 429 to more than 30 messages a second, 2 in a chat's second, 20 in a group's minute. The
    first is judged by a bucket of 30, since short bursts may go over it (core.telegram.org/bots/faq, "My bot is hitting
    limits"): what a busy machine held up comes at once, and is no flood.
    """

    port: int = 0
    flood_control: bool = False
    ledger: list[Sent] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    asked: list[str] = field(default_factory=list)
    requests: int = 0
    floods: int = 0
    door: Door = field(default_factory=Door)
    dropping: Dropping | None = None
    """For the next message: it is taken, and then the line cut."""
    _refusals: dict[str, list[Refused]] = field(default_factory=lambda: defaultdict(list))
    _standing: dict[str, Refused] = field(default_factory=dict)
    _cutting: set[str] = field(default_factory=set)
    _silent: set[str] = field(default_factory=set)
    _times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _room: float = float("inf")
    _controlled_at: float = 0.0
    _last_id: int = 0

    @property
    def url(self) -> str:
        """The base, without /bot."""
        return f"http://127.0.0.1:{self.port}"

    def refuse(
        self,
        chat: str,
        status: int,
        description: str,
        parameters: Mapping[str, int] | None = None,
        *,
        once: bool = False,
    ) -> None:
        """From now on, or for the next message alone, ``chat`` is answered so."""
        refusal = Refused(status, description, parameters)
        if once:
            self._refusals[chat].append(refusal)
        else:
            self._standing[chat] = refusal

    def cut(self, chat: str) -> None:
        """Take what comes for ``chat``, then cut the line."""
        self._cutting.add(chat)

    def fall_silent(self, chat: str) -> None:
        """Take what comes for ``chat``, and never answer."""
        self._silent.add(chat)

    def heal(self, chat: str) -> None:
        """Take and answer again."""
        self._cutting.discard(chat)
        self._silent.discard(chat)
        self._standing.pop(chat, None)

    def sent_to(self, chat: str) -> list[Sent]:
        """What came for one chat."""
        return [sent for sent in self.ledger if sent.chat == chat]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        at = time.monotonic()
        self.requests += 1
        try:
            method = self._method(request.path)
            if method == _GET_ME:
                assert not fields, fields
                return web.json_response({"ok": True, "result": ME})
            sent = self._take(method, fields, at)
        except Refused as refused:
            body: dict[str, Any] = {"ok": False, "error_code": refused.status, "description": refused.description}
            if refused.parameters:
                body["parameters"] = dict(refused.parameters)
            return web.json_response(body, status=refused.status)
        self.ledger.append(sent)
        dropping, self.dropping = self.dropping, None
        if sent.chat in self._cutting or dropping is not None:
            drop(request.transport, dropping)
        if sent.chat in self._silent:
            await asyncio.sleep(60)
        chat = {"id": -1001 if sent.chat.startswith("@") else int(sent.chat), "type": "private"}
        result = {"message_id": sent.message_id, "date": int(time.time()), "chat": chat, "text": sent.text}
        return web.json_response({"ok": True, "result": result})

    def _take(self, method: str, fields: Mapping[str, str], at: float) -> Sent:
        unknown = fields.keys() - _FIELDS[method] - _COMMON
        assert not unknown, unknown
        chat = fields.get("chat_id", "")
        if not re.fullmatch(r"-?[1-9][0-9]*|@\w+", chat):
            raise Refused(400, "Bad Request: chat not found" if chat else "Bad Request: chat_id is empty")
        self.asked.append(fields.get("text", ""))
        if self._refusals[chat]:
            raise self._refusals[chat].pop(0)
        if chat in self._standing:
            raise self._standing[chat]
        if self.flood_control:
            self._control_flood(chat, at)
        text, entities = _text(method, fields)
        _check_keyboard(fields.get("reply_markup"))
        self._last_id += 1
        return Sent(at, method, chat, text, entities, fields, self._last_id)

    def _method(self, path: str) -> str:
        found = re.fullmatch(r"/bot([^/]+)/(\w+)", path)
        if found is None or not re.fullmatch(r"\d+:[\w-]+", found[1]):
            raise Refused(404, "Not Found")
        if found[1] not in self.tokens:
            raise Refused(401, "Unauthorized")
        if found[2].lower() not in (*_METHODS, _GET_ME):
            raise Refused(404, "Not Found: method not found")
        return found[2].lower()

    def _control_flood(self, chat: str, at: float) -> None:
        since_s, self._controlled_at = at - self._controlled_at, at
        self._room = min(_BOT_PER_S, self._room + since_s * _BOT_PER_S)
        limits = [(chat, 2, 1.0), *([(f"{chat} a minute", 20, 60.0)] if chat[0] in "-@" else [])]
        full = (sum(at - seconds < each for each in self._times[name]) >= most for name, most, seconds in limits)
        if self._room < 1 or any(full):
            self.floods += 1
            raise Refused(429, "Too Many Requests: retry after 3", {"retry_after": 3})
        self._room -= 1
        for name, _, _ in limits:
            self._times[name].append(at)


def messages(ledger: Sequence[Sent]) -> list[list[Sent]]:
    """What came, the parts of one message together: two that would fit in one are two messages."""
    found: dict[str, list[list[Sent]]] = {}
    for sent in ledger:
        those = found.setdefault(sent.chat, [])
        if those and units(those[-1][-1].text) + units(sent.text) > 4096:
            those[-1].append(sent)
        else:
            those.append([sent])
    return sorted((parts for those in found.values() for parts in those), key=lambda parts: parts[0].message_id)


def joined(parts: Sequence[Sent]) -> tuple[str, list[tuple[str, int, int]]]:
    """The text of all parts, and its formattings (type, start, end, in characters), each made whole again."""
    text = ""
    whole: list[tuple[str, int, int]] = []
    for part in parts:
        encoded = part.text.encode("utf-16-le")
        for kind, offset, length, _ in part.entities:
            start = len(text) + len(encoded[: offset * 2].decode("utf-16-le"))
            end = len(text) + len(encoded[: (offset + length) * 2].decode("utf-16-le"))
            before = next((each for each in whole if each[0] == kind and each[2] == start), None)
            if before is not None and start == len(text):
                whole.remove(before)
                start = before[1]
            whole.append((kind, start, end))
        text += part.text
    return text, sorted(whole, key=lambda each: (each[1], -each[2]))


def _text(method: str, fields: Mapping[str, str]) -> tuple[str, tuple[Entity, ...]]:
    name = _METHODS[method]
    source = fields.get(name, "")
    given = fields.get("entities" if name == "text" else "caption_entities")
    parse_mode = fields.get("parse_mode")
    text, entities = (source, _given(source, given)) if parse_mode is None else parse(parse_mode, source)
    if name == "text" and not text.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if units(text) > (4096 if name == "text" else 1024):
        raise Refused(400, f"Bad Request: message {'' if name == 'text' else 'caption '}is too long")
    if name == "caption":
        file = fields.get(method.removeprefix("send"), "")
        if not re.fullmatch(r"https?://\S+|[\w-]{10,}", file):
            raise Refused(400, "Bad Request: wrong file identifier/HTTP URL specified")
    return text, entities


def parse(parse_mode: str, source: str) -> tuple[str, tuple[Entity, ...]]:
    """Text and entities; raises Refused."""
    match parse_mode:
        case "HTML":
            return _html(source)
        case "MarkdownV2":
            return _markdown(source)
        case _:
            raise Refused(400, "Bad Request: unsupported parse_mode")


def _given(text: str, given: str | None) -> tuple[Entity, ...]:
    found = []
    for entity in msgspec.json.decode(given) if given else []:
        offset, length = entity["offset"], entity["length"]
        encoded = text.encode("utf-16-le")
        if offset < 0 or length <= 0 or (offset + length) * 2 > len(encoded):
            raise Refused(400, "Bad Request: ENTITY_BOUNDS_INVALID")
        for at in (offset, offset + length):  # a surrogate pair is never cut
            encoded[: at * 2].decode("utf-16-le")
        found.append((entity["type"], offset, length, entity.get("url", "")))
    return tuple(found)


def _check_keyboard(markup: str | None) -> None:
    if markup is None:
        return
    for row in msgspec.json.decode(markup)["inline_keyboard"]:
        for button in row:
            assert button.keys() in ({"text", "url"}, {"text", "callback_data"}), button
            if len(button.get("callback_data", "").encode()) > 64:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")


def units(text: str) -> int:
    """UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _unparsable(words: str) -> Refused:
    return Refused(400, f"Bad Request: can't parse entities: {words}")


class _Html(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self.source = source
        self.text = ""
        self.open: list[tuple[str, int, str]] = []
        self.entities: list[Entity] = []

    def here(self) -> int:
        """Where the tag begins, in bytes."""
        line, column = self.getpos()
        before = "".join(f"{each}\n" for each in self.source.split("\n")[: line - 1])
        return len(before.encode()) + len(self.source[len(before) :][:column].encode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            raise _unparsable(f'Unsupported start tag "{tag}" at byte offset {self.here()}')
        given = dict(attrs)
        if tag == "span" and given.get("class") != "tg-spoiler":
            raise _unparsable(f'Tag "span" must have class "tg-spoiler" at byte offset {self.here()}')
        self.open.append((tag, units(self.text), given.get("href") or ""))

    def handle_endtag(self, tag: str) -> None:
        if not self.open:
            raise _unparsable(f"Unexpected end tag at byte offset {self.here()}")
        opened, start, url = self.open.pop()
        if opened != tag:
            words = f'Unmatched end tag at byte offset {self.here()}, expected "</{opened}>", found "</{tag}>"'
            raise _unparsable(words)
        if units(self.text) > start:
            self.entities.append((_TAGS[tag], start, units(self.text) - start, url))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += unescape(f"&{name};") if name in ("lt", "gt", "amp", "quot") else f"&{name};"

    def handle_charref(self, name: str) -> None:
        self.text += unescape(f"&#{name};")


def _html(source: str) -> tuple[str, tuple[Entity, ...]]:
    if odd := re.search(r"<(?![A-Za-z/])([^\s>]*)", source):
        offset = len(source[: odd.start()].encode())
        raise _unparsable(f'Unsupported start tag "{odd[1]}" at byte offset {offset}')
    reader = _Html(source)
    reader.feed(source)
    reader.close()
    if reader.open:
        raise _unparsable(f"Can't find end tag corresponding to start tag {reader.open[-1][0]}")
    return reader.text, tuple(sorted(reader.entities, key=lambda entity: (entity[1], -entity[2])))


class _Markdown:
    def __init__(self) -> None:
        self.text = ""
        self.open: list[tuple[str, int, int]] = []
        self.entities: list[Entity] = []

    def read(self, found: re.Match[str]) -> int:
        """One piece of the source; where the next one begins."""
        inside = self.open[-1][0] if self.open else ""
        mark = found["mark"] or found["link"]
        if inside == "`" and mark == "```":
            self.close("code", "")
            return found.start() + 1  # the other two are read anew, with what follows them
        if inside in ("`", "```") and mark != inside and not found["escaped"]:
            self.text += found[0]
        elif plain := found["escaped"] or found["plain"]:
            self.text += plain
        elif found["url"] is not None and inside == "[":
            self.close("text_link", re.sub(r"\\(.)", r"\1", found["url"]))
        elif mark and mark == inside != "[":
            self.close(_MARK_KINDS[mark], "")
        elif mark:
            self.open.append((mark, units(self.text), found.start()))
        else:
            words = "is reserved and must be escaped with the preceding '\\'"
            raise _unparsable(f"Character '{found[0][0]}' {words}")
        return found.end()

    def close(self, kind: str, url: str) -> None:
        """End the formatting that was begun last."""
        _, start, _ = self.open.pop()
        if units(self.text) > start:
            self.entities.append((kind, start, units(self.text) - start, url))


def _markdown(source: str) -> tuple[str, tuple[Entity, ...]]:
    reader, position = _Markdown(), 0
    while found := _MARKS.search(source, position):
        position = reader.read(found)
    if reader.open:
        mark, _, begin = reader.open[-1]
        kind = _MARK_KINDS.get(mark, "text").capitalize()
        raise _unparsable(f"Can't find end of {kind} entity at byte offset {len(source[:begin].encode())}")
    return reader.text, tuple(sorted(reader.entities, key=lambda entity: (entity[1], -entity[2])))


@contextlib.asynccontextmanager
async def running(*, flood_control: bool = False) -> AsyncIterator[BotApi]:
    """A server on a free port of this event loop."""
    api = BotApi(flood_control=flood_control)
    server = WebServer(api.door, api._answer, access_log=None)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.port = runner.addresses[0][1]
    try:
        yield api
    finally:
        await runner.cleanup()
