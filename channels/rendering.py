"""Filling texts: compiled once per text, filled per recipient.

What holds nothing but ``{{name}}`` is a ``Text``, the fast path; everything else is Liquid.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from channels.render_error import RenderError as RenderError

Escape = Callable[[str], str]

_PLACEHOLDER: Final = re.compile(r"\{\{\s*+([A-Za-z_][A-Za-z0-9_.]*+)\s*+\}\}")
_LEFT_OVER: Final = re.compile(r"\{\{|\{%")
# A name, a brace right before one, or (the group) what is left over: it stops at the first of these.
_NAME: Final = r"\{\{\s*+[A-Za-z_][A-Za-z0-9_.]*+\s*+\}\}"
_BRACES: Final = re.compile(rf"{_NAME}|\{{(?={_NAME})|(\{{\{{|\{{%)")
_MARKDOWN: Final = re.compile(r"([_*\[\]()~`>#+\-=|{}.!\\])")


def escape_markdown(text: str) -> str:
    """For Telegram's MarkdownV2, which takes these characters for its own wherever they stand."""
    return _MARKDOWN.sub(r"\\\1", text)


_ESCAPES: Final[Mapping[str, Escape]] = {"html": html.escape, "markdownv2": escape_markdown}


class Template(Protocol):
    """A compiled text."""

    @property
    def names(self) -> frozenset[str]:
        """What it asks for."""

    @property
    def reads_clock(self) -> bool:
        """Whether the same values may give another text at another time."""

    def size(self, variables: Mapping[str, Any]) -> int:
        """How many characters ``fill`` gives; raises RenderError."""

    def fill(self, variables: Mapping[str, Any]) -> str:
        """The text for one recipient, a name without a value as the empty string; raises RenderError."""


class Text:
    """A compiled text of ``{{name}}`` alone, whose values are texts. ``escape``: how they are escaped.

    ``pieces``: literals and names in turn, a literal first and last.
    """

    __slots__ = ("_asked", "_escape", "_literal_size", "names", "pieces")

    reads_clock = False

    def __init__(self, source: str, *, escape: Escape | None) -> None:
        pieces = _PLACEHOLDER.split(source)
        for literal in pieces[::2]:
            if found := _LEFT_OVER.search(literal):
                raise RenderError(f"cannot read what follows {literal[found.start() : found.start() + 20]!r}")
        self.pieces: Final[Sequence[str]] = pieces
        self._escape = escape
        self._literal_size = sum(len(literal) for literal in pieces[::2])
        self._asked = tuple(Counter(pieces[1::2]).items())
        self.names = frozenset(pieces[1::2])

    def size(self, variables: Mapping[str, str]) -> int:
        """How many characters ``fill`` would give, without filling."""
        size = self._literal_size
        for name, count in self._asked:
            size += count * len(self._shown(variables.get(name, "")))
        return size

    def fill(self, variables: Mapping[str, str]) -> str:
        """The text for one recipient; a name without a value becomes the empty string."""
        pieces = self.pieces
        if len(pieces) == 1:
            return pieces[0]
        filled = list(pieces)
        for position in range(1, len(pieces), 2):
            filled[position] = self._shown(variables.get(pieces[position], ""))
        return "".join(filled)

    def _shown(self, value: str) -> str:
        return value if self._escape is None else self._escape(value)


class Texts:
    """Subject and body of one content: what they ask for, and both compiled, None where there is none.

    ``is_liquid``: values may be any JSON; else they are texts. Both are compiled alike, since they share their values.
    """

    __slots__ = ("body", "is_liquid", "names", "subject")

    def __init__(self, subject: str | None, body: str | None, form: str) -> None:
        """Compile; only the body is escaped, as ``form`` wants. Raises TextUnreadable."""
        self.is_liquid = needs_liquid(subject or "") or needs_liquid(body or "")
        self.subject = self._compiled(subject, "subject", None)
        self.body = self._compiled(body, "body", _ESCAPES.get(form))
        asked = [template.names for template in (self.subject, self.body) if template is not None]
        self.names: frozenset[str] = frozenset().union(*asked)

    def _compiled(self, source: str | None, what: str, escape: Escape | None) -> Template | None:
        if source is None:
            return None
        try:
            return compile_text(source, escape=escape, liquid=self.is_liquid)
        except RenderError as error:
            raise TextUnreadable(str(error), what) from None


class TextUnreadable(RenderError):
    """Which of a content's texts cannot be read: ``subject`` or ``body``."""

    def __init__(self, detail: str, what: str) -> None:
        super().__init__(detail)
        self.what = what


def needs_liquid(source: str) -> bool:
    """Whether the source holds anything between braces but names."""
    return any(found[1] for found in _BRACES.finditer(source))


def escape_for(form: str) -> Escape | None:
    """How values are escaped in a body of this format (``html``, ``text``, ``markdownv2``)."""
    return _ESCAPES.get(form)


def compile_text(source: str, *, escape: Escape | None, liquid: bool | None = None) -> Template:
    """Compile a text; ``liquid`` by default only where it is needed. Raises RenderError."""
    if not (needs_liquid(source) if liquid is None else liquid):
        return Text(source, escape=escape)
    # Only now: the library takes longer to import than most commands take to run, and most texts have names alone.
    from channels.liquid import Liquid  # noqa: PLC0415 - see above

    return Liquid(source, escape=escape)


def warm_up() -> None:
    """Import what Liquid needs, which takes a second: in a thread of its own, before the first text asks for it."""
    compile_text("{% if name %}{% endif %}", escape=None)
