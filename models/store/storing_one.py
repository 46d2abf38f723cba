"""Storing a message that comes alone: one statement, a transaction of its own, so that its sender waits for one answer.

Only on PostgreSQL: SQLite, which answers at once, knows no INSERT within another statement. It says at once what
``intake.store`` says of many in a statement each, and locks in the same order.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import JSON, Column, ColumnElement, Table, Text, Uuid, bindparam, case, func, null, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import turns
from models.store.bulk import label
from models.store.intake import Stored
from models.store.new_messages import NewMessage, rows_of, text_of
from models.tables import contents, message_details, messages

_TEXT: Final = bindparam("of_text", type_=Uuid())


async def store(connection: AsyncConnection, message: NewMessage) -> Stored:
    """Store a message without an idempotency key; repeating it with the same rows changes nothing.

    On a connection of ``Database.write_at_once``.
    """
    text, (row, details) = text_of(message), rows_of(message)
    values = {
        **_named(contents, text),
        **_named(messages, row),
        **_named(message_details, details),
        **turns.given(*message.group, int(message.ready)),
        "of_text": text["id"],
    }
    statement = _storing(tuple(text), tuple(row), tuple(details))
    # No row, nothing stored: another intake has just stored the text, or an eraser removed it. Now it is seen.
    while (await connection.execute(statement, values)).first() is None:
        pass
    return Stored()


def _named(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {label(table.c[name]): value for name, value in row.items()}


def _value(column: Column[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, ARRAY):  # words, separated by spaces, as ``bulk`` takes them
        return func.string_to_array(bindparam(label(column), type_=Text()), " ")
    return bindparam(label(column), type_=JSON(none_as_null=True) if isinstance(column.type, JSON) else column.type)


def _inserting(table: Table, names: tuple[str, ...], source: Any, **more: ColumnElement[Any]) -> Any:
    columns = {name: _value(table.c[name]) for name in names} | more
    return insert(table).from_select(list(columns), select(*columns.values()).select_from(source))


@cache
def _storing(content: tuple[str, ...], message: tuple[str, ...], details: tuple[str, ...]) -> Any:
    """A row where it is stored, none where the text is not there."""
    kept = insert(contents).values({name: _value(contents.c[name]) for name in content})
    new = kept.on_conflict_do_nothing().returning(contents.c.id).cte("new")
    # As ``contents.keep``: nobody removes it before the message is there that refers to it.
    held = select(contents.c.id).where(contents.c.id == _TEXT).with_for_update(read=True, key_share=True).cte("held")
    said = union_all(select(new.c.id), select(held.c.id)).limit(1).cte("said")
    place = turns.allotting(said).cte("place")
    turn = case((turns.HOW_MANY > 0, place.c.last_turn), else_=null())
    stored = _inserting(messages, message, place, turn=turn).on_conflict_do_nothing().cte("stored")
    detailed = _inserting(message_details, details, place).on_conflict_do_nothing().cte("detailed")
    return select(said.c.id).add_cte(stored, detailed)
