"""Erasing a person for good: bare rows of messages stay, and the keyed digests of suppressions.

First the contact, in one transaction: from then on nobody accepts or sends anything for it. Then its messages, some
at a time. An intake that had read the contact before may still store a message, and a send under way may still
write down what its peer said: for these the keeper looks once more, when both have long ended.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, bindparam, case, delete, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store import contact_terms, contacts, contents, resubscriptions
from models.store.contacts import ContactRow
from models.store.ending import without_a_send
from models.store.letter_case import in_any_case
from models.store.suppressions import Address, at_addresses
from models.suppression_reasons import SuppressionReason
from models.tables import (
    attempts,
    events,
    inboxes,
    message_details,
    messages,
    push_subscriptions,
    status_events,
    suppression_releases,
    suppressions,
)
from models.tables import contacts as table
from models.vocabulary import Channel, FailureReason, State

AddressesOf = Callable[[ContactRow], Sequence[Address]]
"""The addresses of a contact, which only a keyring can digest."""

_AS_WRITTEN: Final = [suppressions.c[name] for name in ("channel", "address_digest", "kind", "topic")]
_OUR_REASONS: Final = [each.value for each in SuppressionReason]
_SILENT_DETAILS: Final[Mapping[str, Any]] = {
    "content_id": None,
    "subject": None,
    "subject_words": None,
    "address": None,
    "variables": {},
    "metadata": {},
}
_SILENT_EVENT: Final[Mapping[str, Any]] = {"recipient": None, "reason": None, "raw": b""}


async def erase(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, own_addresses: AddressesOf) -> bool:
    """Erase the contact itself; False where there is none that is not erased. ``wipe`` does the rest."""
    old = await contacts.lock(connection, contacts.living(workspace_id, table.c.id == contact_id))
    if old is None:
        return False
    known = [address for address in (old.email, old.telegram_chat_id, old.webhook_url) if address is not None]
    await _forget_addresses(connection, workspace_id, own_addresses(old), known)
    await connection.execute(
        delete(push_subscriptions).where(
            push_subscriptions.c.workspace_id == workspace_id, push_subscriptions.c.contact_id == contact_id
        )
    )
    await connection.execute(delete(inboxes).where(inboxes.c.contact_id == contact_id))  # and with it its items
    await contact_terms.write(connection, workspace_id, contact_id, contacts.terms_of(old), set())
    await connection.execute(
        update(table)
        .where(table.c.workspace_id == workspace_id, table.c.id == contact_id)
        .values(erased_at=now_ms(), updated_at=now_ms(), erasing=True, **contacts.NOTHING)
    )
    return True


async def _forget_addresses(
    connection: AsyncConnection, workspace_id: UUID, addresses: Sequence[Address], texts: Collection[str]
) -> None:
    """Leave of suppressions and of unmatched events nothing that shows these addresses."""
    theirs = (suppressions.c.workspace_id == workspace_id, at_addresses(addresses))
    # Locked in the order in which others write them, or two might wait for each other.
    await connection.execute(select(suppressions.c.id).where(*theirs).order_by(*_AS_WRITTEN).with_for_update())
    await connection.execute(
        update(suppressions)
        .where(*theirs)
        .values(
            address=null(),
            message_id=null(),
            # A person's own words, also of a version that kept them here, may say who was meant.
            note=null(),
            reason=case(
                (suppressions.c.reason.in_(_OUR_REASONS), suppressions.c.reason), else_=SuppressionReason.MANUAL.value
            ),
        )
    )
    await connection.execute(
        update(suppression_releases)
        .where(suppression_releases.c.workspace_id == workspace_id, at_addresses(addresses, suppression_releases))
        .values(address=null(), note=null())
    )
    await resubscriptions.forget(connection, workspace_id, addresses)
    if texts:
        await connection.execute(
            update(events)
            .where(
                events.c.workspace_id == workspace_id,
                events.c.message_id.is_(None),
                in_any_case(events.c.recipient, texts),
            )
            .values(**_SILENT_EVENT)
        )


async def wipe(
    connection: AsyncConnection, workspace_id: UUID, contact_id: UUID, *, after: UUID | None, most: int
) -> list[UUID]:
    """Make up to ``most`` messages of an erased contact say nothing, those with ids above ``after``; their ids.

    What was not sent yet never will be. Texts that were written for this person alone go too.
    """
    theirs = (
        select(
            messages.c.id,
            messages.c.channel,
            message_details.c.address,
            message_details.c.address_digest,
            message_details.c.content_id,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(
            messages.c.workspace_id == workspace_id,
            messages.c.contact_id == contact_id,
            message_details.c.content_id.is_not(None),
        )
        .order_by(messages.c.id)
        .limit(most)
        .with_for_update(of=messages)
    )
    if after is not None:
        theirs = theirs.where(messages.c.id > after)
    rows = (await connection.execute(theirs)).all()
    if not rows:
        return []
    ids = [row.id for row in rows]
    texts = {row.content_id for row in rows}
    await contents.hold_to_erase(connection, texts)
    await _silence(connection, ids)
    addresses = {(Channel(row.channel), row.address_digest) for row in rows}
    known = {row.address for row in rows if row.address is not None}
    await _forget_addresses(connection, workspace_id, sorted(addresses), known)
    await contents.remove_unused(connection, texts)
    return ids


async def _end(connection: AsyncConnection, *which: ColumnElement[bool]) -> None:
    """End those of these messages that wait, for their turn or for a person's word."""
    await connection.execute(
        update(messages)
        .where(*which, messages.c.state.in_([State.QUEUED.value, State.HELD.value]))
        .values(**without_a_send(State.FAILED, FailureReason.ERASED))
    )


