"""Reading Telegram's subset of HTML, as the Bot API server reads it (Bot API, "HTML style").

Needed where a text is split: until then Telegram reads the markup itself. The words for what is wrong are its own.
"""

import re
from typing import Final, NamedTuple

from channels.telegram_text import Marked, Span

_KINDS: Final = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
_ARGUMENTS: Final = {"a": "href", "code": "class", "span": "class", "tg-emoji": "emoji-id"}
_REFERENCE: Final = re.compile(r"&(?:#x([0-9A-Fa-f]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot)(?![A-Za-z]));?")
_NAMED: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_TAG_NAME: Final = re.compile(r"<(/?)([^\s>]*)")
_END_OF_TAG: Final = re.compile(r"\s*>")
_ATTRIBUTE: Final = re.compile(r"\s*([^\s=>]*)(\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9.-]*)(?=[\s>])))?")
_PLAIN: Final = re.compile(r"[^<&]+")
_USER: Final = re.compile(r"tg://user/?\?id=([0-9]{1,16})")
_LINK: Final = re.compile(r"(?:https?|ftp|tg|ton|tonsite)://\S+|[\w-]+(?:\.[\w-]+)+(?:[:/?#]\S*)?", re.IGNORECASE)


class MarkupError(Exception):
    """What is wrong, in the words of the Bot API server."""


class _Open(NamedTuple):
    tag: str
    argument: str
    start: int


def parse_html(source: str) -> Marked:
    """Text and spans; raises MarkupError."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._text: list[str] = []
        self._length = 0
        self._open: list[_Open] = []
        self._spans: list[Span] = []

    def read(self) -> Marked:
        """Go through the source once."""
        position = 0
        while position < len(self._source):
            if plain := _PLAIN.match(self._source, position):
                self._put(plain[0])
                position = plain.end()
            elif self._source[position] == "<":
                position = self._tag(position)
            else:
                position = self._reference(position)
        if self._open:
            raise MarkupError(f"Can't find end tag corresponding to start tag {self._open[-1].tag}")
        spans = sorted(self._spans, key=lambda span: (span.start, -span.end))
        return Marked("".join(self._text), tuple(spans))

    def _put(self, text: str) -> None:
        self._text.append(text)
        self._length += len(text)

    def _reference(self, position: int) -> int:
        found = _REFERENCE.match(self._source, position)
        character = _character(found) if found else None
        self._put(character or "&")
        return found.end() if found and character else position + 1

    def _tag(self, begin: int) -> int:
        found = _TAG_NAME.match(self._source, begin)
        if found is None or found.end() == len(self._source):
            raise _wrong("Unclosed start tag", self._source, begin)
        tag = found[2].lower()
        return self._end(begin, found.end(), tag) if found[1] else self._start(begin, found.end(), tag)

    def _start(self, begin: int, position: int, tag: str) -> int:
        if tag not in _KINDS:
            raise _wrong(f'Unsupported start tag "{tag}"', self._source, begin)
        argument = ""
        while not (end := _END_OF_TAG.match(self._source, position)):
            found = _ATTRIBUTE.match(self._source, position)
            if found is None or not found[1]:
                raise _wrong(f'Empty attribute name in the tag "{tag}"', self._source, begin)
            if found.end() == len(self._source):
                raise _wrong("Unclosed start tag", self._source, begin)
            if found[2] is None and (tag, found[1]) != ("blockquote", "expandable"):
                words = f'Expected equal sign in declaration of an attribute of the tag "{tag}"'
                raise _wrong(words, self._source, begin)
            if found[1] in (_ARGUMENTS.get(tag), "expandable"):
                argument = _decoded(found[3] or found[4] or found[5] or found[1])
            position = found.end()
        if tag == "span" and argument != "tg-spoiler":
            raise _wrong('Tag "span" must have class "tg-spoiler"', self._source, begin)
        self._open.append(_Open(tag, argument, self._length))
        return end.end()

    def _end(self, begin: int, position: int, tag: str) -> int:
        if not self._open:
            raise _wrong("Unexpected end tag", self._source, begin)
        end = _END_OF_TAG.match(self._source, position)
        if end is None:
            raise _wrong("Unclosed end tag", self._source, begin)
        opened = self._open.pop()
        if tag and tag != opened.tag:
            words = f'Unmatched end tag at byte offset {_bytes(self._source, begin)}, expected "</{opened.tag}>"'
            raise MarkupError(f'{words}, found "</{tag}>"')
        if self._length > opened.start:
            self._close(opened)
        return end.end()

    def _close(self, opened: _Open) -> None:
        kind, argument = _KINDS[opened.tag], opened.argument
        last = self._spans[-1] if self._spans else None
        same_place = last is not None and (last.start, last.end) == (opened.start, self._length)
        if opened.tag == "pre" and last is not None and same_place and last.kind == "code" and last.argument:
            self._spans[-1] = Span("pre", opened.start, self._length, last.argument)
            return
        if opened.tag == "code":
            argument = argument.removeprefix("language-") if argument.startswith("language-") else ""
        elif opened.tag == "a":
            url = argument or "".join(self._text)[opened.start :]
            link = link_span(url, opened.start, self._length)
            self._spans += [link] if link else []
            return
        elif opened.tag == "blockquote" and argument:
            kind, argument = "expandable_blockquote", ""
        elif opened.tag in ("span", "tg-spoiler"):
            argument = ""
        self._spans.append(Span(kind, opened.start, self._length, argument))


def link_span(url: str, start: int, end: int) -> Span | None:
    """A link, the mention of a user, or nothing where Telegram would take the URL for none."""
    if user := _USER.fullmatch(url):
        return Span("text_mention", start, end, user[1])
    return Span("text_link", start, end, url) if _LINK.fullmatch(url) else None


def _character(found: re.Match[str]) -> str | None:
    """What a reference stands for; None where it stands for nothing, and is text itself."""
    hexadecimal, decimal, name = found.groups()
    if name:
        return _NAMED[name]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return None if not 0 < code < 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)


def _decoded(value: str) -> str:
    return _REFERENCE.sub(lambda found: _character(found) or found[0], value)


def _bytes(source: str, position: int) -> int:
    return len(source[:position].encode("utf-8", "surrogatepass"))


def _wrong(words: str, source: str, position: int) -> MarkupError:
    return MarkupError(f"{words} at byte offset {_bytes(source, position)}")
