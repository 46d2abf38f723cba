"""Suppressions: addresses that are not written to. What counts is the keyed digest; the address is for people."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Table, and_, case, delete, false, func, null, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.session import now_ms
from models.store import clock
from models.store.rows import columns_of, fetch_one, fetch_page, read, upsert
from models.tables import suppressions
from models.vocabulary import Channel, EventType, FailureReason, SuppressionKind

_REPORTED: Final = (EventType.COMPLAINED.value, EventType.BOUNCED.value, EventType.UNSUBSCRIBED.value)

_NAMED: Final = ("address", "reason", "message_id")

key_of = itemgetter("workspace_id", "channel", "address_digest", "kind", "topic")
"""What a suppression is about, of its row: there is one of each."""

Address = tuple[Channel, bytes]
"""A channel, and the keyring's digest (16 bytes) of an address on it."""


class SuppressionRow(msgspec.Struct, frozen=True):
    """A suppression. ``topic`` '' covers the whole channel. Times are milliseconds (UTC)."""

    id: UUID
    channel: Channel
    kind: SuppressionKind
    topic: str
    address: str | None
    reason: str
    message_id: UUID | None
    created_at: int
    expires_at: int | None
    note: str | None


class NewSuppression(msgspec.Struct, frozen=True):
    """What a suppression is made of; ``address_digest`` is the keyring's (16 bytes)."""

    channel: Channel
    address_digest: bytes
    kind: SuppressionKind
    topic: str
    address: str | None
    reason: str
    expires_at: int | None
    note: str | None = None


class SuppressionFilter(msgspec.Struct, frozen=True):
    """Which suppressions of a workspace; every condition that is given must hold. ``addresses``: any of these."""

    channel: Channel | None = None
    kind: SuppressionKind | None = None
    reason: str | None = None
    topic: str | None = None
    addresses: Sequence[Address] | None = None


def at_addresses(addresses: Sequence[Address], table: Table = suppressions) -> ColumnElement[bool]:
    """Suppressions of any of these addresses, or releases; none where there are none."""
    by_channel: dict[Channel, list[bytes]] = {}
    for channel, digest in addresses:
        by_channel.setdefault(channel, []).append(digest)
    return or_(
        false(),
        *(
            and_(table.c.channel == channel.value, table.c.address_digest.in_(digests))
            for channel, digests in by_channel.items()
        ),
    )


async def create(connection: AsyncConnection, workspace_id: UUID, new: NewSuppression) -> tuple[SuppressionRow, bool]:
    """Store a suppression; returns the one that stands, and whether it is new.

    An expired one is replaced. One that would end before the new one lasts as long as that, for its reason.
    """
    key = {
        "workspace_id": workspace_id,
        "channel": new.channel,
        "address_digest": new.address_digest,
        "kind": new.kind,
        "topic": new.topic,
    }
    await connection.execute(
        delete(suppressions).where(
            *(suppressions.c[name] == value for name, value in key.items()), suppressions.c.expires_at <= now_ms()
        )
    )
    new_id = ids.new_id()
    statement = upsert(suppressions, is_sqlite=connection.dialect.name == "sqlite").values(
        id=new_id, created_at=now_ms(), said_at=now_ms(), workspace_id=workspace_id, **msgspec.structs.asdict(new)
    )
    ends = statement.excluded.expires_at
    lasts_longer = and_(suppressions.c.expires_at.is_not(None), or_(ends.is_(None), ends > suppressions.c.expires_at))
    result = await connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(key),
            set_={
                name: case((lasts_longer, statement.excluded[name]), else_=suppressions.c[name])
                for name in ("expires_at", "reason", "note")
            }
            | {"said_at": statement.excluded.said_at},
        ).returning(*columns_of(suppressions, SuppressionRow))
    )
    row = read(result.one(), SuppressionRow)
    return row, row.id == new_id


async def get(connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID) -> SuppressionRow | None:
    """The suppression, where it exists in this workspace."""
    conditions = [suppressions.c.workspace_id == workspace_id, suppressions.c.id == suppression_id]
    return await fetch_one(connection, suppressions, SuppressionRow, conditions)


