"""Everything that is stored sealed under a secret key, by what each envelope begins with."""

from typing import Final

from sqlalchemy import Column, LargeBinary, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.tables import contacts, hooks, secrets, senders, subscriptions

_COLUMNS: Final[tuple[Column[bytes], ...]] = (
    secrets.c.wrapped,
    senders.c.credentials,
    hooks.c.hook_key,
    hooks.c.signing_key,
    hooks.c.signing_key_previous,
    hooks.c.basic_auth,
    subscriptions.c.secret,
    subscriptions.c.secret_previous,
    contacts.c.webhook_secret,
    contacts.c.webhook_secret_previous,
)


async def headers(connection: AsyncConnection, length: int) -> dict[bytes, dict[str, int]]:
    """How many envelopes begin with the same ``length`` bytes, by these and by the table that has them.

    Reads each of them; the contacts, of which there may be millions, last.
    """
    found: dict[bytes, dict[str, int]] = {}
    for column in _COLUMNS:
        header = func.substr(column, 1, length, type_=LargeBinary)
        rows = await connection.execute(select(header, func.count()).where(column.is_not(None)).group_by(header))
        for begins, count in rows.all():
            tables = found.setdefault(bytes(begins), {})
            tables[column.table.name] = tables.get(column.table.name, 0) + count
    return found
