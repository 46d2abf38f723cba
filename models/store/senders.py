"""Senders: a workspace's own ways out on a channel, tried in their order. Credentials are stored sealed.

One that cannot work rests for a while: ``sender_rests``.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    bindparam,
    case,
    delete,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from models.session import now_ms
from models.store.recordset import among
from models.store.rows import change_one, columns_of, fetch_one, insert_one, read
from models.store.suppressions import forget_blocked
from models.tables import senders, workspaces
from models.vocabulary import Channel


class SenderRow(msgspec.Struct, frozen=True):
    """A sender; ``credentials`` are sealed. Times are milliseconds (UTC).

    The lowest ``position`` is tried first; of equal ones, each in proportion to its ``weight``. ``hint``: what may be
    shown of the credentials. ``per_second``: how many messages may begin by it, over all workers; None without a limit.
    ``last_error``: why it rests, or rested last; None since it works.
    """

    id: UUID
    workspace_id: UUID
    channel: Channel
    name: str
    credentials: bytes
    hint: dict[str, str]
    position: int
    weight: int
    paused: bool
    per_second: float | None
    failures: int
    resting_until: int | None
    last_error: str | None
    version: int
    created_at: int
    updated_at: int


class NewSender(msgspec.Struct, frozen=True):
    """What a sender is made of."""

    channel: Channel
    name: str
    credentials: bytes
    hint: dict[str, str]
    position: int
    weight: int
    paused: bool
    per_second: float | None = None


class Usable(msgspec.Struct, frozen=True):
    """A sender as a worker reads it: in use unless it ``rests_ms`` from now. ``credentials`` are sealed."""

    id: UUID
    workspace_id: UUID
    credentials: bytes
    position: int
    weight: int
    per_second: float | None
    version: int
    last_error: str | None
    rests_ms: int


async def create(connection: AsyncConnection, workspace_id: UUID, new: NewSender) -> SenderRow:
    """Store a sender."""
    values = msgspec.structs.asdict(new) | {"channel": new.channel.value}
    row = await insert_one(connection, senders, SenderRow, workspace_id=workspace_id, updated_at=now_ms(), **values)
    await _note_bots(connection, workspace_id, None, _bot(row))
    return row


def _bot(row: SenderRow) -> str | None:
    """The bot that messages go by for the sake of this sender; None where it is none of TELEGRAM, or is not used."""
    return None if row.paused else row.hint.get("botId")


async def _note_bots(connection: AsyncConnection, workspace_id: UUID, old: str | None, new: str | None) -> None:
    """A workspace has one bot: the chats that blocked the former one may take messages of the next."""
    if old != new:
        await forget_blocked(connection, workspace_id)


async def lock(connection: AsyncConnection, workspace_id: UUID, channel: Channel) -> list[SenderRow]:
    """The senders of a channel; nobody adds one before this transaction ends."""
    await connection.execute(
        select(workspaces.c.id).where(workspaces.c.id == workspace_id).with_for_update(key_share=True)
    )
    return await of_channel(connection, workspace_id, channel)


async def of_workspace(connection: AsyncConnection, workspace_id: UUID) -> list[SenderRow]:
    """All senders of a workspace, each channel's in their order."""
    rows = await connection.execute(
        select(*columns_of(senders, SenderRow))
        .where(senders.c.workspace_id == workspace_id)
        .order_by(senders.c.channel, senders.c.position, senders.c.id)
    )
    return [read(row, SenderRow) for row in rows]


async def of_channel(connection: AsyncConnection, workspace_id: UUID, channel: Channel) -> list[SenderRow]:
    """The senders of a workspace on one channel, in their order."""
    return [read(row, SenderRow) for row in await connection.execute(_of_channel(workspace_id, channel))]


def _of_channel(workspace_id: UUID, channel: Channel) -> Any:
    return (
        select(*columns_of(senders, SenderRow))
        .where(senders.c.workspace_id == workspace_id, senders.c.channel == channel.value)
        .order_by(senders.c.position, senders.c.id)
    )


