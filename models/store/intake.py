"""Taking messages in: what an admission reads, and the one transaction that stores them."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Table, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Consent, Idempotency, Recipient
from models.session import now_ms
from models.store import clock, contents, idempotency, turns
from models.store.bulk import insert_ignoring
from models.store.recordset import among, among_given
from models.tables import (
    campaigns,
    contacts,
    idempotency_keys,
    journeys,
    message_details,
    messages,
    push_subscriptions,
    suppressions,
    template_versions,
    templates,
)
from models.vocabulary import CampaignState, Channel, SuppressionKind

Owned = tuple[UUID, UUID]
"""(workspace id, id): a look-up that cannot leave its workspace."""


class TemplateVersion(msgspec.Struct, frozen=True):
    """The version of a template that a message pins."""

    id: UUID
    parts: dict[str, Any]


class NewMessage(msgspec.Struct, frozen=True):
    """A message and its details, ready to be stored. ``ready``: it may be claimed at once."""

    group: turns.Group
    row: dict[str, Any]
    details: dict[str, Any]
    content_source: bytes
    ready: bool
    idempotency: Idempotency | None


class Stored(msgspec.Struct, frozen=True):
    """What became of a new message. ``replay_of``: its idempotency key had been used, for this message."""

    id: UUID
    replay_of: UUID | None = None
    same_request: bool = True


def _owned(connection: AsyncConnection, table: Table, wanted: Collection[Owned]) -> ColumnElement[bool]:
    """Rows with such an id in one of these workspaces; the caller keeps each under its own pair."""
    is_sqlite = connection.dialect.name == "sqlite"
    return and_(
        among(table.c.workspace_id, {workspace_id for workspace_id, _ in wanted}, is_sqlite=is_sqlite),
        among(table.c.id, {row_id for _, row_id in wanted}, is_sqlite=is_sqlite),
    )


# What every message asks for is made once: to make such a statement takes longer than to ask it.


async def recipients(connection: AsyncConnection, wanted: Collection[Owned]) -> tuple[dict[Owned, Recipient], int]:
    """The contacts among ``wanted`` that exist and are not erased; and the database's time in milliseconds (UTC)."""
    ids = {"workspace_ids": list({own for own, _ in wanted}), "ids": list({row_id for _, row_id in wanted})}
    found: dict[Owned, Recipient] = {}
    now = None
    for row in await connection.execute(_recipients(connection.dialect.name == "sqlite"), ids):
        now, *columns = row
        found[row[1], row[2]] = Recipient(*columns[1:])
    return found, await clock.read(connection) if now is None else now


@cache
def _recipients(is_sqlite: bool) -> Any:
    browsers = (
        select(func.count())
        .select_from(push_subscriptions)
        .where(push_subscriptions.c.contact_id == contacts.c.id)
        .scalar_subquery()
    )
    return select(
        now_ms(),
        contacts.c.workspace_id,
        contacts.c.id,
        contacts.c.email,
        contacts.c.telegram_chat_id,
        contacts.c.webhook_url,
        browsers.label("browsers"),
        contacts.c.first_name,
        contacts.c.last_name,
        contacts.c.phone,
        contacts.c.external_id,
        contacts.c.locale,
        contacts.c.timezone,
        contacts.c.attributes,
    ).where(
        among_given(contacts.c.workspace_id, "workspace_ids", is_sqlite=is_sqlite),
        among_given(contacts.c.id, "ids", is_sqlite=is_sqlite),
        contacts.c.erased_at.is_(None),
    )


async def template_versions_of(connection: AsyncConnection, wanted: Collection[Owned]) -> dict[Owned, TemplateVersion]:
    """The current version of each template among ``wanted`` that exists."""
    if not wanted:
        return {}
    rows = await connection.execute(
        select(templates.c.workspace_id, templates.c.id, template_versions.c.id, template_versions.c.parts)
        .join(
            template_versions,
            and_(
                template_versions.c.template_id == templates.c.id,
                template_versions.c.version == templates.c.current_version,
            ),
        )
        .where(_owned(connection, templates, wanted), templates.c.deleted_at.is_(None))
    )
    return {(row[0], row[1]): TemplateVersion(row[2], row[3]) for row in rows}


async def campaign_states(connection: AsyncConnection, wanted: Collection[Owned]) -> dict[Owned, CampaignState]:
    """The state of each campaign among ``wanted`` that exists."""
    if not wanted:
        return {}
    rows = await connection.execute(
        select(campaigns.c.workspace_id, campaigns.c.id, campaigns.c.state).where(
            _owned(connection, campaigns, wanted), campaigns.c.deleted_at.is_(None)
        )
    )
    return {(row[0], row[1]): CampaignState(row[2]) for row in rows}


async def known_journeys(connection: AsyncConnection, wanted: Collection[Owned]) -> set[Owned]:
    """Those of ``wanted`` that exist."""
    if not wanted:
        return set()
    rows = await connection.execute(
        select(journeys.c.workspace_id, journeys.c.id).where(
            _owned(connection, journeys, wanted), journeys.c.deleted_at.is_(None)
        )
    )
    return {(row[0], row[1]) for row in rows}


AddressKey = tuple[UUID, Channel, bytes]
"""(workspace id, channel, digest of the address)."""


