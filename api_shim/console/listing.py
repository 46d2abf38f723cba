"""Lists of the console: pages that begin and end at a row, so that none moves while new ones come."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from models import ids
from models.ids import Kind
from models.store.slices import Place, Slice

_PLACES: Final = ("before", "after")
_LAST_PAGE: Final = 100_000


class ListQuery(msgspec.Struct):
    """``before`` and ``after``: the row at which the page ends or begins."""

    before: str = ""
    after: str = ""


def place_of(query: ListQuery, kind: Kind) -> Place | None:
    """Where the page lies; None for the newest one, and where the address names no row."""
    for name in _PLACES:
        found = ids.parse(kind, getattr(query, name))
        if found is not None:
            return Place(found, before=name == "before")
    return None


def paged(page: Slice[Any], query: ListQuery, kind: Kind) -> dict[str, Any]:
    """What the templates of lists want besides the rows: the ways to the next pages, and what was asked for."""
    given = {name: value for name, value in msgspec.structs.asdict(query).items() if value}
    filters = {name: value for name, value in given.items() if name not in _PLACES}
    return {
        "query": query,
        "filtered": bool(filters),
        "moved": len(filters) < len(given),
        "searched": page.searched,
        "newer": _link(filters, "after", page.newer, kind),
        "older": _link(filters, "before", page.older, kind),
    }


def page_number(text: str) -> int:
    """The page that an address names, from 1; the first where it names none, never one beyond all sense."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    return max(1, min(number, _LAST_PAGE))


def _link(filters: Mapping[str, str], name: str, place: Place | None, kind: Kind) -> str | None:
    return None if place is None else "?" + urlencode({**filters, name: ids.show(kind, place.id)})
