"""The filters that a template may use, each paying for what it reads and makes before it makes it."""

import email.utils
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from liquid.builtin.filters import array, math, misc, string
from liquid.builtin.tags.for_tag import ForLoop
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context

from channels.liquid_meter import MeteredContext

Filter = Callable[..., Any]
Growth = Callable[..., int]
"""From a filter's arguments to what it costs beyond reading them and its result once."""

_CHARACTERS_A_UNIT: Final = 16
_CALL: Final = 4
_MARKUP: Final = re.compile(r"<(?:(/?)(script|style)\b)?[^<>]*+>", re.IGNORECASE)
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_LONGEST_DATE: Final = 100
_DIRECTIVES: Final = re.compile(r"(?:[^%]|%-?[aAbBdefFHIjklmMpPRsSTuUwWyYzZ%])*+")


def _strip_html(value: object) -> str:
    """The text between the tags, without that of scripts and styles."""
    text = str(value)
    kept: list[str] = []
    position = 0
    hidden: str | None = None
    for found in _MARKUP.finditer(text):
        if hidden is None:
            kept.append(text[position : found.start()])
            hidden = found[2].lower() if found[2] and not found[1] else None
        elif found[1] and found[2].lower() == hidden:
            hidden = None
        position = found.end()
    return "".join(kept) if hidden else "".join([*kept, text[position:]])


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _date(value: object, form: object = "%Y-%m-%d") -> str:
    """A time in the form of strftime, in its own zone, else UTC; what is no time stays as it is.

    Read are seconds since 1970, ISO 8601, RFC 5322 and ``now``.
    """
    form = str(form)
    if len(form) > _LONGEST_DATE or not _DIRECTIVES.fullmatch(form):
        raise FilterArgumentError("date does not know this form", token=None)
    at = _moment(value)
    return str(value) if at is None else at.strftime(form)


def _moment(value: object) -> datetime | None:
    text = str(value).strip()
    if len(text) > _LONGEST_DATE:
        return None
    if text in ("now", "today"):
        return datetime.now(UTC)
    for read in (_from_seconds, datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            at = read(text)
        except (ValueError, OverflowError, OSError):
            continue
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return None


def _from_seconds(text: str) -> datetime:
    if not _SECONDS.fullmatch(text):
        raise ValueError("not seconds since 1970")
    return datetime.fromtimestamp(int(text), UTC)


def _replacing(value: object, sought: object = "", put: object = "") -> int:
    return str(value).count(str(sought)) * len(str(put)) // _CHARACTERS_A_UNIT


def _joining(value: object, separator: object = " ") -> int:
    return len(value) * len(str(separator)) // _CHARACTERS_A_UNIT if isinstance(value, (list, tuple, range)) else 0


def _splitting(value: object, separator: object = "") -> int:
    text, sought = str(value), str(separator)
    return text.count(sought) if sought else len(text)


def _tags(value: object) -> int:
    return str(value).count("<")


def _words(value: object, *_: object) -> int:
    return len(str(value)) // 4


def _twice(value: object, *_: object) -> int:
    return 2 * len(value) if isinstance(value, (list, tuple, range)) else 0


def _squared(value: object, *_: object) -> int:
    return len(value) ** 2 // 8 if isinstance(value, (list, tuple, range)) else 0


_GROWTH: Final[Mapping[str, Growth]] = {
    "replace": _replacing,
    "join": _joining,
    "split": _splitting,
    "truncatewords": _words,
    "squish": _words,
    "sort": _twice,
    "sort_natural": _twice,
    "strip_html": _tags,
    "uniq": _squared,
}

_FILTERS: Final[Mapping[str, Filter]] = {
    "abs": math.abs_,
    "append": string.append,
    "at_least": math.at_least,
    "at_most": math.at_most,
    "base64_decode": string.base64_decode,
    "base64_encode": string.base64_encode,
    "capitalize": string.capitalize,
    "ceil": math.ceil,
    "compact": array.compact,
    "concat": array.concat,
    "date": _date,
    "default": misc.default,
    "divided_by": math.divided_by,
    "downcase": string.downcase,
    "escape": string.escape,
    "escape_once": string.escape_once,
    "first": array.first,
    "floor": math.floor,
    "join": array.join,
    "json": _to_json,
    "last": array.last,
    "lstrip": string.lstrip,
    "map": array.map_,
    "minus": math.minus,
    "modulo": math.modulo,
    "newline_to_br": string.newline_to_br,
    "plus": math.plus,
    "prepend": string.prepend,
    "remove": string.remove,
    "remove_first": string.remove_first,
    "remove_last": string.remove_last,
    "replace": string.replace,
    "replace_first": string.replace_first,
    "replace_last": string.replace_last,
    "reverse": array.reverse,
    "round": math.round_,
    "rstrip": string.rstrip,
    "size": misc.size,
    "slice": string.slice_,
    "sort": array.sort,
    "sort_natural": array.sort_natural,
    "split": string.split,
    "squish": string.squish,
    "strip": string.strip,
    "strip_html": _strip_html,
    "strip_newlines": string.strip_newlines,
    "sum": array.sum_,
    "times": math.times,
    "truncate": string.truncate,
    "truncatewords": string.truncatewords,
    "uniq": array.uniq,
    "upcase": string.upcase,
    "url_decode": string.url_decode,
    "url_encode": string.url_encode,
    "where": array.where,
}


def bounded_filters() -> dict[str, Filter]:
    """Every filter by its name, paying from the context it is used in."""
    return {name: _bounded(function, _GROWTH.get(name)) for name, function in _FILTERS.items()}


def _bounded(function: Filter, growth: Growth | None) -> Filter:
    takes_environment = getattr(function, "with_environment", False)

    def call(value: object, *arguments: object, context: MeteredContext, **named: object) -> object:
        if isinstance(value, ForLoop):
            raise FilterArgumentError("a loop is no list", token=None)
        context.spend(_CALL)
        context.weigh(value, *arguments, *named.values())
        if growth is not None:
            context.spend(growth(value, *arguments))
        if takes_environment:
            named["environment"] = context.env
        result: object = function(value, *arguments, **named)
        context.weigh(result)
        return result

    marked: Filter = with_context(call)
    return marked
