"""Releases: who let an address be written to again, and what had stood against it.

A release outlives its suppression. It tells of it, it undoes what a late report of former days would do, and by the
suppression's id the messages that it had stopped are found also afterwards.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store import clock
from models.store.rows import columns_of, fetch_one, read
from models.store.suppressions import Address, SuppressionRow, at_addresses, create_lasting, key_of, said_before
from models.tables import suppression_releases as releases
from models.tables import suppressions
from models.vocabulary import Channel, SuppressionKind

READER: Final = "reader"
"""Who released it: the reader, by a link of a message."""
PROVIDER: Final = "provider"
"""Who released it: the reader, at the provider, who reported it."""

_KEPT: Final = 100

Key = tuple[UUID, str, bytes, str, str]
"""(workspace id, channel, digest of the address, kind, topic): what a suppression is about."""


class Lift(NamedTuple):
    """An opt-out to be taken back; ``before``: only one that was last called for before then (milliseconds, UTC)."""

    key: Key
    before: int | None = None


class Subject(msgspec.Struct, frozen=True):
    """What a suppression is about, and since when (milliseconds, UTC). ``topic`` '' covers the whole channel."""

    id: UUID
    channel: Channel
    address_digest: bytes
    kind: SuppressionKind
    topic: str
    suppressed_at: int


class ReleaseRow(Subject, frozen=True):
    """A release under its suppression's id. Times are milliseconds (UTC)."""

    address: str | None
    reason: str
    released_at: int
    released_by: str
    note: str | None


async def find(connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID) -> ReleaseRow | None:
    """The release of this suppression, where it was released."""
    conditions = [releases.c.workspace_id == workspace_id, releases.c.id == suppression_id]
    return await fetch_one(connection, releases, ReleaseRow, conditions)


async def subject(connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID) -> Subject | None:
    """What this suppression is about, whether it stands or was released; None where there is none."""
    standing = await connection.execute(
        select(
            suppressions.c.id,
            suppressions.c.channel,
            suppressions.c.address_digest,
            suppressions.c.kind,
            suppressions.c.topic,
            suppressions.c.created_at.label("suppressed_at"),
        ).where(suppressions.c.workspace_id == workspace_id, suppressions.c.id == suppression_id)
    )
    row = standing.first()
    return await find(connection, workspace_id, suppression_id) if row is None else read(row, Subject)


async def release(
    connection: AsyncConnection, workspace_id: UUID, suppression_id: UUID, *, by: str, note: str | None
) -> ReleaseRow | None:
    """Remove a suppression and keep its release; the one there is where that was done before, else None."""
    made = await _release(connection, workspace_id, [suppressions.c.id == suppression_id], by=by, note=note)
    return made[0] if made else await find(connection, workspace_id, suppression_id)


async def stop_and_lift(
    connection: AsyncConnection, stopped: Iterable[dict[str, Any]], lifted: Iterable[Lift], *, by: str
) -> None:
    """Insert suppressions for good, and take opt-outs back; what else stands against the addresses stays.

    ``stopped``: rows as ``create_lasting`` takes them. No key is in both.
    """
    changes: list[tuple[Key, dict[str, Any] | Lift]] = [(key_of(row), row) for row in stopped]
    changes += [(each.key, each) for each in lifted]
    owners: set[tuple[UUID, Address]] = set()
    # Both in the one order of ``create_lasting``: who stops one and lifts another never waits in a circle for who does
    # it the other way round.
    in_order = sorted(changes, key=itemgetter(0))
    for is_lift, some in groupby((change for _, change in in_order), lambda change: isinstance(change, Lift)):
        if not is_lift:
            await create_lasting(connection, [change for change in some if not isinstance(change, Lift)])
            continue
        for change in some:
            if isinstance(change, Lift) and await _lift(connection, change, by):
                workspace_id, channel, digest, *_ = change.key
                owners.add((workspace_id, (Channel(channel), digest)))
    for workspace_id, address in sorted(owners):
        await _forget_old(connection, workspace_id, address, by)


