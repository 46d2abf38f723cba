"""Reading what a client sent: bodies within their limits, strict JSON, and errors that point at their place."""

import asyncio
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from api_shim import problems
from api_shim.problems import FieldError, Problem
from api_shim.strict_json import check_strictness, malformed, pointer_to, too_deep
from api_shim.text_forms import WORDS
from models.timestamps import from_datetime

T = TypeVar("T")

WHOLE_BODY: Final = "wireroom.whole_body"
"""An extension of ASGI: the body is there to its end, so that nobody waits for it, and no clock is needed."""

_BODY_TIMEOUT_S: Final = 60
_YEAR_9999: Final = 253_370_764_800_000
# Names, paths and words of a client that are longer than ours can be are neither compared nor repeated whole.
_LONGEST_COMPARED: Final = 40
_LONGEST_SHOWN: Final = 100
_LONGEST_PATH: Final = 500
# A client that still writes when the connection is closed never sees the answer: so much is read, and dropped.
_MOST_DISCARDED: Final = 16 << 20

_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_INTEGER: Final = re.compile(r"-?[0-9]+")
_PATTERN: Final = "Expected `str` matching regex "
_FORMS: Final = {repr(pattern): words for pattern, words in WORDS.items()}
_UNKNOWN: Final = "Object contains unknown field `"
_decoder: Final[Callable[[Any], msgspec.json.Decoder[Any]]] = lru_cache(maxsize=256)(msgspec.json.Decoder)
_MISSING: Final = re.compile(r"\AObject missing required field `(?P<field>.*)`\Z")


async def read_body(request: Request, limit: int) -> bytes:
    """The body's bytes, which no encoding may hide (415); of one over ``limit`` bytes nothing is kept (413)."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(problems.UNSUPPORTED_ENCODING, "Send the body without Content-Encoding.")
    return await read_encoded(request, limit)


async def read_encoded(request: Request, limit: int) -> bytes:
    """The bytes as they come; of over ``limit`` bytes nothing is kept (413)."""
    if WHOLE_BODY not in request.scope.get("extensions", {}):
        return await _read_on(request, limit)
    body = await request.body()
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _read_on(request: Request, limit: int) -> bytes:
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
        raise _too_large(limit)
    return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    # What was not read must not be taken for the next request.
    return Problem(problems.TOO_LARGE, f"At most {limit:,} bytes.", headers={"Connection": "close"})


def decode(raw: bytes, wanted: type[T]) -> T:
    """The JSON document as a ``wanted``; raises Problem (400) that names the field and its place."""
    try:
        value: T = _decoder(wanted).decode(raw)
    except msgspec.ValidationError as error:
        raise _explain(str(error), wanted) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(raw, _plain(error)) from None
    except RecursionError:
        raise too_deep() from None
    check_strictness(raw)
    return value


def _plain(error: Exception) -> str:
    return "The body is not UTF-8." if isinstance(error, UnicodeDecodeError) else f"{error}."


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
    for name, value in values.items():
        _check_form(name, value, kinds_at(wanted, [name]))
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        said, steps = _said_where(str(error))
        name = str(steps[0]) if steps else ""
        raise _bad_parameter(_expectation(said, wanted, steps), name) from None


def check_names(values: Iterable[str], wanted: type | None) -> None:
    """Raises Problem (400) for a query parameter that ``wanted`` does not have; None has none."""
    known = [] if wanted is None else _names_at(wanted, [])
    for name in values:
        if name not in known:
            raise _bad_parameter(f"unknown parameter{_nearest(name, known)}", _shortened(name))


def _check_form(name: str, value: str, kinds: Sequence[msgspec.inspect.Type]) -> None:
    """Raises Problem (400) for what msgspec takes from a text: ``1e2`` as an integer, ``null`` as no value."""
    if any(isinstance(kind, msgspec.inspect.StrType) for kind in kinds):
        return
    if any(isinstance(kind, msgspec.inspect.IntType) for kind in kinds) and not _INTEGER.fullmatch(value):
        raise _bad_parameter("expected `int`", name)
    if kinds and value.lower() == "null":
        raise _bad_parameter("null is no value; leave the parameter out", name)


def _bad_parameter(detail: str, name: str) -> Problem:
    return Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter=name),))


def _explain(message: str, wanted: Any) -> Problem:
    """The problem for msgspec's ``message``."""
    said, steps = _said_where(message)
    if said.startswith(_UNKNOWN):
        name = said.removeprefix(_UNKNOWN).removesuffix("`")
        detail = f"unknown field{_nearest(name, _names_at(wanted, steps))}"
        return Problem(problems.UNKNOWN_FIELD, errors=(FieldError(detail, pointer_to([*steps, _shortened(name)])),))
    if missing := _MISSING.match(said):
        error = FieldError("required", pointer_to([*steps, missing["field"]]))
        return Problem(problems.MISSING_FIELD, errors=(error,))
    return problems.invalid(_expectation(said, wanted, steps), pointer_to(steps))


def _said_where(message: str) -> tuple[str, list[str | int]]:
    """What msgspec says, and the place that it ends with: `` - at `$.items[3].to` ``."""
    said, _, place = message.rpartition(" - at ")
    path = place.removeprefix("`key` in ")
    if len(path) > _LONGEST_PATH or not (path.startswith("`$") and path.endswith("`")):
        return message, []
    return said, _steps(path[1:-1])


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1) if len(name) <= _LONGEST_COMPARED else []
    return f"; did you mean {close[0]}?" if close else ""


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"


def _expectation(said: str, wanted: Any, steps: Sequence[str | int]) -> str:
    """What was expected. Without the value that was given, which may be personal."""
    if said.startswith("Invalid enum value"):
        words = _words_at(wanted, steps)
        return f"must be one of {', '.join(words)}" if words else "is none of the allowed values"
    if said.startswith(_PATTERN):  # which is for machines
        return _FORMS.get(said.removeprefix(_PATTERN), "has the wrong form")
    return said[:1].lower() + said[1:]


def _steps(path: str) -> list[str | int]:
    """The names and positions in msgspec's path; a free mapping's key is not given there and ends it."""
    steps: list[str | int] = []
    for found in _STEP.finditer(path):
        name, position = found.groups()
        if name is None and position is None:
            break
        steps.append(name if name is not None else int(position))
    return steps


def _names_at(wanted: Any, steps: Sequence[str | int]) -> list[str]:
    return [
        field.encode_name
        for kind in kinds_at(wanted, steps)
        if isinstance(kind, msgspec.inspect.StructType)
        for field in kind.fields
    ]


def _words_at(wanted: Any, steps: Sequence[str | int]) -> list[str]:
    words: list[str] = []
    for kind in kinds_at(wanted, steps):
        if isinstance(kind, msgspec.inspect.EnumType):
            words += [str(member.value) for member in kind.cls]
        elif isinstance(kind, msgspec.inspect.LiteralType):
            words += [str(value) for value in kind.values]
    return words


def kinds_at(wanted: Any, steps: Sequence[str | int]) -> list[msgspec.inspect.Type]:
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
    if isinstance(kind, msgspec.inspect.Metadata):  # a description stands around the type
        return _alternatives(kind.type)
    return list(kind.types) if isinstance(kind, msgspec.inspect.UnionType) else [kind]


@lru_cache(maxsize=256)
def _type_info(wanted: Any) -> msgspec.inspect.Type:
    return msgspec.inspect.type_info(wanted)
