"""Files of messages, CSV (RFC 4180) or NDJSON: each line as the request it asks for, and what is wrong with it.

A line is judged by the API's own rules, as far as these can be known without its database.
"""

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import unquote
from uuid import UUID

import msgspec
from msgspec import inspect

from api_shim import problems
from api_shim.auth import Principal
from api_shim.decoding import decode, kinds_at
from api_shim.operations import BODY_LIMIT
from api_shim.problems import Problem
from api_shim.workspaces.drafts import draft_in_batch
from api_shim.workspaces.types import BatchMessageRequest
from models.errors import WireroomError
from models.vocabulary import Scope

_DELIMITERS: Final = ",;\t"
_LONGEST_CELL: Final = 1 << 20
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
_TRUTHS: Final = {"true": True, "false": False}
_ANYBODY: Final = Principal(workspace_id=UUID(int=0), scopes=frozenset(Scope))
_BOM: Final = b"\xef\xbb\xbf"


class Form(Enum):
    """How a file's lines are written."""

    CSV = "csv"
    NDJSON = "ndjson"


class Line(NamedTuple):
    """A message to be sent, and the number of the line, from 1, that it begins on."""

    number: int
    request: bytes


class Fault(NamedTuple):
    """What is wrong with a line. ``field``: the column, or the names of JSON with full stops; empty: all of it."""

    line: int
    field: str
    detail: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.field}: {self.detail}" if self.field else f"line {self.line}: {self.detail}"


def form_of(name: str, file: BinaryIO) -> Form:
    """The form of a file: by the end of its name, else by its first character."""
    end = name.rpartition(".")[2].lower()
    if end in {"csv", "tsv"}:
        return Form.CSV
    if end in {"ndjson", "jsonl"}:
        return Form.NDJSON
    start = file.read(1024).removeprefix(_BOM).lstrip()
    file.seek(0)
    return Form.NDJSON if start.startswith(b"{") else Form.CSV


def read(file: BinaryIO, form: Form) -> Iterator[Line | Fault]:
    """Each message of a file from its beginning, or what keeps it from being one; empty lines are passed over."""
    file.seek(0)
    return _read_json(file) if form is Form.NDJSON else _read_csv(file)


def check(line: Line) -> list[Fault]:
    """What the API would refuse whatever its database holds."""
    if len(line.request) > BODY_LIMIT:
        return [Fault(line.number, "", f"longer than {BODY_LIMIT:,} bytes")]
    try:
        draft_in_batch(decode(line.request, BatchMessageRequest), _ANYBODY, None)
    except Problem as problem:
        return faults_of(line.number, msgspec.to_builtins(problem.body))
    except WireroomError as error:
        return faults_of(line.number, msgspec.to_builtins(problems.problem_of(error).body))
    return []


def faults_of(number: int, problem: Mapping[str, Any]) -> list[Fault]:
    """What a problem document (RFC 9457) says of a line."""
    errors = problem.get("errors", [])
    if errors:
        return [Fault(number, _field(error.get("pointer") or ""), error["detail"]) for error in errors]
    # The one thing that a message names and that may not exist, without being pointed at.
    field = "contactId" if problem["status"] == problems.NOT_FOUND.status else ""
    return [Fault(number, field, problem.get("detail") or problem["title"])]


def _field(pointer: str) -> str:
    steps = pointer.removeprefix("#").removeprefix("/").split("/")
    return ".".join(unquote(step).replace("~1", "/").replace("~0", "~") for step in steps)


def _read_json(file: BinaryIO) -> Iterator[Line | Fault]:
    for number, raw in enumerate(file, 1):
        line = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
        if line:
            yield Line(number, line)


def _read_csv(file: BinaryIO) -> Iterator[Line | Fault]:
    csv.field_size_limit(_LONGEST_CELL)
    begun = 1
    try:
        text = (raw.decode("utf-8-sig" if number == 0 else "utf-8") for number, raw in enumerate(file))
        first = next(text, "")
        rows = csv.reader(itertools.chain([first], text), delimiter=max(_DELIMITERS, key=first.count), strict=True)
        columns = next(rows, [])
        faults = list(_column_faults(columns))
        yield from faults
        kinds = [_kinds(column) or () for column in columns]
        begun = rows.line_num + 1
        for row in rows if not faults else ():
            if any(row):
                yield _line(begun, columns, kinds, row)
            begun = rows.line_num + 1
    except UnicodeDecodeError:
        yield Fault(begun, "", "not UTF-8")
    except csv.Error as error:
        yield Fault(begun, "", f"no CSV: {error}")


def _column_faults(columns: Sequence[str]) -> Iterator[Fault]:
    for column in columns:
        if columns.count(column) > 1:
            yield Fault(1, column, "two columns of this name")
        elif _kinds(column) is None:
            yield Fault(1, column, "no field of a message")
        elif any(column.startswith(f"{other}.") for other in columns):
            yield Fault(1, column, "part of another column")


def _line(
    number: int, columns: Sequence[str], kinds: Sequence[Sequence[inspect.Type]], row: Sequence[str]
) -> Line | Fault:
    if len(row) != len(columns):
        return Fault(number, "", f"{len(row)} cells for {len(columns)} columns")
    request: dict[str, Any] = {}
    for column, kind, cell in zip(columns, kinds, row, strict=True):
        if cell:
            try:
                value = _value(kind, cell)
            except ValueError:
                return Fault(number, column, "no JSON")
            _put(request, column, value)
    return Line(number, json.dumps(request, ensure_ascii=False).encode())


def _put(request: dict[str, Any], column: str, value: object) -> None:
    *outer, name = _steps(column)
    for step in outer:
        request = request.setdefault(step, {})
    request[name] = value


def _steps(column: str) -> list[str]:
    # The name of a header may hold full stops.
    return column.split(".", 1) if column.startswith("headers.") else column.split(".")


def _kinds(column: str) -> Sequence[inspect.Type] | None:
    """The types that a column's value may have, none of them where it is any text; None: there is no such field."""
    steps = _steps(column)
    for depth in range(1, len(steps)):
        if any(isinstance(kind, inspect.DictType) for kind in kinds_at(BatchMessageRequest, steps[:depth])):
            return ()
    return kinds_at(BatchMessageRequest, steps) or None


def _value(kinds: Iterable[inspect.Type], cell: str) -> Any:
    """What a cell stands for; raises ValueError where it is to be JSON and is not."""
    for kind in kinds:
        if isinstance(kind, inspect.IntType) and _NUMBER.fullmatch(cell):
            return int(cell)
        if isinstance(kind, inspect.BoolType):
            return _TRUTHS.get(cell.lower(), cell)
        if isinstance(kind, inspect.StructType | inspect.DictType | inspect.ListType | inspect.VarTupleType):
            return json.loads(cell)
    return cell
