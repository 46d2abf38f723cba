"""Taking messages in: what an admission reads, and the one transaction that stores them."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, LargeBinary, Select, Table, Text, Uuid, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Consent, Draft, Recipient
from models.session import now_ms
from models.store import clock, idempotency, new_messages
from models.store.new_messages import NewMessage
from models.store.recordset import Columns, among_given, kept_to_given, parameters, recordset
from models.tables import (
    campaigns,
    contacts,
    idempotency_keys,
    journeys,
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


class Stored(msgspec.Struct, frozen=True):
    """What became of a new message. ``replay_of``: its idempotency key had been used, for this message."""

    replay_of: UUID | None = None
    same_request: bool = True


_STORED: Final = Stored()
_NO_OBJECTION: Final = Consent()


def _is_sqlite(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "sqlite"


def _owned(table: Table, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Rows that ``_pairs`` asks for: the caller keeps each under its own pair."""
    return and_(
        kept_to_given(table.c.workspace_id, "workspace_ids", is_sqlite=is_sqlite),
        among_given(table.c.id, "ids", is_sqlite=is_sqlite),
    )


def _pairs(wanted: Collection[Owned]) -> dict[str, list[UUID]]:
    """Rows with such an id in one of these workspaces."""
    return {
        "workspace_ids": list({workspace_id for workspace_id, _ in wanted}),
        "ids": list({row_id for _, row_id in wanted}),
    }


@cache
def _reading_recipients(is_sqlite: bool) -> Select[Any]:
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
    ).where(_owned(contacts, is_sqlite=is_sqlite), contacts.c.erased_at.is_(None))


async def recipients(connection: AsyncConnection, wanted: Collection[Owned]) -> tuple[dict[Owned, Recipient], int]:
    """The contacts among ``wanted`` that exist and are not erased; and the database's time in milliseconds (UTC).

    In one answer, for who writes to one person waits for each.
    """
    rows = (await connection.execute(_reading_recipients(_is_sqlite(connection)), _pairs(wanted))).all()
    now: int = rows[0][0] if rows else await clock.read(connection)
    return {(row[1], row[2]): Recipient(*row[2:]) for row in rows}, now


@cache
def _reading_templates(is_sqlite: bool) -> Select[Any]:
    return (
        select(templates.c.workspace_id, templates.c.id, template_versions.c.id, template_versions.c.parts)
        .join(
            template_versions,
            and_(
                template_versions.c.template_id == templates.c.id,
                template_versions.c.version == templates.c.current_version,
            ),
        )
        .where(_owned(templates, is_sqlite=is_sqlite), templates.c.deleted_at.is_(None))
    )


async def template_versions_of(connection: AsyncConnection, wanted: Collection[Owned]) -> dict[Owned, TemplateVersion]:
    """The current version of each template among ``wanted`` that exists."""
    if not wanted:
        return {}
    rows = await connection.execute(_reading_templates(_is_sqlite(connection)), _pairs(wanted))
    return {(row[0], row[1]): TemplateVersion(row[2], row[3]) for row in rows}


@cache
def _reading_campaigns(is_sqlite: bool) -> Select[Any]:
    return select(campaigns.c.workspace_id, campaigns.c.id, campaigns.c.state).where(
        _owned(campaigns, is_sqlite=is_sqlite), campaigns.c.deleted_at.is_(None)
    )


async def campaign_states(connection: AsyncConnection, wanted: Collection[Owned]) -> dict[Owned, CampaignState]:
    """The state of each campaign among ``wanted`` that exists."""
    if not wanted:
        return {}
    rows = await connection.execute(_reading_campaigns(_is_sqlite(connection)), _pairs(wanted))
    return {(row[0], row[1]): CampaignState(row[2]) for row in rows}


@cache
def _reading_journeys(is_sqlite: bool) -> Select[Any]:
    return select(journeys.c.workspace_id, journeys.c.id).where(
        _owned(journeys, is_sqlite=is_sqlite), journeys.c.deleted_at.is_(None)
    )


async def known_journeys(connection: AsyncConnection, wanted: Collection[Owned]) -> set[Owned]:
    """Those of ``wanted`` that exist."""
    if not wanted:
        return set()
    rows = await connection.execute(_reading_journeys(_is_sqlite(connection)), _pairs(wanted))
    return {(row[0], row[1]) for row in rows}


AddressKey = tuple[UUID, Channel, bytes]
"""(workspace id, channel, digest of the address)."""


_WANTED: Final[Columns] = {"workspace_id": Uuid(), "channel": Text(), "address_digest": LargeBinary()}


