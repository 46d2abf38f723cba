"""Places in a list of the "messages" dialect: what ``next`` and ``prev`` carry, so that no page moves."""

import re
from typing import Final
from uuid import UUID

import msgspec

from api_shim import problems
from api_shim.problems import FieldError, Problem
from models import ids, timestamps
from models.ids import DIALECT_B, Kind
from models.store.message_lists import TIMES, Anchor, SortKey, SortValue, can_be_none
from models.store.message_views import MessageRow, sort_value
from models.vocabulary import Channel

_KINDS: Final = {
    SortKey.CUSTOMER_ID: Kind.CONTACT,
    SortKey.CAMPAIGN_ID: Kind.CAMPAIGN,
    SortKey.JOURNEY_ID: Kind.JOURNEY,
}
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_LAST_STEP: Final = 2_147_483_647


class Place(msgspec.Struct, frozen=True):
    """Where a page begins; ``anchor`` None: at the start of the list, or at a page's number."""

    anchor: Anchor | None


def place_of(sort: SortKey, *, before: str | None, after: str | None, value: str | None) -> Place | None:
    """The place that the parameters name; None where no message has that id. Raises Problem (400)."""
    if before is not None and after is not None:
        raise _bad("before or after, not both", "after")
    at = before if before is not None else after
    if at is None:
        return Place(None)
    message_id = ids.parse(Kind.MESSAGE, at)
    if message_id is None:
        return None
    known = None if sort is SortKey.ID else _value(sort, value)
    return Place(Anchor(message_id, before is not None, known))


def _value(sort: SortKey, text: str | None) -> SortValue:
    if text is None:
        if not can_be_none(sort):
            raise _bad(f"needed with before and after in a list by {sort.value}", "value")
        return None
    try:
        return _read(sort, text)
    except (ValueError, OverflowError):
        raise _bad(f"is no value of {sort.value}", "value") from None


def _read(sort: SortKey, text: str) -> SortValue:
    if sort in TIMES:
        return timestamps.parse(text)
    if sort is SortKey.MEDIUM:
        return Channel(text).value
    if sort is SortKey.STEP:
        step = int(text) if _DIGITS.fullmatch(text) else 0
        if not 1 <= step <= _LAST_STEP:
            raise ValueError
        return step
    found = ids.parse(_KINDS[sort], text)
    if found is None:
        raise ValueError
    return found


def shown_value(sort: SortKey, row: MessageRow) -> str | None:
    """``value`` for a place at this row; None where a list by ``sort`` needs none."""
    value = None if sort is SortKey.ID else sort_value(row, sort)
    if value is None:
        return None
    if sort in TIMES and isinstance(value, int):
        return timestamps.show(value)
    kind = _KINDS.get(sort)
    return str(value) if kind is None or not isinstance(value, UUID) else shown(kind, value)


def shown(kind: Kind, value: UUID) -> str:
    """An id as this dialect shows it."""
    return f"{DIALECT_B.get(kind, kind.value)}_{ids.encode(value)}"


def _bad(detail: str, name: str) -> Problem:
    return Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter=name),))