async def _silence(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    await _end(connection, messages.c.id.in_(ids))
    await connection.execute(
        update(message_details).where(message_details.c.message_id.in_(ids)).values(**_SILENT_DETAILS)
    )
    await connection.execute(update(attempts).where(attempts.c.message_id.in_(ids)).values(detail=null()))
    told = status_events.c.message_id.in_(ids)
    in_order = (status_events.c.message_id, status_events.c.type, status_events.c.subscription_id)  # as couriers record
    await connection.execute(select(status_events.c.id).where(told).order_by(*in_order).with_for_update())
    await connection.execute(update(status_events).where(told).values(attempts=null()))
    await connection.execute(update(events).where(events.c.message_id.in_(ids)).values(**_SILENT_EVENT))


async def silence_events(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Make events say nothing that came in for a person who is erased."""
    if ids:
        await connection.execute(update(events).where(events.c.id.in_(ids)).values(**_SILENT_EVENT))


async def unfinished(connection: AsyncConnection, older_than_ms: int, most: int) -> list[tuple[UUID, UUID]]:
    """Contacts (workspace id, id) that were erased so long ago and have not been looked at again, the oldest first."""
    rows = await connection.execute(
        select(table.c.workspace_id, table.c.id)
        .where(table.c.erasing, table.c.erased_at <= now_ms() - bindparam("age", older_than_ms, BigInteger()))
        .order_by(table.c.erased_at)
        .limit(most)
    )
    return [(row.workspace_id, row.id) for row in rows]


async def finish(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID) -> None:
    """Note that nothing more can come of an erased contact, once ``wipe`` found nothing more.

    What was being sent when ``wipe`` came by may have gone back to waiting since.
    """
    own = [messages.c.workspace_id == workspace_id, messages.c.contact_id == contact_id]
    await _end(connection, *own)
    theirs = select(messages.c.id).where(*own)
    await connection.execute(
        update(attempts).where(attempts.c.message_id.in_(theirs), attempts.c.detail.is_not(None)).values(detail=null())
    )
    await connection.execute(
        update(table).where(table.c.workspace_id == workspace_id, table.c.id == contact_id).values(erasing=False)
    )
