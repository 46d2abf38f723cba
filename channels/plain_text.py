"""The text part of an HTML mail.

The work is linear in the length of the HTML, whatever it holds: no pattern takes the same character in two ways, and
what is not closed is looked for to the end once.
"""

import html
import re
from typing import Final

_PARAGRAPHS: Final = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
_LINES: Final = frozenset(
    {"address", "article", "body", "div", "dd", "dl", "dt", "footer", "form", "header", "li", "main", "section", "tr"}
)
_AT_END: Final = dict.fromkeys(_PARAGRAPHS, "\n\n") | dict.fromkeys(_LINES, "\n")
_AT_START: Final = _AT_END | {"br": "\n", "li": "\n- ", "td": " ", "th": " "}
"""What stands for a tag."""

# The patterns read a text whose white space is single spaces.
_ATTRIBUTES: Final = r"""(?:[^>=]++|= ?(?:"[^"]*+"|'[^']*+'|[^ "'>][^ >]*+|(?=>)))*"""
_COMMENT: Final = r"!--(?:-?>|(?:[^-]++|-(?!-!?>))*--!?>)"


def _markup(name: str, attributes: str, others: str) -> re.Pattern[str]:
    """A tag, an element whose content is not shown, or what else begins with ``<``; all of it closed."""
    hidden = (
        rf"(?=[sStT])(?P<hidden>(?i:script|style|template|title))(?=[ />]){attributes}>"
        rf"[^<]*+(?:<(?!/(?i:(?P=hidden))[ />])[^<]*+)*(?:</(?i:(?P=hidden))[^>]*+>?|\Z)"
    )
    start = f"(?P<start>{name})(?P<attributes>{attributes})>"
    return re.compile(f"<(?=[A-Za-z/!?])(?:{hidden}|{start}|/(?P<end>{name}){attributes}>|{others})", re.DOTALL)


_MARKUP: Final = _markup(
    r"[A-Za-z][^ />]*+", _ATTRIBUTES, rf"{_COMMENT}|(?:!(?!--)|[?]|/(?![A-Za-z]))[^>]*+>|(?P<unclosed>[A-Za-z/!?].*)"
)
"""Markup as a browser reads it (HTML, section 13.2.5). ``unclosed``: all the rest, where nothing closes what begins."""

_SHORT_MARKUP: Final = _markup(r"[A-Za-z][^ /<>]*+", "[^<>]*+", r"(?:[!?]|/(?![A-Za-z]))[^<>]*+>")
"""Markup where a browser would see none: up to the next ``>``, if no ``<`` comes first."""

_ATTRIBUTE: Final = re.compile(r"""([^ />=]++)(?: ?= ?(?:"([^"]*+)"|'([^']*+)'|([^ "'>][^ >]*+)|))?""")
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_SPACE_RUN: Final = re.compile("  +")
_BREAKS: Final = re.compile(r" ?\n(?: ?\n)+ ?")
_BREAK: Final = re.compile(r" \n ?|\n ")
_HUGE_REFERENCE: Final = re.compile(r"&#[0-9]{20,}+;?")


class _Reader:
    """Collects text. A link ends where the next begins: links cannot be nested."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._link: tuple[str, int] | None = None  # its target, and where its label begins

    def read(self, source: str, markup: re.Pattern[str]) -> None:
        position = 0
        for token in markup.finditer(source):
            start, end = token.span()
            if start > position:
                self._text(source[position:start])
            position = end
            match token.lastgroup:
                case "attributes":
                    self._start(token["start"].lower(), token["attributes"])
                case "end":
                    self._end(token["end"].lower())
                case "unclosed":
                    self._text("<")
                    self.read(token["unclosed"], _SHORT_MARKUP)
        self._text(source[position:])

    def end_link(self) -> None:
        if self._link is None:
            return
        target, start = self._link
        self._link = None
        if not target or target.startswith("#"):
            return
        label = "".join(self.pieces[start:]).strip()
        if target not in (label, f"mailto:{label}"):
            self.pieces.append(f" ({target})" if label else target)

    def _text(self, text: str) -> None:
        self.pieces.append(_unescape(text))

    def _start(self, tag: str, attributes: str) -> None:
        if tag in _AT_START:
            self.pieces.append(_AT_START[tag])
        elif tag == "img":
            self._text(_attribute(attributes, "alt"))
        elif tag == "a":
            self.end_link()
            self._link = _attribute(attributes, "href").strip(" "), len(self.pieces)

    def _end(self, tag: str) -> None:
        if tag == "a":
            self.end_link()
        elif tag in _AT_END:
            self.pieces.append(_AT_END[tag])


def _unescape(text: str) -> str:
    """The text without character references. One that is no character may have more digits than Python reads."""
    return _SPACES.sub(" ", html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))) if "&" in text else text


def _attribute(attributes: str, name: str) -> str:
    """The value of the first attribute of that name; empty where there is none."""
    for found in _ATTRIBUTE.finditer(attributes):
        if found[1].lower() == name:
            return _unescape(found[2] or found[3] or found[4] or "")
    return ""


def html_to_text(source: str) -> str:
    """What a reader sees of an HTML text, as plain text: links as ``label (target)``, blocks on lines of their own.

    What is never closed is text.
    """
    reader = _Reader()
    reader.read(_SPACES.sub(" ", source), _MARKUP)
    reader.end_link()
    text = _BREAKS.sub("\n\n", _SPACE_RUN.sub(" ", "".join(reader.pieces)))
    return _BREAK.sub("\n", text).strip("\n ")
