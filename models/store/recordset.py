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
    """The same with the values as the list ``name`` among the parameters, so that the statement can be built once.

    To build one takes longer than to run it.
    """
    if is_sqlite:
        return column_.in_(bindparam(name, expanding=True))
    return column_ == any_(bindparam(name, type_=ARRAY(column_.type, dimensions=1)))


def kept_to(column_: ColumnElement[Any], values: Collection[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """The same of rows that another column finds, such as the workspace of rows found by id: no index answers it.

    PostgreSQL takes a workspace for small that it has not counted yet: one that has come since it last analysed the
    table, which for a large table may be days. It would then read all of the workspace to find a few rows.
    """
    if is_sqlite:
        return column_.in_(values)
    return _holds(bindparam(None, list(values), type_=ARRAY(column_.type, dimensions=1)), column_)


def kept_to_given(column_: ColumnElement[Any], name: str, *, is_sqlite: bool) -> ColumnElement[bool]:
    """The same with the values as the list ``name`` among the parameters."""
    if is_sqlite:
        return column_.in_(bindparam(name, expanding=True))
    return _holds(bindparam(name, type_=ARRAY(column_.type, dimensions=1)), column_)


def _holds(values: ColumnElement[Any], column_: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.array_position(values, column_).is_not(None)


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
    single = _single(values, frozenset())
    return Given(_given(name, values, single), single)


def shared(
    name: str, values: Mapping[str, Sequence[Any]], *, is_sqlite: bool, usual: frozenset[str] = frozenset()
) -> Shared:
    """The same; a list that is the column of several names, all of one type, is given once.

    ``usual``: columns that nearly always have one value each. Of few rows, too, they are given so, all or none of them.
    """
    if is_sqlite:
        return Shared(*given_columns(name, values, is_sqlite=True), ())
    single = _single(values, usual)
    first: dict[int, str] = {}
    for each, column_ in values.items():
        first.setdefault(id(column_), each)
    alike = {
        each: other for each, column_ in values.items() if (other := first[id(column_)]) != each and each not in single
    }
    own = {each: column_ for each, column_ in values.items() if each not in alike}
    return Shared(_given(name, own, single), single, tuple(alike.items()))


def _single(values: Mapping[str, Sequence[Any]], usual: frozenset[str]) -> frozenset[str]:
    """Each choice of columns is a statement of its own: of few rows there are only two."""
    if len(next(iter(values.values()))) >= _MANY:
        return frozenset(each for each, column_ in values.items() if _is_single(column_))
    return usual if all(_is_single(values[each]) for each in usual) else frozenset()


def _is_single(column_: Sequence[Any]) -> bool:
    return bool(column_[-1] == column_[0]) and column_.count(column_[0]) == len(column_)


def _given(name: str, values: Mapping[str, Sequence[Any]], single: frozenset[str]) -> dict[str, Any]:
    return {f"{name}_{each}": column_[0] if each in single else column_ for each, column_ in values.items()}


def _by_column(columns: Columns, rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    transposed: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return {each: list(values) for each, values in zip(columns, transposed, strict=True)}


def _json(rows: Sequence[Sequence[Any]]) -> str:
    plain = [[value.hex if isinstance(value, UUID) else value for value in row] for row in rows]
    return msgspec.json.encode(plain).decode()
