"""What one message becomes on Telegram: one part, or several where it is long or has a file."""

import html
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from channels.errors import Permanent
from channels.mime_encoding import has_control
from channels.rendering import RenderError, Template, escape_markdown
from channels.telegram_html import MarkupError, parse_html
from channels.telegram_markdown import parse_markdown
from channels.telegram_split import split
from channels.telegram_text import MOST_CAPTION_UNITS, MOST_UNITS, Marked, Span, units
from models.vocabulary import FailureReason

MOST_PARTS: Final = 50
"""At a message a second, a reader is busy for a minute."""

_MOST_SOURCE: Final = 4 * MOST_PARTS * MOST_UNITS
_PARSE_MODES: Final = {"html": "HTML", "markdownv2": "MarkdownV2"}
_GAP: Final = "\n\n"


class File(msgspec.Struct, frozen=True):
    """What is shown with a message. ``kind``: photo or document; ``source``: an http(s) URL, or a file id."""

    kind: str
    source: str


class Part(msgspec.Struct, frozen=True):
    """One message as Telegram takes it: its markup is Telegram's to read (``parse_mode``), or is told as spans."""

    marked: Marked
    parse_mode: str | None = None
    file: File | None = None


class Letter(msgspec.Struct, frozen=True):
    """A content, ready to be filled. ``form``: html, text or markdownv2."""

    subject: Template | None
    body: Template | None
    form: str
    file: File | None = None

    def head(self, variables: Mapping[str, Any]) -> str:
        """The subject as it stands in the first line, in bold, with the gap below it; '' without one.

        Raises Permanent.
        """
        subject = _filled(self.subject, variables)
        if has_control(subject):
            raise Permanent(
                "the subject holds a line break or another control character", reason=FailureReason.HEADER_INJECTION
            )
        if not subject.strip():
            return ""
        match self.form:
            case "html":
                return f"<b>{html.escape(subject, quote=False)}</b>{_GAP}"
            case "markdownv2":
                return f"*{escape_markdown(subject)}*{_GAP}"
            case _:
                return subject + _GAP

    def parts(self, variables: Mapping[str, Any]) -> list[Part]:
        """The parts for one recipient, in their order; the same for the same variables. Raises Permanent."""
        head = self.head(variables)
        source = head + _filled(self.body, variables)
        if len(source) > _MOST_SOURCE:
            raise _too_large()
        if self.file is None:
            return self._texts(head, source)
        caption = self._whole(head, source, MOST_CAPTION_UNITS)
        if caption is not None:
            return [msgspec.structs.replace(caption, file=self.file)]
        return [Part(Marked(""), file=self.file), *self._texts(head, source)]

    def _texts(self, head: str, source: str) -> list[Part]:
        whole = self._whole(head, source, MOST_UNITS)
        if whole is not None:
            return [whole]
        pieces = split(self._marked(head, source), MOST_UNITS)
        if len(pieces) > MOST_PARTS:
            raise _too_large()
        return [Part(piece) for piece in pieces]

    def _whole(self, head: str, source: str, most: int) -> Part | None:
        """The text as one part, its markup unread; None where it is too long for that."""
        parse_mode = _PARSE_MODES.get(self.form)
        # Markup only takes room: what fits with it fits without.
        if units(source) > most and (parse_mode is None or units(self._marked(head, source).text) > most):
            return None
        return Part(self._marked(head, source) if parse_mode is None else Marked(source), parse_mode)

    def _marked(self, head: str, source: str) -> Marked:
        try:
            match self.form:
                case "html":
                    return parse_html(source)
                case "markdownv2":
                    return parse_markdown(source)
        except MarkupError as error:
            raise Unparsable(str(error)) from None
        bold = len(head) - len(_GAP)
        return Marked(source, (Span("bold", 0, bold),) if head else ())


class Unparsable(Exception):
    """The markup cannot be read, in the words of the Bot API server."""


def _filled(template: Template | None, variables: Mapping[str, Any]) -> str:
    try:
        return template.fill(variables) if template else ""
    except RenderError as error:
        raise Permanent(str(error), reason=FailureReason.RENDER_ERROR) from None


def _too_large() -> Permanent:
    return Permanent(f"the text takes more than {MOST_PARTS} messages", reason=FailureReason.TOO_LARGE)
