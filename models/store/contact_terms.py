"""What contacts are found by: their tags, and the words of their names, mail addresses and external ids.

Words are kept apart, in lower case, as bytes: both databases then find the beginning of one by the same index, in
any script and without regard to the letter case.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.bulk import insert_ignoring
from models.tables import contact_terms, contacts

Term = tuple[str, bytes]
"""(kind, what is found by it)."""

_TAG: Final = "tag"
_WORD: Final = "word"
_WORDS: Final = re.compile(r"[^\W_]+")
_LONGEST: Final = 64  # characters of a word
_MOST_WORDS: Final = 64  # of a contact


def words(text: str) -> list[str]:
    """The words of a text as they are compared: letters and digits, without their case."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return [word[:_LONGEST] for word in _WORDS.findall(folded)]


def terms_of(texts: Sequence[str | None], tags: Collection[str]) -> set[Term]:
    """The terms of a contact with these texts and tags; of very long texts the first words."""
    found = dict.fromkeys(word for text in texts if text is not None for word in words(text))
    return {(_WORD, word.encode()) for word in list(found)[:_MOST_WORDS]} | {(_TAG, tag.encode()) for tag in tags}


def tagged(workspace_id: UUID, tag: str) -> ColumnElement[bool]:
    """Contacts that have this tag."""
    return _found(workspace_id, _TAG, contact_terms.c.term == tag.encode())


def with_word(workspace_id: UUID, beginning: str) -> ColumnElement[bool]:
    """Contacts that have a word with this beginning, which is one of ``words``."""
    first = beginning.encode()
    last = first + b"\xff"  # no UTF-8 holds this byte
    return _found(workspace_id, _WORD, contact_terms.c.term >= first, contact_terms.c.term < last)


def _found(workspace_id: UUID, kind: str, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return contacts.c.id.in_(
        select(contact_terms.c.contact_id).where(
            contact_terms.c.workspace_id == workspace_id, contact_terms.c.kind == kind, *conditions
        )
    )


async def write(
    connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, old: set[Term], new: set[Term]
) -> None:
    """Store the terms of a contact, where ``old`` is what is stored of it."""
    rows = [
        {"workspace_id": workspace_id, "kind": kind, "term": term, "contact_id": contact_id}
        for kind, term in sorted(new - old)
    ]
    await insert_ignoring(connection, contact_terms, rows)
    if gone := sorted(old - new):
        await connection.execute(
            delete(contact_terms).where(
                contact_terms.c.workspace_id == workspace_id,
                tuple_(contact_terms.c.kind, contact_terms.c.term).in_(gone),
                contact_terms.c.contact_id == contact_id,
            )
        )