async def _lift(connection: AsyncConnection, lift: Lift, by: str) -> bool:
    workspace_id, channel, digest, kind, topic = lift.key
    opt_out = [
        suppressions.c.channel == channel,
        suppressions.c.address_digest == digest,
        suppressions.c.kind == kind,
        suppressions.c.topic == topic,
    ]
    if lift.before is not None:
        opt_out.append(said_before(lift.before))
    return bool(await _release(connection, workspace_id, opt_out, by=by, note=None))


async def _forget_old(connection: AsyncConnection, workspace_id: UUID, address: Address, by: str) -> None:
    """Of a reader, who may change their mind as often as they like, the latest releases are kept."""
    own = [releases.c.workspace_id == workspace_id, releases.c.released_by == by, at_addresses([address], releases)]
    old = select(releases.c.id).where(*own).order_by(releases.c.released_at.desc(), releases.c.id.desc()).offset(_KEPT)
    found = list(await connection.scalars(old.with_for_update(skip_locked=True)))  # whoever has one removes it
    if found:
        await connection.execute(delete(releases).where(releases.c.id.in_(found)))


async def _release(
    connection: AsyncConnection,
    workspace_id: UUID,
    conditions: Sequence[ColumnElement[bool]],
    *,
    by: str,
    note: str | None,
) -> list[ReleaseRow]:
    removed = await connection.execute(
        delete(suppressions)
        .where(suppressions.c.workspace_id == workspace_id, *conditions)
        .returning(suppressions.c.address_digest, *columns_of(suppressions, SuppressionRow))
    )
    now = await clock.read(connection)
    made = [
        ReleaseRow(
            id=row.id,
            channel=Channel(row.channel),
            address_digest=row.address_digest,
            kind=SuppressionKind(row.kind),
            topic=row.topic,
            address=row.address,
            reason=row.reason,
            suppressed_at=row.created_at,
            released_at=now,
            released_by=by,
            note=note,
        )
        for row in removed
    ]
    if made:
        rows = [{"workspace_id": workspace_id, **msgspec.structs.asdict(each)} for each in made]
        await connection.execute(insert(releases), rows)
    return made


async def released_at(connection: AsyncConnection, keys: Collection[Key]) -> dict[Key, int]:
    """When each of these was last released by us, the workspace or a link's reader, of those that were.

    Milliseconds (UTC). What a reader said at the provider counts from when it was said: ``resubscriptions`` knows.
    """
    if not keys:
        return {}
    about = [
        releases.c.workspace_id,
        releases.c.channel,
        releases.c.address_digest,
        releases.c.kind,
        releases.c.topic,
    ]
    rows = await connection.execute(
        select(*about, func.max(releases.c.released_at))
        .where(
            releases.c.workspace_id.in_({workspace_id for workspace_id, *_ in keys}),
            releases.c.address_digest.in_({digest for _, _, digest, *_ in keys}),
            releases.c.released_by != PROVIDER,
        )
        .group_by(*about)
    )
    found = {(row[0], row[1], row[2], row[3], row[4]): int(row[5]) for row in rows}
    return {key: found[key] for key in keys if key in found}


async def page(
    connection: AsyncConnection,
    workspace_id: UUID,
    channel: Channel | None,
    addresses: Sequence[Address] | None,
    *,
    limit: int,
    offset: int,
) -> tuple[list[ReleaseRow], int]:
    """A page of releases, the latest first, and their number; ``addresses``: of any of these."""
    conditions = [releases.c.workspace_id == workspace_id]
    if channel is not None:
        conditions.append(releases.c.channel == channel.value)
    if addresses is not None:
        conditions.append(at_addresses(addresses, releases))
    total = await connection.scalar(select(func.count()).select_from(releases).where(*conditions))
    rows = await connection.execute(
        select(*columns_of(releases, ReleaseRow))
        .where(*conditions)
        .order_by(releases.c.released_at.desc(), releases.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [read(row, ReleaseRow) for row in rows], int(total or 0)


async def of_addresses(
    connection: AsyncConnection, workspace_id: UUID, addresses: Sequence[Address]
) -> list[ReleaseRow]:
    """All releases of these addresses, the first first."""
    rows = await connection.execute(
        select(*columns_of(releases, ReleaseRow))
        .where(releases.c.workspace_id == workspace_id, at_addresses(addresses, releases))
        .order_by(releases.c.released_at, releases.c.id)
    )
    return [read(row, ReleaseRow) for row in rows]