async def suppressed(
    connection: AsyncConnection, wanted: Collection[AddressKey]
) -> dict[AddressKey, dict[str, SuppressionKind]]:
    """What stands against each address now, by topic ('' covers the channel); addresses with nothing are left out."""
    if not wanted:
        return {}
    values = {
        "workspace_ids": list({workspace_id for workspace_id, _, _ in wanted}),
        "channels": list({channel.value for _, channel, _ in wanted}),
        "digests": list({digest for _, _, digest in wanted}),
    }
    rows = await connection.execute(_suppressed(connection.dialect.name == "sqlite"), values)
    found: dict[AddressKey, dict[str, SuppressionKind]] = {}
    for workspace_id, channel, digest, topic, kind in rows:
        standing = found.setdefault((workspace_id, Channel(channel), digest), {})
        if standing.get(topic) is not SuppressionKind.DEAD:
            standing[topic] = SuppressionKind(kind)
    return found


@cache
def _suppressed(is_sqlite: bool) -> Any:
    return select(
        suppressions.c.workspace_id,
        suppressions.c.channel,
        suppressions.c.address_digest,
        suppressions.c.topic,
        suppressions.c.kind,
    ).where(
        among_given(suppressions.c.workspace_id, "workspace_ids", is_sqlite=is_sqlite),
        among_given(suppressions.c.channel, "channels", is_sqlite=is_sqlite),
        among_given(suppressions.c.address_digest, "digests", is_sqlite=is_sqlite),
        or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now_ms()),
    )


def consent(standing: dict[str, SuppressionKind], topic: str | None) -> Consent:
    """What ``suppressed`` found, read for a message about ``topic``."""
    return Consent(
        dead=SuppressionKind.DEAD in standing.values(),
        opted_out=any(
            kind is SuppressionKind.OPT_OUT and covered in ("", topic or "") for covered, kind in standing.items()
        ),
    )


async def store(connection: AsyncConnection, new: Sequence[NewMessage]) -> list[Stored]:
    """Store messages, contents and idempotency keys; in order. Repeating it with the same rows changes nothing."""
    used = await _reserve_keys(connection, [message for message in new if message.idempotency is not None])
    results: list[Stored] = []
    accepted: list[NewMessage] = []
    for message in new:
        message_id = message.row["id"]
        owner, fingerprint = used.get(_key(message), (message_id, b""))
        if owner == message_id:
            accepted.append(message)
            results.append(Stored(message_id))
        else:
            same = message.idempotency is not None and message.idempotency.fingerprint == fingerprint
            results.append(Stored(message_id, replay_of=owner, same_request=same))
    if accepted:
        await _insert(connection, accepted)
    return results


def _key(message: NewMessage) -> tuple[UUID, str]:
    return message.row["workspace_id"], message.idempotency.key if message.idempotency else ""


async def _reserve_keys(
    connection: AsyncConnection, keyed: Sequence[NewMessage]
) -> dict[tuple[UUID, str], tuple[UUID, bytes]]:
    """Insert the keys; returns, for each, the message that owns it and that one's fingerprint."""
    if not keyed:
        return {}
    rows = [
        {
            "workspace_id": message.row["workspace_id"],
            "key": message.idempotency.key,
            "fingerprint": message.idempotency.fingerprint,
            "message_id": message.row["id"],
            "created_at": message.row["queued_at"],
        }
        for message in sorted(keyed, key=_key)
        if message.idempotency is not None
    ]
    await idempotency.take(connection, rows)
    return await owners_of_keys(connection, {(row["workspace_id"], row["key"]) for row in rows})


async def owners_of_keys(
    connection: AsyncConnection, keys: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], tuple[UUID, bytes]]:
    """For each idempotency key (workspace id, key) that was used: its message and that request's fingerprint."""
    if not keys:
        return {}
    is_sqlite = connection.dialect.name == "sqlite"
    found = await connection.execute(
        select(
            idempotency_keys.c.workspace_id,
            idempotency_keys.c.key,
            idempotency_keys.c.message_id,
            idempotency_keys.c.fingerprint,
        ).where(
            among(idempotency_keys.c.workspace_id, {workspace_id for workspace_id, _ in keys}, is_sqlite=is_sqlite),
            among(idempotency_keys.c.key, {key for _, key in keys}, is_sqlite=is_sqlite),
        )
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in found}


async def _insert(connection: AsyncConnection, accepted: Sequence[NewMessage]) -> None:
    by_content = {message.details["content_id"]: message for message in accepted}
    await contents.keep(connection, [text_of(message) for _, message in sorted(by_content.items())])
    await _give_turns(connection, accepted)
    await insert_ignoring(connection, messages, [message.row for message in accepted])
    await insert_ignoring(connection, message_details, [message.details for message in accepted])


def text_of(message: NewMessage) -> dict[str, Any]:
    """What the message says, as a row of ``contents``."""
    return {
        "id": message.details["content_id"],
        "workspace_id": message.row["workspace_id"],
        "source": message.content_source,
        "used_at": message.row["queued_at"],
    }


async def _give_turns(connection: AsyncConnection, accepted: Sequence[NewMessage]) -> None:
    counts = Counter(message.group for message in accepted if message.ready)
    groups = {message.group for message in accepted}
    next_turn = await turns.allot(connection, {group: counts[group] for group in groups})
    for message in accepted:
        message.row["turn"] = None
        if message.ready:
            message.row["turn"] = next_turn[message.group]
            next_turn[message.group] += 1
