"""Reading what a client sent: bodies within their limits, strict JSON, and errors that point at their place."""

import asyncio
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from api_shim import problems
from api_shim.problems import FieldError, Problem
from models.timestamps import from_datetime

T = TypeVar("T")

_BODY_TIMEOUT_S: Final = 60
_DEEPEST: Final = 32
_YEAR_9999: Final = 253_370_764_800_000
# A client that still writes when the connection is closed never sees the answer: so much is read, and dropped.
_MOST_DISCARDED: Final = 16 << 20

_AT: Final = re.compile(r"(?s)\A(?P<said>.*?)(?: - at (?:key in )?`(?P<path>\$[^`]*)`)?\Z")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_UNKNOWN: Final = re.compile(r"(?s)\AObject contains unknown field `(?P<field>.*)`\Z")
_MISSING: Final = re.compile(r"\AObject missing required field `(?P<field>.*)`\Z")


async def read_body(request: Request, limit: int) -> bytes:
    """The body's bytes; of one over ``limit`` bytes nothing is kept (413)."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(problems.UNSUPPORTED_ENCODING, "Send the body without Content-Encoding.")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit + _MOST_DISCARDED:
                    break
                if size > limit:
                    chunks.clear()
                else:
                    chunks.append(chunk)
    except TimeoutError:
        raise Problem(problems.TIMED_OUT, headers={"Connection": "close"}) from None
    if size > limit:
        # What was not read must not be taken for the next request.
        raise Problem(problems.TOO_LARGE, f"At most {limit:,} bytes.", headers={"Connection": "close"})
    return b"".join(chunks)


def decode(raw: bytes, wanted: type[T]) -> T:
    """The JSON document as a ``wanted``; raises Problem (400) that names the field and its place."""
    try:
        value = msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        raise _explain(str(error), wanted) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(problems.MALFORMED_JSON, _plain(error)) from None
    except RecursionError:
        raise _too_deep() from None
    _check_strictness(raw)
    return value


def _plain(error: Exception) -> str:
    return "The body is not UTF-8." if isinstance(error, UnicodeDecodeError) else f"{error}."


def _too_deep() -> Problem:
    return Problem(problems.MALFORMED_JSON, f"Nested deeper than {_DEEPEST} levels.")


def _check_strictness(raw: bytes) -> None:
    """Refuse what the decoder lets pass: a name twice in one object, NUL characters, and deep nesting."""
    try:
        tree = _STRICT.decode(raw.decode())
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        # Also Python's limit on the digits of an integer.
        raise Problem(problems.MALFORMED_JSON, "A number is out of range.") from error
    if b"\\u0000" in raw or raw.count(b"{") + raw.count(b"[") > _DEEPEST:
        _walk(tree, 1)


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(problems.MALFORMED_JSON, "A name stands twice in one object.")
    return found


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_without_doubles)


def _walk(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise _too_deep()
    if isinstance(value, dict):
        for name, inner in value.items():
            _walk(name, depth)
            _walk(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, depth + 1)
    elif isinstance(value, str) and "\0" in value:
        raise Problem(problems.MALFORMED_JSON, "A text holds the character U+0000.")


def milliseconds(moment: datetime | None, pointer: str) -> int | None:
    """A time of the body in milliseconds; raises Problem (400) where it could not be shown again."""
    if moment is None:
        return None
    millis = from_datetime(moment)
    if not 0 <= millis < _YEAR_9999:
        raise problems.invalid("lies outside the years 1970 to 9998", pointer)
    return millis


def convert_query(values: Mapping[str, str], wanted: type[T]) -> T:
    """Query parameters as a ``wanted``; raises Problem (400) that names the parameter."""
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        match = _AT.match(str(error))
        steps = _steps(match["path"] if match else None)
        name = str(steps[0]) if steps else ""
        detail = _expectation(match["said"] if match else "", wanted, steps)
        raise Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter=name),)) from None


def _explain(message: str, wanted: Any) -> Problem:
    """The problem for msgspec's ``message``, which ends with the place: `` - at `$.items[3].to` ``."""
    match = _AT.match(message)
    said, path = (match["said"], match["path"]) if match else (message, None)
    steps = _steps(path)
    if unknown := _UNKNOWN.match(said):
        name = unknown["field"]
        close = difflib.get_close_matches(name, _names_at(wanted, steps), n=1)
        detail = "unknown field" + (f"; did you mean {close[0]}?" if close else "")
        return Problem(problems.UNKNOWN_FIELD, errors=(FieldError(detail, _pointer([*steps, name[:100]])),))
    if missing := _MISSING.match(said):
        error = FieldError("required", _pointer([*steps, missing["field"]]))
        return Problem(problems.MISSING_FIELD, errors=(error,))
    return problems.invalid(_expectation(said, wanted, steps), _pointer(steps))


def _expectation(said: str, wanted: Any, steps: Sequence[str | int]) -> str:
    """What was expected. Without the value that was given, which may be personal."""
    if said.startswith("Invalid enum value"):
        words = _words_at(wanted, steps)
        return f"must be one of {', '.join(words)}" if words else "is none of the allowed values"
    return said[:1].lower() + said[1:]


def _steps(path: str | None) -> list[str | int]:
    """The names and positions in msgspec's path; a free mapping's key is not given there and ends it."""
    steps: list[str | int] = []
    for found in _STEP.finditer(path or ""):
        name, position = found.groups()
        if name is None and position is None:
            break
        steps.append(name if name is not None else int(position))
    return steps


def _pointer(steps: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901) as a fragment."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _names_at(wanted: Any, steps: Sequence[str | int]) -> list[str]:
    return [
        field.encode_name
        for kind in _kinds_at(wanted, steps)
        if isinstance(kind, msgspec.inspect.StructType)
        for field in kind.fields
    ]


def _words_at(wanted: Any, steps: Sequence[str | int]) -> list[str]:
    words: list[str] = []
    for kind in _kinds_at(wanted, steps):
        if isinstance(kind, msgspec.inspect.EnumType):
            words += [str(member.value) for member in kind.cls]
        elif isinstance(kind, msgspec.inspect.LiteralType):
            words += [str(value) for value in kind.values]
    return words


def _kinds_at(wanted: Any, steps: Sequence[str | int]) -> list[msgspec.inspect.Type]:
    """The types that the value at ``steps`` may have."""
    kinds = _alternatives(_type_info(wanted))
    for step in steps:
        inner: list[msgspec.inspect.Type] = []
        for kind in kinds:
            if isinstance(kind, msgspec.inspect.StructType):
                inner += [field.type for field in kind.fields if field.encode_name == step]
            elif isinstance(kind, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType, msgspec.inspect.SetType)):
                inner.append(kind.item_type)
        kinds = [each for kind in inner for each in _alternatives(kind)]
    return kinds


def _alternatives(kind: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    return list(kind.types) if isinstance(kind, msgspec.inspect.UnionType) else [kind]


@lru_cache(maxsize=256)
def _type_info(wanted: Any) -> msgspec.inspect.Type:
    return msgspec.inspect.type_info(wanted)
