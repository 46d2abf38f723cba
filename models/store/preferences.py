"""What a reader wants to get: opt-outs by channel and topic, at the addresses that are the reader's own."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.ids import new_id
from models.session import now_ms
from models.store import releases
from models.store.suppressions import Address, at_addresses
from models.tables import message_details, messages, suppressions
from models.vocabulary import Channel, EventType, SuppressionKind

Stop = tuple[Channel, str]
"""A channel and a topic, '' for the whole channel: what an opt-out covers."""

_RECENT: Final = 1000
"""So many of the latest messages say what a reader is written about."""


class Standing(msgspec.Struct, frozen=True):
    """What stands against a reader's addresses now. ``dead``: channels on which nothing is sent there."""

    stops: frozenset[Stop]
    dead: frozenset[Channel]


async def written_about(connection: AsyncConnection, workspace_id: UUID, contact_id: UUID) -> set[Stop]:
    """The channels and topics of a contact's latest messages that an opt-out could have stopped."""
    latest = (
        select(messages.c.id, messages.c.channel)
        .where(messages.c.workspace_id == workspace_id, messages.c.contact_id == contact_id)
        .order_by(messages.c.id.desc())
        .limit(_RECENT)
        .subquery()
    )
    rows = await connection.execute(
        select(latest.c.channel, message_details.c.topic)
        .join(message_details, message_details.c.message_id == latest.c.id)
        .where(~message_details.c.essential)
        .distinct()
    )
    return {(Channel(row.channel), row.topic or "") for row in rows}


async def standing(connection: AsyncConnection, workspace_id: UUID, addresses: Collection[Address]) -> Standing:
    """What stands against these addresses."""
    rows = await connection.execute(
        select(suppressions.c.channel, suppressions.c.kind, suppressions.c.topic).where(
            suppressions.c.workspace_id == workspace_id,
            at_addresses(list(addresses)),
            or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now_ms()),
        )
    )
    found = [(Channel(row.channel), SuppressionKind(row.kind), row.topic) for row in rows]
    return Standing(
        stops=frozenset((channel, topic) for channel, kind, topic in found if kind is SuppressionKind.OPT_OUT),
        dead=frozenset(channel for channel, kind, _ in found if kind is SuppressionKind.DEAD),
    )


async def change(
    connection: AsyncConnection,
    workspace_id: UUID,
    wanted: Mapping[Stop, bool],
    digests: Mapping[Channel, bytes],
    addresses: Mapping[Channel, str | None],
    message_id: UUID,
) -> None:
    """Opt out of what is not wanted, from now on and for good, and take opt-outs back of what is.

    ``message_id``: whose link was used. What was opted out of before is so from now on again: a report of a new
    subscription that is older, and still to come, does not lift it.
    """
    opt_out = SuppressionKind.OPT_OUT.value
    stopped = [
        {
            "id": new_id(),
            "workspace_id": workspace_id,
            "channel": channel.value,
            "address_digest": digests[channel],
            "kind": opt_out,
            "topic": topic,
            "address": addresses.get(channel),
            "reason": EventType.UNSUBSCRIBED.value,
            "message_id": message_id,
        }
        for (channel, topic), subscribed in wanted.items()
        if not subscribed
    ]
    lifted = [
        releases.Lift((workspace_id, channel.value, digests[channel], opt_out, topic))
        for (channel, topic), subscribed in wanted.items()
        if subscribed
    ]
    await releases.stop_and_lift(connection, stopped, lifted, by=releases.READER)
