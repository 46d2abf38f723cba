"""The ``query`` of the "messages" dialect: terms separated by spaces, all ANDed."""

import re
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from api_shim import problems
from api_shim.problems import FieldError, Problem
from models import ids
from models.ids import Kind
from models.store.message_views import MessageFilter
from models.subject_words import words_of
from models.vocabulary import Channel

_IDS: Final = {"cu": Kind.CONTACT, "j": Kind.JOURNEY, "c": Kind.CAMPAIGN}
_MEDIUM: Final = "m"
_KEYS: Final = (*_IDS, _MEDIUM)
_MOST_TERMS: Final = 20
_LONGEST_SHOWN: Final = 40
# A quoted phrase, up to the end where its second quote is missing; or whatever is not a space.
_TERM: Final = re.compile(r'"(?P<phrase>[^"]*)(?P<closed>"?)|(?P<key>[^\s":]*):(?P<value>\S*)|(?P<word>[^\s"]+)')


class _Nothing(Exception):
    """No message can be meant."""


def parse(query: str) -> MessageFilter | None:
    """The filter; None where it names an id that cannot exist, or two at once. Raises Problem (400)."""
    wanted: dict[str, UUID | Channel] = {}
    texts: list[str] = []
    try:
        for key, value in _terms(query):
            if key is None:
                texts.append(value)
                continue
            meant = _meant(key, value)
            if wanted.setdefault(key, meant) != meant:
                return None
    except _Nothing:
        return None
    phrases = tuple(dict.fromkeys(tuple(words) for words in map(words_of, texts) if words))
    if texts and not phrases:
        raise bad_query("a word of the subject has a letter or a digit")
    return MessageFilter(
        channel=_channel(wanted),
        contact_id=_id(wanted, "cu"),
        campaign_id=_id(wanted, "c"),
        journey_id=_id(wanted, "j"),
        phrases=phrases,
    )


def _id(wanted: dict[str, UUID | Channel], key: str) -> UUID | None:
    value = wanted.get(key)
    return value if isinstance(value, UUID) else None


def _channel(wanted: dict[str, UUID | Channel]) -> Channel | None:
    value = wanted.get(_MEDIUM)
    return value if isinstance(value, Channel) else None


def _terms(query: str) -> Iterator[tuple[str | None, str]]:
    """(key, value) of each term; a key of None for words and phrases."""
    for number, found in enumerate(_TERM.finditer(query)):
        if number == _MOST_TERMS:
            raise bad_query(f"at most {_MOST_TERMS} terms")
        if found["phrase"] is not None:
            if not found["closed"]:
                raise bad_query("a quote is not closed")
            yield None, found["phrase"]
        elif found["word"] is not None:
            yield None, found["word"]
        else:
            yield found["key"], found["value"].strip('"')


def _meant(key: str, value: str) -> UUID | Channel:
    if key == _MEDIUM:
        try:
            return Channel(value)
        except ValueError:
            raise bad_query(f"m: must be one of {', '.join(Channel)}") from None
    if key not in _IDS:
        shown = key if len(key) <= _LONGEST_SHOWN else f"{key[:_LONGEST_SHOWN]}…"
        raise bad_query(f"unknown key {shown}: one of {', '.join(_KEYS)}; a word that holds a colon goes into quotes")
    found = ids.parse(_IDS[key], value)
    if found is None:
        raise _Nothing
    return found


def bad_query(detail: str) -> Problem:
    """400 for the parameter ``query``."""
    return Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter="query"),))
