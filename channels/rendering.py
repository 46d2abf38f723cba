"""Filling ``{{name}}``: compiled once per text, filled per recipient."""

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")
_LEFT_OVER: Final = re.compile(r"\{\{|\{%")


class RenderError(ValueError):
    """The text holds something between braces that is no ``{{name}}``."""


class Text:
    """A compiled text. ``names``: what it asks for. ``escape``: fill values for an HTML context.

    ``pieces``: literals and names in turn, a literal first and last.
    """

    __slots__ = ("_asked", "_escape", "_literal_size", "names", "pieces")

    def __init__(self, source: str, *, escape: bool) -> None:
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
        return html.escape(value) if self._escape else value
