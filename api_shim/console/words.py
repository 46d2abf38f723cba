"""Words of closed vocabularies, as forms send them."""

from enum import StrEnum
from typing import TypeVar

from api_shim import problems
from api_shim.problems import FieldError, Problem

E = TypeVar("E", bound=StrEnum)


def one_of(vocabulary: type[E], name: str, text: str) -> E | None:
    """The word that a filter's field holds, None where it is empty; raises Problem (400) for any other word."""
    if not text:
        return None
    try:
        return vocabulary(text)
    except ValueError:
        detail = f"must be one of {', '.join(vocabulary)}"
        raise Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter=name),)) from None
