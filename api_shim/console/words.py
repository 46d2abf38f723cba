"""Words of the API and of its closed vocabularies: as forms send them, and as people read them."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from api_shim import problems
from api_shim.problems import FieldError, Problem

E = TypeVar("E", bound=StrEnum)

_LENGTH: Final = re.compile(r"expected `str` of length (<=|>=) (\d+)")
_BOUNDS: Final = {"<=": "at most", ">=": "at least"}
_SAID: Final = {
    "required": "is needed",
    "needs either an address or a contactId": "is needed",
    "invalid RFC3339 encoded datetime": "is no date",
}


def one_of(vocabulary: type[E], name: str, text: str, shown: Mapping[E, str] | None = None) -> E | None:
    """The word that a filter's field holds, None where it is empty; raises Problem (400) for any other word.

    ``shown``: how the page writes the words, where not as they are.
    """
    if not text:
        return None
    try:
        return vocabulary(text)
    except ValueError:
        known = [spaced(word) for word in vocabulary] if shown is None else list(shown.values())
        detail = f"must be one of {', '.join(word.capitalize() for word in known)}"
        raise Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter=name),)) from None


def spaced(word: str) -> str:
    """A word of the API for people: ``mailbox_full`` as "mailbox full"."""
    return word.replace("_", " ")


def plain(said: str) -> str:
    """What the API says of a value, for who filled a form: without types, and as the console spells."""
    if bound := _LENGTH.fullmatch(said):
        return f"{_BOUNDS[bound[1]]} {bound[2]} characters"
    said = _SAID.get(said, said)
    return "has the wrong form" if "`" in said else said.replace("e-mail", "email")
