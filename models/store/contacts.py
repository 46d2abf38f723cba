"""Contacts: who is written to, and where."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from models.errors import Conflict
from models.session import now_ms
from models.store.rows import columns_of, fetch_one, fetch_page, insert_if_free, read
from models.tables import contacts, events, message_details, messages, push_subscriptions, suppressions

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
    created_at: int
    updated_at: int
    erased_at: int | None


class PushSubscriptionRow(msgspec.Struct, frozen=True):
    """One browser of a contact (RFC 8030). ``created_at`` is milliseconds (UTC)."""

    id: UUID
    contact_id: UUID
    endpoint: str
    topic: str | None
    created_at: int


class Browser(msgspec.Struct, frozen=True):
    """What a browser's subscription is made of; ``endpoint_digest`` is the endpoint's SHA-256."""

    endpoint: str
    endpoint_digest: bytes
    p256dh: str
    auth: str
    topic: str | None


_NOTHING: Final[Values] = {
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


def _living(workspace_id: UUID, *more: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    return [contacts.c.workspace_id == workspace_id, contacts.c.erased_at.is_(None), *more]


async def create(connection: AsyncConnection, workspace_id: UUID, values: Values) -> ContactRow | None:
    """A new contact; None where the workspace has one with that external id."""
    whole = {**_NOTHING, **values}
    return await insert_if_free(
        connection, contacts, ContactRow, workspace_id=workspace_id, updated_at=now_ms(), **whole
    )


async def get(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID) -> ContactRow | None:
    """The contact, erased or not, where it exists in this workspace."""
    conditions = [contacts.c.workspace_id == workspace_id, contacts.c.id == contact_id]
    return await fetch_one(connection, contacts, ContactRow, conditions)


async def page(
    connection: AsyncConnection,
    workspace_id: UUID,
    *,
    external_id: str | None,
    email: str | None,
    limit: int,
    offset: int,
) -> tuple[list[ContactRow], int]:
    """A page of contacts that are not erased, and their number."""
    conditions = _living(workspace_id)
    if external_id is not None:
        conditions.append(contacts.c.external_id == external_id)
    if email is not None:
        conditions.append(contacts.c.email == email)
    return await fetch_page(connection, contacts, ContactRow, conditions, limit=limit, offset=offset)


async def change(
    connection: AsyncConnection, workspace_id: UUID, which: UUID | str, changed: Callable[[ContactRow], Values]
) -> ContactRow | None:
    """Change the contact of that id or external id to what ``changed`` makes of it; None where there is none.

    Raises Conflict where its new external id is another contact's.
    """
    column = contacts.c.id if isinstance(which, UUID) else contacts.c.external_id
    found = await connection.execute(
        select(*columns_of(contacts, ContactRow)).where(*_living(workspace_id, column == which)).with_for_update()
    )
    row = found.first()
    if row is None:
        return None
    old = read(row, ContactRow)
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
    return read(result.one(), ContactRow)


async def erase(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID) -> bool:
    """Erase the person for good; False where there is none. The messages stay as bare rows.

    Blanks the contact, what its messages say of it and what was reported of them; removes its browsers; of its
    suppressions only the keyed digests stay.
    """
    found = await connection.execute(
        select(*columns_of(contacts, ContactRow))
        .where(*_living(workspace_id, contacts.c.id == contact_id))
        .with_for_update()
    )
    row = found.first()
    if row is None:
        return False
    old = read(row, ContactRow)
    theirs = select(messages.c.id).where(messages.c.workspace_id == workspace_id, messages.c.contact_id == contact_id)
    # Addresses that a message was sent to instead of the contact's own (``to``) are theirs too.
    used = select(message_details.c.address_digest).where(message_details.c.message_id.in_(theirs))
    known = [address for address in (old.email, old.telegram_chat_id, old.webhook_url) if address is not None]
    await connection.execute(
        update(suppressions)
        .where(
            suppressions.c.workspace_id == workspace_id,
            or_(suppressions.c.address.in_(known), suppressions.c.address_digest.in_(used)),
        )
        .values(address=None)
    )
    await connection.execute(
        update(message_details)
        .where(message_details.c.workspace_id == workspace_id, message_details.c.message_id.in_(theirs))
        .values(subject=None, address=None, variables={}, metadata={})
    )
    await connection.execute(
        update(events)
        .where(events.c.workspace_id == workspace_id, events.c.message_id.in_(theirs))
        .values(recipient=None, reason=None, raw=b"")
    )
    await connection.execute(
        delete(push_subscriptions).where(
            push_subscriptions.c.workspace_id == workspace_id, push_subscriptions.c.contact_id == contact_id
        )
    )
    await connection.execute(
        update(contacts)
        .where(contacts.c.workspace_id == workspace_id, contacts.c.id == contact_id)
        .values(erased_at=now_ms(), updated_at=now_ms(), **_NOTHING)
    )
    return True


async def put_browser(
    connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, browser: Browser
) -> tuple[PushSubscriptionRow, bool] | None:
    """Store a browser of the contact, by its endpoint; whether it is new; None where there is no such contact.

    An endpoint that was another contact's becomes this one's: whoever uses the browser now.
    """
    held = await connection.execute(
        select(contacts.c.id).where(*_living(workspace_id, contacts.c.id == contact_id)).with_for_update()
    )
    if held.first() is None:
        return None
    values = {"contact_id": contact_id, **msgspec.structs.asdict(browser)}
    made = await insert_if_free(
        connection, push_subscriptions, PushSubscriptionRow, workspace_id=workspace_id, **values
    )
    if made is not None:
        return made, True
    result = await connection.execute(
        update(push_subscriptions)
        .where(
            push_subscriptions.c.workspace_id == workspace_id,
            push_subscriptions.c.endpoint_digest == browser.endpoint_digest,
        )
        .values(**values)
        .returning(*columns_of(push_subscriptions, PushSubscriptionRow))
    )
    return read(result.one(), PushSubscriptionRow), False
