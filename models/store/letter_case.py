"""Texts compared whatever the case of their letters, alike on both databases."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, func


def in_any_case(column: ColumnElement[str], texts: Collection[str]) -> ColumnElement[bool]:
    """Whether ``column`` holds one of ``texts``.

    SQLite's ``lower`` knows ASCII alone, and PostgreSQL's the letters of the database's locale, which may be no more:
    the other letters that stand in ``texts`` are exchanged one by one.
    """
    folded = {_lower(text) for text in texts}
    shown: ColumnElement[str] = func.lower(column)
    for letter in sorted({letter for text in folded for letter in text if not letter.isascii()}):
        if letter.upper() != letter and len(letter.upper()) == 1:
            shown = func.replace(shown, letter.upper(), letter)
    return shown.in_(folded)


def _lower(text: str) -> str:
    """Letter by letter: in a whole text, Python lowers the sigma at the end of a word to another letter."""
    return "".join(map(str.lower, text))
