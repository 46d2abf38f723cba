"""Many rows as one parameter: what a bulk UPDATE or a look-up by many ids joins with.

PostgreSQL gets one array per column (``unnest``), SQLite one JSON text (``json_each``): the statement is the
same for one row and for a thousand, so it is compiled and planned once. Where a column holds one value in all of
many rows, as most do, PostgreSQL may get that value alone: a driver's work on an array is a good part of a bulk
statement's.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, FromClause, any_, bindparam, cast, column, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text, TypeEngine

Columns = Mapping[str, TypeEngine[Any]]


STATEMENTS_KEPT: Final = 100
"""How many forms of a statement with single columns are worth keeping."""

_MANY: Final = 50

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def recordset(
    name: str,
    columns: Columns,
    *,
    is_sqlite: bool,
    single: Collection[str] = frozenset(),
    alike: Mapping[str, str] = _NOTHING,
) -> FromClause:
    """A FROM item called ``name`` with these columns; its values come from ``parameters``, or from ``given``.

    ``single``: what ``given`` said, of which one column at least is not; ``alike``: what ``shared`` said.
    """
    if is_sqlite:
        element = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"{name}_json")
        return select(
            *(
                type_coerce(func.json_extract(element.c.value, f"$[{position}]"), kind).label(each)
                for position, (each, kind) in enumerate(columns.items())
            )
        ).subquery(name)
    many = {each: kind for each, kind in columns.items() if each not in single and each not in alike}
    arrays = (bindparam(f"{name}_{each}", type_=ARRAY(kind, dimensions=1)) for each, kind in many.items())
    typed = [column(each, kind) for each, kind in many.items()]
    rows = func.unnest(*arrays).table_valued(*typed, name=f"{name}_rows" if single or alike else name)
    rows = rows.render_derived()
    if not single and not alike:
        return rows
    values = (
        cast(bindparam(f"{name}_{each}", type_=kind), kind).label(each)
        if each in single
        else rows.c[alike.get(each, each)].label(each)
        for each, kind in columns.items()
    )
    return select(*values).subquery(name)


def among(column_: ColumnElement[Any], values: Collection[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """``column_ IN values``, as one array on PostgreSQL: the statement is the same whatever their number is."""
    if is_sqlite:
        return column_.in_(values)
    return column_ == any_(bindparam(None, list(values), type_=ARRAY(column_.type, dimensions=1)))


def among_given(column_: ColumnElement[Any], name: str, *, is_sqlite: bool) -> ColumnElement[bool]:
    """The same for a statement that is made once: the values are its parameter ``name``, a list."""
    if is_sqlite:
        return column_.in_(bindparam(name, expanding=True))
    return column_ == any_(bindparam(name, type_=ARRAY(column_.type, dimensions=1)))


class Given(NamedTuple):
    """Parameters, and which columns of the recordset they give as one value for all rows."""

    parameters: dict[str, Any]
    single: frozenset[str]


class Shared(NamedTuple):
    """The same, and which columns have the values of which other one."""

    parameters: dict[str, Any]
    single: frozenset[str]
    alike: tuple[tuple[str, str], ...]


def parameters(name: str, columns: Columns, rows: Sequence[Sequence[Any]], *, is_sqlite: bool) -> dict[str, Any]:
    """The parameters of ``recordset(name, …)`` for ``rows``, each a sequence in the order of ``columns``."""
    if is_sqlite:
        return {name: _json(rows)}
    return {f"{name}_{each}": values for each, values in _by_column(columns, rows).items()}


def given(name: str, columns: Columns, rows: Sequence[Sequence[Any]], *, is_sqlite: bool) -> Given:
    """As ``parameters``, for a recordset with single columns."""
    if is_sqlite:
        return Given({name: _json(rows)}, frozenset())
    return given_columns(name, _by_column(columns, rows), is_sqlite=is_sqlite)


def given_columns(name: str, values: Mapping[str, Sequence[Any]], *, is_sqlite: bool) -> Given:
    """The same, from the values of each column."""
    if is_sqlite:
        return Given({name: _json(list(zip(*values.values(), strict=True)))}, frozenset())
    single = frozenset(each for each, column_ in values.items() if _is_single(column_))
    return Given(
        {f"{name}_{each}": column_[0] if each in single else column_ for each, column_ in values.items()}, single
    )


def shared(name: str, values: Mapping[str, Sequence[Any]], *, is_sqlite: bool) -> Shared:
    """The same; a list that is the column of several names, all of one type, is given once."""
    first: dict[int, str] = {}
    for each, column_ in values.items():
        first.setdefault(id(column_), each)
    alike = {} if is_sqlite else {each: first[id(values[each])] for each in values if first[id(values[each])] != each}
    own = {each: column_ for each, column_ in values.items() if each not in alike or _is_single(column_)}
    given_, single = given_columns(name, own, is_sqlite=is_sqlite)
    return Shared(given_, single, tuple((each, other) for each, other in alike.items() if each not in single))


def _by_column(columns: Columns, rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    transposed: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return {each: list(values) for each, values in zip(columns, transposed, strict=True)}


def _is_single(values: Sequence[Any]) -> bool:
    """Only of many rows, since each choice of columns is a statement of its own."""
    return len(values) >= _MANY and bool(values[-1] == values[0]) and values.count(values[0]) == len(values)


def _json(rows: Sequence[Sequence[Any]]) -> str:
    plain = [[value.hex if isinstance(value, UUID) else value for value in row] for row in rows]
    return msgspec.json.encode(plain).decode()