def conditions_of(workspace_id: UUID, wanted: SuppressionFilter) -> list[ColumnElement[bool]]:
    """The suppressions of a workspace that are wanted."""
    conditions = [suppressions.c.workspace_id == workspace_id]
    for name in ("channel", "kind", "reason", "topic"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(suppressions.c[name] == value)
    if wanted.addresses is not None:
        conditions.append(at_addresses(wanted.addresses))
    return conditions


async def page(
    connection: AsyncConnection, workspace_id: UUID, wanted: SuppressionFilter, *, limit: int, offset: int
) -> tuple[list[SuppressionRow], int]:
    """A page of suppressions and their number."""
    conditions = conditions_of(workspace_id, wanted)
    return await fetch_page(connection, suppressions, SuppressionRow, conditions, limit=limit, offset=offset)


async def change(
    connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID, values: dict[str, Any]
) -> SuppressionRow | None:
    """Write ``values`` (reason, note, expires_at) over a suppression's; None where there is none."""
    result = await connection.execute(
        update(suppressions)
        .where(suppressions.c.workspace_id == workspace_id, suppressions.c.id == suppression_id)
        .values(id=suppressions.c.id, **values)  # also where there is nothing to change
        .returning(*columns_of(suppressions, SuppressionRow))
    )
    row = result.first()
    return None if row is None else read(row, SuppressionRow)


async def forget_blocked(connection: AsyncConnection, workspace_id: UUID, chat_digest: bytes | None = None) -> None:
    """Remove what says that chats take nothing from the workspace's bot: it has another one now.

    ``chat_digest``: the one chat that let the bot in again. Chats that are dead for any bot stay suppressed.
    """
    conditions = [
        suppressions.c.workspace_id == workspace_id,
        suppressions.c.channel == Channel.TELEGRAM.value,
        suppressions.c.kind == SuppressionKind.DEAD.value,
        suppressions.c.reason == FailureReason.BLOCKED.value,
    ]
    if chat_digest is not None:
        conditions.append(suppressions.c.address_digest == chat_digest)
    await connection.execute(delete(suppressions).where(*conditions))


async def create_lasting(connection: AsyncConnection, new: Sequence[dict[str, Any]]) -> None:
    """Insert suppressions that hold for good, made now; one that stands for a time holds for good from now on.

    ``said_at``: when an opt-out was called for (milliseconds, UTC), now where it is left out; the latest time is kept.
    Of several reports that call for the same one it names a complaint, else that on the oldest message, and of an
    opt-out the latest report: in whatever order they come in.
    """
    if not new:
        return
    now = await clock.read(connection)
    # In one order everywhere, so that two transactions never wait for each other in a circle.
    rows = [{"said_at": _said_at(row, now), **row, "created_at": now} for row in sorted(new, key=key_of)]
    statement = upsert(suppressions, is_sqlite=connection.dialect.name == "sqlite")
    given = statement.excluded
    for_a_time = suppressions.c.expires_at.is_not(None)
    named = or_(for_a_time, _names_more(given))
    later = given.said_at > _last_said()
    lasting = statement.on_conflict_do_update(
        index_elements=["workspace_id", "channel", "address_digest", "kind", "topic"],
        set_={name: case((named, given[name]), else_=suppressions.c[name]) for name in _NAMED}
        | {
            "expires_at": null(),
            "created_at": case((for_a_time, given.created_at), else_=suppressions.c.created_at),
            "said_at": case((later, given.said_at), else_=suppressions.c.said_at),
        },
        where=or_(named, later),
    )
    await connection.execute(lasting, rows)


def said_before(moment: int) -> ColumnElement[bool]:
    """Opt-outs that were last called for before this moment (milliseconds, UTC)."""
    return and_(suppressions.c.kind == SuppressionKind.OPT_OUT.value, _last_said() < moment)


def _last_said() -> ColumnElement[int]:
    return func.coalesce(suppressions.c.said_at, suppressions.c.created_at)


def _said_at(row: dict[str, Any], now: int) -> int | None:
    return now if row["kind"] == SuppressionKind.OPT_OUT.value else None


def _names_more(given: Any) -> ColumnElement[bool]:
    """Whether the given suppression takes the place of the one that stands, both for what was reported."""
    complains, complained = (each.reason == EventType.COMPLAINED.value for each in (given, suppressions.c))
    older = given.message_id < suppressions.c.message_id
    is_opt_out = suppressions.c.kind == SuppressionKind.OPT_OUT.value
    return and_(
        suppressions.c.message_id.is_not(None),  # as it is not where its person was erased
        *(or_(*(each.reason == word for word in _REPORTED)) for each in (given, suppressions.c)),
        or_(
            and_(is_opt_out, or_(given.said_at > _last_said(), and_(given.said_at == _last_said(), older))),
            and_(~is_opt_out, complains, ~complained),
            and_(~is_opt_out, complains == complained, older),
        ),
    )
