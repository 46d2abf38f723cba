"""A message that is to be stored, and the rows that it becomes."""

from collections import Counter
from collections.abc import Sequence
from itertools import count, groupby
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from models.admission import Draft
from models.store import contents, turns
from models.store.bulk import insert_together
from models.subject_words import searchable
from models.tables import message_details, messages
from models.vocabulary import State

_GROUP: Final = attrgetter("group")
_VARYING: Final = (
    messages.c.id,
    messages.c.contact_id,
    messages.c.turn,
    message_details.c.message_id,
    message_details.c.subject,
    message_details.c.subject_words,
    message_details.c.address,
    message_details.c.address_digest,
    message_details.c.variables,
)


class NewMessage(msgspec.Struct, frozen=True):
    """A draft that is to be stored, and what was found for it. ``ready``: it may be claimed at once."""

    draft: Draft
    group: turns.Group
    queued_at: int
    due_at: int
    paused: bool
    ready: bool
    content_id: UUID
    content_source: bytes
    template_version_id: UUID | None
    subject: str | None
    address: str
    address_digest: bytes
    track_opens: bool
    track_clicks: bool
    variables: dict[str, Any]


async def insert(connection: AsyncConnection, new: Sequence[NewMessage]) -> None:
    """Insert messages and what they say, leaving alone what is there; those that are ready get their turns."""
    contents_by_id = {message.content_id: message for message in new}
    await contents.keep(connection, [text_of(message) for _, message in sorted(contents_by_id.items())])
    drafts = [message.draft for message in new]
    ids = [draft.id for draft in drafts]
    columns = _of_messages(new, drafts, ids) | {"turn": await _give_turns(connection, new)}
    parts = {messages: columns, message_details: _of_details(new, drafts, ids)}
    await insert_together(connection, parts, varying=_VARYING)


def text_of(message: NewMessage) -> dict[str, Any]:
    """What the message says, as a row of ``contents``."""
    return {
        "id": message.content_id,
        "workspace_id": message.draft.workspace_id,
        "source": message.content_source,
        "used_at": message.queued_at,
    }


def rows_of(message: NewMessage) -> tuple[dict[str, Any], dict[str, Any]]:
    """The message itself, without its turn, and its details."""
    new, drafts, ids = [message], [message.draft], [message.draft.id]
    of_message, of_details = _of_messages(new, drafts, ids), _of_details(new, drafts, ids)
    return {name: one for name, (one,) in of_message.items()}, {name: one for name, (one,) in of_details.items()}


async def _give_turns(connection: AsyncConnection, new: Sequence[NewMessage]) -> list[int | None]:
    """The turn of each; None where it may not be claimed yet."""
    # Neighbours nearly always share their group, and are compared faster than looked up.
    counts: Counter[turns.Group] = Counter()
    for group, alike in groupby(new, _GROUP):
        counts[group] += sum(message.ready for message in alike)
    next_turn = {group: count(first) for group, first in (await turns.allot(connection, counts)).items()}
    given: list[int | None] = []
    for group, alike in groupby(new, _GROUP):
        own = next_turn[group]
        given += [next(own) if message.ready else None for message in alike]
    return given


def _of_messages(new: Sequence[NewMessage], drafts: Sequence[Draft], ids: list[UUID]) -> dict[str, list[Any]]:
    # By columns, since a mapping for each row would cost more than all the rest of it.
    return {
        "id": ids,
        "workspace_id": [draft.workspace_id for draft in drafts],
        "contact_id": [draft.contact_id for draft in drafts],
        "campaign_id": [draft.campaign_id for draft in drafts],
        "journey_id": [draft.journey_id for draft in drafts],
        "channel": [draft.channel for draft in drafts],
        "lane": [message.group[1] for message in new],
        "state": [State.QUEUED] * len(new),
        "due_at": [message.due_at for message in new],
        "expires_at": [draft.expires_at for draft in drafts],
        "paused": [message.paused for message in new],
        "queued_at": [message.queued_at for message in new],
    }


def _of_details(new: Sequence[NewMessage], drafts: Sequence[Draft], ids: list[UUID]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "message_id": ids,
        "workspace_id": [draft.workspace_id for draft in drafts],
        "content_id": [message.content_id for message in new],
        "template_version_id": [message.template_version_id for message in new],
        "step": [draft.step for draft in drafts],
        "subject": [message.subject for message in new],
        "subject_words": [searchable(message.subject) for message in new],
        "address": [message.address for message in new],
        "address_digest": [message.address_digest for message in new],
        "topic": [draft.topic for draft in drafts],
        "essential": [draft.essential for draft in drafts],
        "on_unknown": [draft.on_unknown for draft in drafts],
        "track_opens": [message.track_opens for message in new],
        "track_clicks": [message.track_clicks for message in new],
        "variables": [message.variables for message in new],
        "metadata": [draft.metadata for draft in drafts],
    }
    traced = [draft.traceparent for draft in drafts]
    return columns | {"traceparent": traced} if any(traced) else columns
