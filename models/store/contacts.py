"""Contacts: who is written to, and where."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Conflict
from models.session import now_ms
from models.store import contact_terms
from models.store.recordset import among, kept_to
from models.store.rows import columns_of, fetch_one, fetch_page, insert_if_free, read
from models.tables import contacts

Values = Mapping[str, Any]
"""Column names of ``contacts`` and what they become."""


class ContactRow(msgspec.Struct, frozen=True):
    """A contact; the webhook secrets are sealed. Times are milliseconds (UTC)."""

    id: UUID
    external_id: str | None
    email: str | None
    phone: str | None
    first_name: str | None
    last_name: str | None
    timezone: str | None
    locale: str | None
    attributes: dict[str, Any]
    tags: list[str]
    telegram_chat_id: str | None
    webhook_url: str | None
    webhook_secret: bytes | None
    webhook_secret_previous_until: int | None
    created_at: int
    updated_at: int
    erased_at: int | None


class ContactFilter(msgspec.Struct, frozen=True):
    """Which contacts of a workspace; every condition that is given must hold.

    ``words``: each is the beginning of a word of the contact's names, mail address or external id, as
    ``contact_terms.words`` gives them.
    """

    external_id: str | None = None
    email: str | None = None
    tag: str | None = None
    words: Sequence[str] = ()


NOTHING: Final[Values] = {
    "external_id": None,
    "email": None,
    "phone": None,
    "first_name": None,
    "last_name": None,
    "timezone": None,
    "locale": None,
    "attributes": {},
    "tags": [],
    "telegram_chat_id": None,
    "webhook_url": None,
    "webhook_secret": None,
    "webhook_secret_previous": None,
    "webhook_secret_previous_until": None,
}
"""A contact of which nothing is known."""


def living(workspace_id: UUID, *more: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """Contacts of a workspace that are not erased."""
    return [contacts.c.workspace_id == workspace_id, contacts.c.erased_at.is_(None), *more]


def terms_of(row: ContactRow) -> set[contact_terms.Term]:
    """What the contact is found by."""
    return contact_terms.terms_of([row.first_name, row.last_name, row.external_id, row.email], row.tags)


async def create(connection: AsyncConnection, workspace_id: UUID, values: Values) -> ContactRow | None:
    """A new contact; None where the workspace has one with that external id."""
    whole = {**NOTHING, **values}
    row = await insert_if_free(
        connection, contacts, ContactRow, workspace_id=workspace_id, updated_at=now_ms(), **whole
    )
    if row is not None:
        await contact_terms.write(connection, workspace_id, row.id, set(), terms_of(row))
    return row


async def get(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID) -> ContactRow | None:
    """The contact, erased or not, where it exists in this workspace."""
    conditions = [contacts.c.workspace_id == workspace_id, contacts.c.id == contact_id]
    return await fetch_one(connection, contacts, ContactRow, conditions)


async def get_many(
    connection: AsyncConnection, workspace_id: UUID, contact_ids: Collection[UUID]
) -> dict[UUID, ContactRow]:
    """Those of ``contact_ids`` that exist in this workspace, erased or not."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = await connection.execute(
        select(*columns_of(contacts, ContactRow)).where(
            kept_to(contacts.c.workspace_id, [workspace_id], is_sqlite=is_sqlite),
            among(contacts.c.id, contact_ids, is_sqlite=is_sqlite),
        )
    )
    return {row.id: read(row, ContactRow) for row in rows}


async def page(
    connection: AsyncConnection, workspace_id: UUID, wanted: ContactFilter, *, limit: int, offset: int
) -> tuple[list[ContactRow], int]:
    """A page of contacts that are not erased, and their number."""
    conditions = living(workspace_id)
    if wanted.external_id is not None:
        conditions.append(contacts.c.external_id == wanted.external_id)
    if wanted.email is not None:
        conditions.append(contacts.c.email == wanted.email)
    if wanted.tag is not None:
        conditions.append(contact_terms.tagged(workspace_id, wanted.tag))
    conditions += [contact_terms.with_word(workspace_id, word) for word in wanted.words]
    return await fetch_page(connection, contacts, ContactRow, conditions, limit=limit, offset=offset)


async def lock(connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]]) -> ContactRow | None:
    """The contact under ``conditions``, held until the end of the transaction; None where there is none."""
    found = await connection.execute(select(*columns_of(contacts, ContactRow)).where(*conditions).with_for_update())
    row = found.first()
    return None if row is None else read(row, ContactRow)


async def change(
    connection: AsyncConnection, workspace_id: UUID, which: UUID | str, changed: Callable[[ContactRow], Values]
) -> ContactRow | None:
    """Change the contact of that id or external id to what ``changed`` makes of it; None where there is none.

    Raises Conflict where its new external id is another contact's.
    """
    column = contacts.c.id if isinstance(which, UUID) else contacts.c.external_id
    old = await lock(connection, living(workspace_id, column == which))
    if old is None:
        return None
    values = changed(old)
    try:
        result = await connection.execute(
            update(contacts)
            .where(contacts.c.workspace_id == workspace_id, contacts.c.id == old.id)
            .values(updated_at=now_ms(), **values)
            .returning(*columns_of(contacts, ContactRow))
        )
    except IntegrityError as error:
        raise Conflict("another contact has this externalId") from error
    new = read(result.one(), ContactRow)
    await contact_terms.write(connection, workspace_id, new.id, terms_of(old), terms_of(new))
    return new
