"""Splitting a long text at sensible places: a paragraph's end, a line's, a sentence's, a word's."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from channels.telegram_text import Marked

_ENDS: Final = (
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"[.!?…][\"')\]»”’]*\s+|[。！？]\s*"),  # noqa: RUF001 - the full stops of Chinese and Japanese
    re.compile(r"\s+"),
)
_JOINER: Final = "\u200d"


def split(marked: Marked, most: int) -> list[Marked]:
    """Pieces of at most ``most`` UTF-16 units that joined are the whole, but for pieces of blanks alone.

    Telegram refuses a blank message, and cuts the blanks at both ends of any other.
    """
    return [piece for piece in (marked.cut(*at) for at in _places(marked.text, most)) if piece.text.strip()]


def _places(text: str, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        reach = _reach(text, start, most)
        end = reach if reach == len(text) else _best_end(text, start, reach)
        yield start, end
        start = end


def _reach(text: str, start: int, most: int) -> int:
    """How far a piece from ``start`` may go."""
    used = 0
    for position in range(start, min(start + most, len(text))):
        used += 2 if text[position] > "\uffff" else 1
        if used > most:
            return position
    return min(start + most, len(text))


def _best_end(text: str, start: int, reach: int) -> int:
    # In the second half only: a message more costs its reader a second.
    earliest = start + (reach - start) // 2 + 1
    for pattern in _ENDS:
        ends = [found.end() for found in pattern.finditer(text, earliest, reach)]
        if ends:
            return ends[-1]
    for end in range(reach, earliest, -1):
        if not _belongs_together(text, end):
            return end
    return reach


def _belongs_together(text: str, at: int) -> bool:
    """Whether a reader takes what stands before and after ``at`` for one character (Unicode, annex 29, in short)."""
    before, after = text[at - 1], text[at]
    if _JOINER in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":  # skin tones, flags' tags
        return True
    if _is_regional(before) and _is_regional(after):  # two of them are a flag
        return _regionals_before(text, at) % 2 == 1
    return (before, after) == ("\r", "\n") or ("\u1100" <= before <= "\u11ff" and "\u1160" <= after <= "\u11ff")


def _is_regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _regionals_before(text: str, at: int) -> int:
    count = 0
    while count < at and _is_regional(text[at - 1 - count]):
        count += 1
    return count
