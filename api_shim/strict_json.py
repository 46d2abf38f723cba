"""What no JSON document of a client may hold, although a decoder lets it pass, and the place where it stands."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from api_shim import problems
from api_shim.problems import FieldError, Problem

_DEEPEST: Final = 32
# Beside letters, digits and -._~ (RFC 3986, section 3.5).
_IN_FRAGMENTS: Final = "!$&'()*+,;=:@?"
_LONGEST_NAME: Final = 100


def pointer_to(steps: Iterable[str | int]) -> str:
    """A JSON pointer as the fragment of a URI (RFC 6901, section 6)."""
    return "#" + "".join(f"/{_escaped(str(step))}" for step in steps)


def _escaped(step: str) -> str:
    return quote(step.replace("~", "~0").replace("/", "~1"), safe=_IN_FRAGMENTS, errors="replace")


def too_deep() -> Problem:
    """400 for a document of too many levels."""
    return Problem(problems.MALFORMED_JSON, f"Nested deeper than {_DEEPEST} levels.")


def check_strictness(raw: bytes) -> None:
    """Refuse what the decoder lets pass: a name twice in one object, NUL characters, and deep nesting."""
    try:
        # The decoder found one document, so there is nothing to look for behind it.
        tree, _ = _STRICT.raw_decode(raw.decode().lstrip())
    except RecursionError:
        raise too_deep() from None
    except _Twice:
        raise malformed(raw, "A name stands twice in one object.") from None
    except ValueError:
        # Python's limit on the digits of an integer.
        raise malformed(raw, "A number is out of range.") from None
    if raw.count(b"{") + raw.count(b"[") > _DEEPEST:
        _check_depth(tree, 1)
    if b"\\u0000" in raw and (found := _strange(tree, ())) is not None:
        raise Problem(problems.MALFORMED_JSON, errors=(found,))


def _check_depth(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise too_deep()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


class _Twice(Exception):
    """A name stands twice in one object."""


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_without_doubles)


class _Mark:
    """Stands where a value is that no document may hold."""

    def __init__(self, detail: str) -> None:
        self.detail = detail


def _marked(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = _Mark("stands twice in its object") if name in found else value
    return found


def _number(digits: str) -> int | _Mark:
    try:
        return int(digits)
    except ValueError:
        return _Mark("a number out of range")


_MARKING: Final = json.JSONDecoder(object_pairs_hook=_marked, parse_int=_number)


def malformed(raw: bytes, detail: str) -> Problem:
    """The problem of a body that cannot be read; it points at the place where there is one to find."""
    try:
        tree, _ = _MARKING.raw_decode(raw.decode().lstrip())
        found = _strange(tree, ())
    except (ValueError, RecursionError):
        found = None
    if found is None:
        return Problem(problems.MALFORMED_JSON, detail)
    return Problem(problems.MALFORMED_JSON, errors=(found,))


def _strange(value: Any, steps: tuple[str | int, ...]) -> FieldError | None:
    """The first thing in a document that no document may hold."""
    if isinstance(value, _Mark):
        return FieldError(value.detail, _place(steps))
    if isinstance(value, str):
        fault = _strange_text(value)
        return None if fault is None else FieldError(fault, _place(steps))
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inner:
        found = _strange(step, steps) if isinstance(step, str) else None
        found = found or _strange(each, (*steps, step))
        if found is not None:
            return found
    return None


def _strange_text(text: str) -> str | None:
    if "\0" in text:
        return "holds the character U+0000"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    return None


def _place(steps: Sequence[str | int]) -> str:
    """A pointer no longer than ours can be; a name that is longer ends it."""
    shown: list[str | int] = []
    for step in steps:
        if isinstance(step, str) and (len(step) > _LONGEST_NAME or _strange_text(step) is not None):
            break
        shown.append(step)
    return pointer_to(shown)
