"""Many rows as one parameter: what a bulk UPDATE or a look-up by many ids joins with.

PostgreSQL gets one array per column (``unnest``), SQLite one JSON text (``json_each``): the statement is the
same for one row and for a thousand, so it is compiled and planned once.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, FromClause, any_, bindparam, column, func, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text, TypeEngine

Columns = Mapping[str, TypeEngine[Any]]


def recordset(name: str, columns: Columns, *, is_sqlite: bool) -> FromClause:
    """A FROM item called ``name`` with these columns; its values come from ``parameters``."""
    if is_sqlite:
        element = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"{name}_json")
        return select(
            *(
                type_coerce(func.json_extract(element.c.value, f"$[{position}]"), kind).label(each)
                for position, (each, kind) in enumerate(columns.items())
            )
        ).subquery(name)
    arrays = (bindparam(f"{name}_{each}", type_=ARRAY(kind, dimensions=1)) for each, kind in columns.items())
    typed = [column(each, kind) for each, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*typed, name=name).render_derived()


def among(column_: ColumnElement[Any], values: Collection[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """``column_ IN values``, as one array on PostgreSQL: the statement is the same whatever their number is."""
    if is_sqlite:
        return column_.in_(values)
    return column_ == any_(bindparam(None, list(values), type_=ARRAY(column_.type, dimensions=1)))


def parameters(name: str, columns: Columns, rows: Sequence[Sequence[Any]], *, is_sqlite: bool) -> dict[str, Any]:
    """The parameters of ``recordset(name, …)`` for ``rows``, each a sequence in the order of ``columns``."""
    if is_sqlite:
        return {name: _json(rows)}
    transposed: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return {f"{name}_{each}": list(values) for each, values in zip(columns, transposed, strict=True)}


def _json(rows: Sequence[Sequence[Any]]) -> str:
    plain = [[value.hex if isinstance(value, UUID) else value for value in row] for row in rows]
    return msgspec.json.encode(plain).decode()
