"""The text part of an HTML mail."""

import re
from html.parser import HTMLParser
from typing import Final

_HIDDEN: Final = frozenset({"head", "script", "style", "template", "title"})
_PARAGRAPHS: Final = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
_LINES: Final = frozenset(
    {"address", "article", "body", "div", "dd", "dl", "dt", "footer", "form", "header", "li", "main", "section", "tr"}
)
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_BLANK_LINES: Final = re.compile(r"\n{3,}")


class _Reader(HTMLParser):
    """Collects text; ``links`` holds, for each open ``a``, its target and where its label begins."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "br":
            self.pieces.append("\n")
        elif tag == "li":
            self.pieces.append("- ")
        elif tag in ("td", "th"):
            self.pieces.append(" ")
        elif tag == "img":
            self.handle_data(dict(attrs).get("alt") or "")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "a" and self._links:
            target, start = self._links.pop()
            label = "".join(self.pieces[start:]).strip()
            if target and not target.startswith("#") and target not in (label, f"mailto:{label}"):
                self.pieces.append(f" ({target})" if label else target)
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(_SPACES.sub(" ", data))

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.pieces.append("\n\n")
        elif tag in _LINES:
            self.pieces.append("\n")


def html_to_text(html: str) -> str:
    """What a reader sees of ``html``, as plain text: links as ``label (target)``, blocks on lines of their own."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = [_SPACES.sub(" ", line).strip(" ") for line in "".join(reader.pieces).split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
