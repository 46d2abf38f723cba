"""Reading Telegram's MarkdownV2, as the Bot API server reads it (Bot API, "MarkdownV2 style")."""

import re
from typing import Final, NamedTuple

from channels.telegram_html import MarkupError, link_span
from channels.telegram_text import Marked, Span

_MARKS: Final = {
    "```": "pre",
    "__": "underline",
    "||": "spoiler",
    "![": "custom_emoji",
    "_": "italic",
    "*": "bold",
    "~": "strikethrough",
    "[": "text_link",
    "`": "code",
}
"""The longer ones first."""

_ENDS: Final = {kind: mark for mark, kind in _MARKS.items()} | {"custom_emoji": "]", "text_link": "]"}
_NAMES: Final = {"pre": "Pre", "text_link": "TextUrl", "custom_emoji": "CustomEmoji", "blockquote": "BlockQuote"}
_PLAIN: Final = re.compile(r"[^_*\[\]()~`>#+\-=|{}.!\\\n]+")
_PLAIN_IN_CODE: Final = re.compile(r"[^`\\]+")
_LANGUAGE: Final = re.compile(r"[^\s`]+(?=\s)")
_NEW_LINE: Final = re.compile(r"\r\n|\n\r|\n|\r")
_URL: Final = re.compile(r"\(((?:[^)\\]|\\.)*)\)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\([\x01-\x7e])")
_EMOJI: Final = re.compile(r"tg://emoji/?\?id=([0-9]+)")


class _Open(NamedTuple):
    kind: str
    start: int
    at: int
    argument: str = ""


def parse_markdown(source: str) -> Marked:
    """Text and spans; raises MarkupError."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._text: list[str] = []
        self._length = 0
        self._open: list[_Open] = []
        self._spans: list[Span] = []
        self._quote: int | None = None
        self._at_line_start = True

    def read(self) -> Marked:
        """Go through the source once."""
        position = 0
        while position < len(self._source):
            position = self._step(position)
        self._end_quote()
        if self._open:
            raise self._unended(self._open[-1])
        spans = sorted(self._spans, key=lambda span: (span.start, -span.end))
        return Marked("".join(self._text), tuple(spans))

    def _step(self, position: int) -> int:
        if escaped := _ESCAPED.match(self._source, position):
            self._put(escaped[1])
            return escaped.end()
        inner = self._open[-1].kind if self._open else ""
        in_code = inner in ("code", "pre")
        if plain := (_PLAIN_IN_CODE if in_code else _PLAIN).match(self._source, position):
            self._put(plain[0])
            return plain.end()
        character = self._source[position]
        if character == "\n" and not in_code:
            return self._new_line(position)
        if character == ">" and self._at_line_start:
            if self._quote is None:
                self._quote = self._length
            self._at_line_start = False
            return position + 1
        return self._mark(position, inner, character)

    def _put(self, text: str) -> None:
        self._text.append(text)
        self._length += len(text)
        self._at_line_start = False

    def _new_line(self, position: int) -> int:
        if self._quote is not None and not self._source.startswith(">", position + 1):
            if self._open and not self._is_expander():
                raise self._unended(self._open[-1])
            self._end_quote()
        self._put("\n")
        self._at_line_start = True
        return position + 1

    def _is_expander(self) -> bool:
        """Two bars at a quotation's very end fold it up."""
        last = self._open[-1]
        return last.kind == "spoiler" and last.start == self._length

    def _end_quote(self) -> None:
        if self._quote is None:
            return
        kind = "blockquote"
        if self._open and self._is_expander():
            self._open.pop()
            kind = "expandable_blockquote"
        if self._length > self._quote:
            self._spans.append(Span(kind, self._quote, self._length))
        self._quote = None

    def _mark(self, position: int, inner: str, character: str) -> int:
        if inner and self._ends_here(position, inner):
            return self._close(position)
        if inner in ("code", "pre"):
            self._put(character)
            return position + 1
        for mark, kind in _MARKS.items():
            if self._source.startswith(mark, position):
                return self._begin(position, mark, kind)
        raise MarkupError(f"Character '{character}' is reserved and must be escaped with the preceding '\\'")

    def _ends_here(self, position: int, kind: str) -> bool:
        if kind == "italic" and self._source.startswith("__", position):
            return False
        return self._source.startswith(_ENDS[kind], position)

    def _begin(self, position: int, mark: str, kind: str) -> int:
        end = position + len(mark)
        language = ""
        if kind == "pre":
            if found := _LANGUAGE.match(self._source, end):
                language, end = found[0], found.end()
            if line := _NEW_LINE.match(self._source, end):
                end = line.end()
        self._open.append(_Open(kind, self._length, position, language))
        return end

    def _close(self, position: int) -> int:
        opened = self._open.pop()
        end = position + len(_ENDS[opened.kind])
        argument = opened.argument
        if opened.kind in ("text_link", "custom_emoji"):
            argument, end = self._target(opened, end)
        if self._length > opened.start:
            span: Span | None = Span(opened.kind, opened.start, self._length, argument)
            if opened.kind == "text_link":
                span = link_span(argument, opened.start, self._length)
            self._spans += [span] if span else []
        return end

    def _target(self, opened: _Open, position: int) -> tuple[str, int]:
        """The URL behind a link's text, or the id behind a custom emoji's."""
        if not self._source.startswith("(", position):
            if opened.kind == "custom_emoji":
                raise MarkupError("Custom emoji entity must contain a tg://emoji URL")
            return "".join(self._text)[opened.start :], position
        found = _URL.match(self._source, position)
        if found is None:
            raise MarkupError(f"Can't find end of a URL at byte offset {self._bytes(position + 1)}")
        url = _ESCAPED.sub(r"\1", found[1])
        if opened.kind == "text_link":
            return url, found.end()
        emoji = _EMOJI.fullmatch(url)
        if emoji is None:
            raise MarkupError("Custom emoji entity must contain a tg://emoji URL")
        return emoji[1], found.end()

    def _unended(self, opened: _Open) -> MarkupError:
        name = _NAMES.get(opened.kind, opened.kind.capitalize())
        return MarkupError(f"Can't find end of {name} entity at byte offset {self._bytes(opened.at)}")

    def _bytes(self, position: int) -> int:
        return len(self._source[:position].encode("utf-8", "surrogatepass"))