def _one(workspace_id: UUID, channel: Channel, sender_id: UUID) -> list[ColumnElement[bool]]:
    return [
        senders.c.workspace_id == workspace_id,
        senders.c.channel == channel.value,
        senders.c.id == sender_id,
    ]


async def get(connection: AsyncConnection, workspace_id: UUID, channel: Channel, sender_id: UUID) -> SenderRow | None:
    """The sender, where it exists in this workspace on this channel."""
    return await fetch_one(connection, senders, SenderRow, _one(workspace_id, channel, sender_id))


async def change(
    connection: AsyncConnection,
    workspace_id: UUID,
    channel: Channel,
    sender_id: UUID,
    values: Callable[[SenderRow], Mapping[str, Any]],
) -> SenderRow | None:
    """Write the columns that ``values`` gives for the row as it stands; None where there is none.

    New credentials are a new version, of which nothing bad is known.
    """
    bots: list[str | None] = []

    def changed(old: SenderRow) -> Mapping[str, Any]:
        bots.append(_bot(old))
        new = dict(values(old))
        if "credentials" in new:
            new |= {"version": old.version + 1, "failures": 0, "resting_until": None, "last_error": None}
        return new | {"updated_at": now_ms()} if new else new

    row = await change_one(connection, senders, SenderRow, _one(workspace_id, channel, sender_id), changed)
    if row is not None:
        await _note_bots(connection, workspace_id, bots[-1], _bot(row))
    return row


async def remove(connection: AsyncConnection, workspace_id: UUID, channel: Channel, sender_id: UUID) -> bool:
    """Remove a sender; what waits goes by the others. False where there is none."""
    wanted = _one(workspace_id, channel, sender_id)
    result = await connection.execute(delete(senders).where(*wanted).returning(*columns_of(senders, SenderRow)))
    removed = result.first()
    if removed is None:
        return False
    await _note_bots(connection, workspace_id, _bot(read(removed, SenderRow)), None)
    return True


async def configured(connection: AsyncConnection, workspace_ids: Collection[UUID]) -> dict[UUID, frozenset[Channel]]:
    """The channels on which these workspaces have a sender that is not paused."""
    is_sqlite = connection.dialect.name == "sqlite"
    found: dict[UUID, frozenset[Channel]] = dict.fromkeys(workspace_ids, frozenset())
    for row in await connection.execute(
        select(senders.c.workspace_id, senders.c.channel).where(
            among(senders.c.workspace_id, workspace_ids, is_sqlite=is_sqlite), ~senders.c.paused
        )
    ):
        found[row.workspace_id] |= {Channel(row.channel)}
    return found


async def owners(connection: AsyncConnection) -> set[tuple[UUID, Channel]]:
    """The channels on which workspaces send by themselves, and never by the operator's sender.

    On PUSH a sender that is paused counts too: browsers that subscribed with its key take nobody else's messages.
    """
    by_themselves = or_(~senders.c.paused, senders.c.channel == Channel.PUSH.value)
    rows = await connection.execute(select(senders.c.workspace_id, senders.c.channel).where(by_themselves).distinct())
    return {(row.workspace_id, Channel(row.channel)) for row in rows}


async def usable(connection: AsyncConnection, channel: Channel, workspace_ids: Collection[UUID]) -> list[Usable]:
    """The senders of these workspaces on a channel that are not paused, each workspace's in their order."""
    rests_ms = case(
        (senders.c.resting_until > now_ms(), senders.c.resting_until - now_ms()),
        else_=bindparam("no_rest", 0, BigInteger()),
    )
    columns = [senders.c[name] for name in Usable.__struct_fields__ if name != "rests_ms"]
    rows = await connection.execute(
        select(*columns, rests_ms.label("rests_ms"))
        .where(
            among(senders.c.workspace_id, workspace_ids, is_sqlite=connection.dialect.name == "sqlite"),
            senders.c.channel == channel.value,
            ~senders.c.paused,
        )
        .order_by(senders.c.workspace_id, senders.c.position, senders.c.id)
    )
    return [read(row, Usable) for row in rows]