@cache
def _reading_suppressions(is_sqlite: bool) -> Select[Any]:
    reading = select(
        suppressions.c.workspace_id,
        suppressions.c.channel,
        suppressions.c.address_digest,
        suppressions.c.topic,
        suppressions.c.kind,
    ).where(or_(suppressions.c.expires_at.is_(None), suppressions.c.expires_at > now_ms()))
    if is_sqlite:  # there JSON carries no digest
        return reading.where(*(among_given(suppressions.c[each], each, is_sqlite=True) for each in _WANTED))
    # Joined, so that each is looked up by its whole key: see ``kept_to``.
    wanted = recordset("wanted", _WANTED, is_sqlite=False)
    return reading.join_from(wanted, suppressions, and_(*(wanted.c[each] == suppressions.c[each] for each in _WANTED)))


async def suppressed(
    connection: AsyncConnection, wanted: Collection[AddressKey]
) -> dict[AddressKey, dict[str, SuppressionKind]]:
    """What stands against each address now, by topic ('' covers the channel); addresses with nothing are left out."""
    if not wanted:
        return {}
    keys = set(wanted)
    if is_sqlite := _is_sqlite(connection):
        given = {each: list(set(values)) for each, values in zip(_WANTED, zip(*keys, strict=True), strict=True)}
    else:
        given = parameters("wanted", _WANTED, list(keys), is_sqlite=False)
    rows = await connection.execute(_reading_suppressions(is_sqlite), given)
    found: dict[AddressKey, dict[str, SuppressionKind]] = {}
    for workspace_id, channel, digest, topic, kind in rows:
        standing = found.setdefault((workspace_id, Channel(channel), digest), {})
        if standing.get(topic) is not SuppressionKind.DEAD:
            standing[topic] = SuppressionKind(kind)
    return found


def consent(standing: dict[str, SuppressionKind], topic: str | None) -> Consent:
    """What ``suppressed`` found, read for a message about ``topic``."""
    if not standing:
        return _NO_OBJECTION
    return Consent(
        dead=SuppressionKind.DEAD in standing.values(),
        opted_out=any(
            kind is SuppressionKind.OPT_OUT and covered in ("", topic or "") for covered, kind in standing.items()
        ),
    )


async def store(connection: AsyncConnection, new: Sequence[NewMessage]) -> list[Stored]:
    """Store messages, contents and idempotency keys; in order. Repeating it with the same rows changes nothing."""
    used = await _reserve_keys(connection, [message for message in new if message.draft.idempotency is not None])
    results = [_outcome(message.draft, used) for message in new] if used else [_STORED] * len(new)
    accepted = [message for message, outcome in zip(new, results, strict=True) if outcome is _STORED]
    if accepted:
        await new_messages.insert(connection, accepted)
    return results


def _outcome(draft: Draft, used: Mapping[tuple[UUID, str], tuple[UUID, bytes]]) -> Stored:
    own = draft.idempotency
    if own is None:
        return _STORED
    owner, fingerprint = used.get((draft.workspace_id, own.key), (draft.id, own.fingerprint))
    return _STORED if owner == draft.id else Stored(replay_of=owner, same_request=own.fingerprint == fingerprint)


async def _reserve_keys(
    connection: AsyncConnection, keyed: Sequence[NewMessage]
) -> dict[tuple[UUID, str], tuple[UUID, bytes]]:
    """Insert the keys; returns, for each, the message that owns it and that one's fingerprint."""
    if not keyed:
        return {}
    rows: list[dict[str, Any]] = [
        {
            "workspace_id": message.draft.workspace_id,
            "key": own.key,
            "fingerprint": own.fingerprint,
            "message_id": message.draft.id,
            "created_at": message.queued_at,
        }
        for message in keyed
        if (own := message.draft.idempotency) is not None
    ]
    rows.sort(key=itemgetter("workspace_id", "key"))
    await idempotency.take(connection, rows)
    return await owners_of_keys(connection, {(row["workspace_id"], row["key"]) for row in rows})


@cache
def _reading_keys(is_sqlite: bool) -> Select[Any]:
    return select(
        idempotency_keys.c.workspace_id,
        idempotency_keys.c.key,
        idempotency_keys.c.message_id,
        idempotency_keys.c.fingerprint,
    ).where(
        among_given(idempotency_keys.c.workspace_id, "workspace_ids", is_sqlite=is_sqlite),
        among_given(idempotency_keys.c.key, "keys", is_sqlite=is_sqlite),
    )


async def owners_of_keys(
    connection: AsyncConnection, keys: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], tuple[UUID, bytes]]:
    """For each idempotency key (workspace id, key) that was used: its message and that request's fingerprint."""
    if not keys:
        return {}
    found = await connection.execute(
        _reading_keys(_is_sqlite(connection)),
        {"workspace_ids": list({workspace_id for workspace_id, _ in keys}), "keys": list({key for _, key in keys})},
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in found}
