"""Opting out by the link in a message: in force with its own commit, whether or not the tracker runs."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.events import ParsedEvent
from models.evidence import Provider
from models.ids import new_id
from models.store import events
from models.store.suppressions import create_lasting
from models.tables import message_details, messages
from models.vocabulary import Channel, EventType, SuppressionKind

_REASON: Final = EventType.UNSUBSCRIBED.value


class Offer(msgspec.Struct, frozen=True):
    """What a message's link opts out of: a topic, '' for the whole channel, at the address that it went to.

    ``address`` is None once its owner was erased.
    """

    message_id: UUID
    workspace_id: UUID
    contact_id: UUID
    channel: Channel
    topic: str
    address: str | None
    address_digest: bytes


async def find(connection: AsyncConnection, message_id: UUID) -> Offer | None:
    """The offer of a message; None where there is no such message."""
    found = await connection.execute(
        select(
            messages.c.id,
            messages.c.workspace_id,
            messages.c.contact_id,
            messages.c.channel,
            message_details.c.topic,
            message_details.c.address,
            message_details.c.address_digest,
        )
        .join(message_details, message_details.c.message_id == messages.c.id)
        .where(messages.c.id == message_id)
    )
    row = found.first()
    if row is None:
        return None
    return Offer(
        message_id=row.id,
        workspace_id=row.workspace_id,
        contact_id=row.contact_id,
        channel=Channel(row.channel),
        topic=row.topic or "",
        address=row.address,
        address_digest=row.address_digest,
    )


async def note(connection: AsyncConnection, offer: Offer, event: ParsedEvent) -> None:
    """Store the event alone."""
    await events.insert(
        connection,
        workspace_id=offer.workspace_id,
        source_id=offer.workspace_id,
        provider=Provider.WIREROOM.value,
        events_=[event],
    )


async def take(connection: AsyncConnection, offer: Offer, event: ParsedEvent) -> None:
    """Store the event, and the suppression that it calls for; repeated, it changes nothing."""
    await note(connection, offer, event)
    new = {
        "id": new_id(),
        "workspace_id": offer.workspace_id,
        "channel": offer.channel.value,
        "address_digest": offer.address_digest,
        "kind": SuppressionKind.OPT_OUT.value,
        "topic": offer.topic,
        "address": offer.address,
        "reason": _REASON,
        "message_id": offer.message_id,
    }
    await create_lasting(connection, [new])
