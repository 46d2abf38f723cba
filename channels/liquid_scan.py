"""Cutting a Liquid source into what is shown and what is done, in one pass and within limits.

The library's own lexer tries several patterns at every brace, each to the end of the source: a megabyte of ``{{``
keeps it busy for minutes. Its patterns for what stands between the braces are as costly where quotes and brackets are
left open. So the cutting is done here, and what is between the braces is checked before the library reads it.
"""

import re
from collections.abc import Iterator
from typing import Final

from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from channels.render_error import RenderError

MOST_TAGS: Final = 200
_LONGEST_EXPRESSION: Final = 1000
_MOST_WORDS: Final = 1_500
_MOST_BRACKETS: Final = 8
_MOST_CONDITIONS: Final = 40

_OPENING: Final = re.compile(r"\{\{|\{%")
_TAG_NAME: Final = re.compile(r"\s*+(#|\w++)\s*+")
_COMMENT: Final = re.compile(r"\{%-?\s*+(end)?comment\s*+(-?)%\}")
_END_OF_RAW: Final = re.compile(r"\{%(-?)\s*+endraw\s*+(-?)%\}")
_STRING: Final = re.compile(r"""'[^']*+'|"[^"]*+\"""")
_WORD: Final = re.compile(r"\w+|[^\w\s]")
_CONDITION: Final = re.compile(r"\b(?:and|or)\b")
_LONG_NUMBER: Final = re.compile(r"[0-9]{19}")


class Scanner:
    """The tokens of one source; raises RenderError."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._tags = 0
        self._words = 0
        self._strip_next = False

    def tokens(self) -> Iterator[Token]:
        """Content, and for each tag its name and what it says."""
        while (opening := _OPENING.search(self._source, self._position)) is not None:
            start = opening.start()
            yield from self._content(start, strip_end=self._source.startswith("-", start + 2))
            self._count_tag()
            inner = self._inner(start)
            if opening[0] == "{{":
                yield Token(TOKEN_OUTPUT, "{{", start, self._source)
                yield Token(TOKEN_EXPRESSION, inner, start + 2, self._source)
            else:
                yield from self._tag(inner, start)
        yield from self._content(len(self._source), strip_end=False)

    def _count_tag(self) -> None:
        self._tags += 1
        if self._tags > MOST_TAGS:
            raise RenderError(f"more than {MOST_TAGS} tags")

    def _content(self, end: int, *, strip_end: bool) -> Iterator[Token]:
        text = self._source[self._position : end]
        if self._strip_next:
            text = text.lstrip()
        if strip_end:
            text = text.rstrip()
        if text:
            yield Token(TOKEN_CONTENT, text, self._position, self._source)

    def _inner(self, start: int) -> str:
        """What stands between the braces that open at ``start``, which is left behind."""
        closing = "}}" if self._source[start + 1] == "{" else "%}"
        end = self._source.find(closing, start + 2)
        if end < 0:
            raise RenderError(f"{line_of(self._source, start)}: nothing closes {self._source[start : start + 2]}")
        inner = self._source[start + 2 : end].removeprefix("-")
        self._strip_next = inner.endswith("-")
        self._position = end + 2
        inner = inner.removesuffix("-").strip()
        self._check(inner, start)
        return inner

    def _check(self, inner: str, start: int) -> None:
        """Raises RenderError where the library would take long to read what is between the braces."""
        bare = _STRING.sub("_", inner[:_LONGEST_EXPRESSION])
        self._words += len(_WORD.findall(bare))
        problem = None
        if len(inner) > _LONGEST_EXPRESSION or self._words > _MOST_WORDS:
            problem = "too much between braces"
        elif '"' in bare or "'" in bare:
            problem = "nothing closes a quote"
        elif max(bare.count("("), bare.count("[")) > _MOST_BRACKETS:
            problem = "too many brackets"
        elif len(_CONDITION.findall(bare)) > _MOST_CONDITIONS:
            problem = "too many conditions"
        elif _LONG_NUMBER.search(bare):
            problem = "a number is too long"
        if problem is not None:
            raise RenderError(f"{line_of(self._source, start)}: {problem}")

    def _tag(self, inner: str, start: int) -> Iterator[Token]:
        named = _TAG_NAME.match(inner)
        if named is None:
            raise RenderError(f"{line_of(self._source, start)}: a tag without a name")
        match named[1]:
            case "#":
                return
            case "comment":
                self._skip_comment(start)
            case "raw":
                yield from self._raw(start)
            case name:
                yield Token(TOKEN_TAG, name, start + 2, self._source)
                if expression := inner[named.end() :]:
                    yield Token(TOKEN_EXPRESSION, expression, start + 2, self._source)

    def _skip_comment(self, start: int) -> None:
        depth = 1
        for found in _COMMENT.finditer(self._source, self._position):
            self._count_tag()
            depth += -1 if found[1] else 1
            if not depth:
                self._position = found.end()
                self._strip_next = bool(found[2])
                return
        raise RenderError(f"{line_of(self._source, start)}: nothing closes the comment")

    def _raw(self, start: int) -> Iterator[Token]:
        end = _END_OF_RAW.search(self._source, self._position)
        if end is None:
            raise RenderError(f"{line_of(self._source, start)}: nothing closes raw")
        yield from self._content(end.start(), strip_end=bool(end[1]))
        self._position = end.end()
        self._strip_next = bool(end[2])


def line_of(source: str, position: int) -> str:
    """Where a position is, said for a person."""
    return f"line {source.count(chr(10), 0, max(position, 0)) + 1}"
