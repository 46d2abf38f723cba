"""Text with formatting apart from it, as Telegram keeps it ("MessageEntity" in the Bot API)."""

from typing import Final

import msgspec

MOST_UNITS: Final = 4096
"""Of a text, after its markup was taken out (Bot API, "sendMessage")."""

MOST_CAPTION_UNITS: Final = 1024
"""Of a caption, likewise (Bot API, "sendPhoto")."""


class Span(msgspec.Struct, frozen=True):
    """One formatting of ``text[start:end]``. ``kind`` is the entity's type.

    ``argument``: a ``text_link``'s URL, a ``text_mention``'s user id, a ``pre``'s language, a ``custom_emoji``'s id.
    """

    kind: str
    start: int
    end: int
    argument: str = ""


class Marked(msgspec.Struct, frozen=True):
    """A text and its spans, outer ones before inner ones."""

    text: str
    spans: tuple[Span, ...] = ()

    def cut(self, start: int, end: int) -> "Marked":
        """The piece ``text[start:end]`` with what there is of each span."""
        spans = [
            Span(span.kind, max(span.start, start) - start, min(span.end, end) - start, span.argument)
            for span in self.spans
            if span.start < end and span.end > start
        ]
        return Marked(self.text[start:end], tuple(spans))


def units(text: str) -> int:
    """How many UTF-16 code units a text has: what Telegram counts in."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
