"""Where sealed secrets lie, so that all of them can be sealed anew. A column that is not named here would be lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import LargeBinary, Table, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.sealing import SealedFor
from models.tables import contacts, hooks, secrets, senders, subscriptions


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with sealed columns: what each is sealed for. ``key``: its primary key, one column.

    ``purposes`` empty: the column ``wrapped`` is sealed for what the key says.
    """

    table: Table
    purposes: Mapping[str, SealedFor]
    key: str = "id"

    @property
    def name(self) -> str:
        """The table's."""
        return self.table.name

    @property
    def columns(self) -> Sequence[str]:
        """Those that are sealed."""
        return list(self.purposes) or ["wrapped"]

    def purpose(self, column: str, key: Any) -> str:
        """What the column of the row with that key is sealed for."""
        return self.purposes[column] if self.purposes else str(key)


SENDERS: Final = SealedTable(senders, {"credentials": SealedFor.SENDER})
EVERYTHING: Final = (
    SealedTable(secrets, {}, key="name"),
    SENDERS,
    SealedTable(
        hooks,
        {
            "hook_key": SealedFor.HOOK_KEY,
            "signing_key": SealedFor.HOOK_SIGNING_KEY,
            "signing_key_previous": SealedFor.HOOK_SIGNING_KEY,
            "basic_auth": SealedFor.HOOK_BASIC_AUTH,
        },
    ),
    SealedTable(subscriptions, {"secret": SealedFor.SUBSCRIPTION, "secret_previous": SealedFor.SUBSCRIPTION}),
    SealedTable(contacts, {"webhook_secret": SealedFor.WEBHOOK, "webhook_secret_previous": SealedFor.WEBHOOK}),
)
"""All that is sealed, of all workspaces; the largest table last."""


class SealedValue(msgspec.Struct, frozen=True):
    """One sealed value: in which row, in which column."""

    key: Any
    column: str
    sealed: bytes


async def headers(connection: AsyncConnection, length: int) -> dict[bytes, dict[str, int]]:
    """How many envelopes begin with the same ``length`` bytes, by these and by the table that has them.

    Reads each of them; the contacts, of which there may be millions, last.
    """
    found: dict[bytes, dict[str, int]] = {}
    for table, column in ((each.table, each.table.c[name]) for each in EVERYTHING for name in each.columns):
        header = func.substr(column, 1, length, type_=LargeBinary)
        rows = await connection.execute(select(header, func.count()).where(column.is_not(None)).group_by(header))
        for begins, count in rows.all():
            tables = found.setdefault(bytes(begins), {})
            tables[table.name] = tables.get(table.name, 0) + count
    return found


async def number(connection: AsyncConnection, place: SealedTable) -> int:
    """How many rows the table has."""
    return int(await connection.scalar(select(func.count()).select_from(place.table)) or 0)


async def some_after(
    connection: AsyncConnection, place: SealedTable, after: Any | None, most: int
) -> tuple[list[SealedValue], int, Any | None]:
    """What is sealed in the next ``most`` rows behind ``after``, how many rows these are, and the last one's key.

    Rows without a secret count too, so that the work is bounded where few have one; None at the end.
    """
    key = place.table.c[place.key]
    columns = [place.table.c[name] for name in place.columns]
    following = select(key, *columns).order_by(key).limit(most)
    rows = (await connection.execute(following if after is None else following.where(key > after))).all()
    envelopes = [
        SealedValue(row[0], name, sealed)
        for row in rows
        for name, sealed in zip(place.columns, row[1:], strict=True)
        if sealed is not None
    ]
    return envelopes, len(rows), rows[-1][0] if len(rows) == most else None


async def exchange(connection: AsyncConnection, place: SealedTable, envelope: SealedValue, new: bytes) -> bool:
    """Put ``new`` in its place; False where somebody has changed the secret meanwhile, which stays."""
    column = place.table.c[envelope.column]
    unchanged = and_(place.table.c[place.key] == envelope.key, column == envelope.sealed)
    result = await connection.execute(update(place.table).where(unchanged).values({column: new}))
    return bool(result.rowcount)
