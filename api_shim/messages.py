"""The "messages" dialect: the same messages under other names, read only."""

from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta

from api_shim import problems
from api_shim.operations import Call, Reply
from api_shim.problems import FieldError, Problem
from api_shim.workspaces.views import bounced_at
from models import ids
from models.ids import DIALECT_B, Kind
from models.lifecycle import effective
from models.store import message_views
from models.store.message_views import MessageFilter, MessageRow
from models.timestamps import show_optional
from models.vocabulary import Channel, Fact

_FILTERS: Final = {"cu": Kind.CONTACT, "j": Kind.JOURNEY, "c": Kind.CAMPAIGN}
_MOST_TERMS: Final = 20


class ListQuery(msgspec.Struct):
    """Which page of messages.

    ``query`` holds terms, separated by spaces and all ANDed: ``cu:`` customer, ``j:`` journey, ``c:`` campaign,
    ``m:`` medium; a bare word searches the subject. ``before`` comes with ``next`` and ``prev``: the page begins
    right below that message, whatever has arrived since.
    """

    limit: Annotated[int, Meta(ge=1, le=200, description="The maximum number of entries.")] = 25
    page: Annotated[int, Meta(ge=1, le=1_000_000_000, description="Page number, from 1.")] = 1
    query: Annotated[str, Meta(max_length=1000)] = ""
    before: str | None = None


class Message(msgspec.Struct):
    """A message sent to a customer. Every time is null until it happened."""

    id: str
    journey_id: str | None
    campaign_id: str | None
    customer_id: str
    medium: Channel
    step: int
    sent: str | None
    delivered: str | None
    bounced: str | None
    opened: str | None
    clicked: str | None
    complained: str | None


class MessagePage(msgspec.Struct):
    """A page of messages, the newest first; ``next`` and ``prev`` are addresses, null at the ends."""

    items: list[Message]
    next: str | None
    prev: str | None


def _shown(kind: Kind, value: UUID) -> str:
    return f"{DIALECT_B.get(kind, kind.value)}_{ids.encode(value)}"


def _view(row: MessageRow) -> Message:
    facts = row.facts
    return Message(
        id=_shown(Kind.MESSAGE, row.id),
        journey_id=None if row.journey_id is None else _shown(Kind.JOURNEY, row.journey_id),
        campaign_id=None if row.campaign_id is None else _shown(Kind.CAMPAIGN, row.campaign_id),
        customer_id=_shown(Kind.CONTACT, row.contact_id),
        medium=row.channel,
        step=row.step,
        sent=show_optional(effective(facts, Fact.SENT)),
        delivered=show_optional(effective(facts, Fact.DELIVERED)),
        bounced=show_optional(bounced_at(row)),
        opened=show_optional(effective(facts, Fact.OPENED)),
        clicked=show_optional(row.clicked_at),
        complained=show_optional(row.complained_at),
    )


async def get(call: Call) -> Reply:
    """One message."""
    message_id = call.path_id("messageId", Kind.MESSAGE, "message")
    async with call.services.database.read() as connection:
        row = await message_views.get(connection, call.workspace_id, message_id)
    if row is None:
        raise problems.not_found("message")
    return Reply(_view(row))


async def list_all(call: Call, query: ListQuery) -> Reply:
    """A page of messages."""
    wanted = _wanted(query)
    if wanted is None:
        return Reply(MessagePage(items=[], next=None, prev=None))
    offset = 0 if wanted.below is not None else (query.page - 1) * query.limit
    async with call.services.database.read() as connection:
        rows = await message_views.list_page(
            connection, call.workspace_id, wanted, limit=query.limit + 1, offset=offset
        )
        above: list[UUID] = []
        if rows and query.page > 1:
            everything = msgspec.structs.replace(wanted, below=None)
            above = await message_views.ids_above(
                connection, call.workspace_id, everything, rows[0].id, limit=query.limit + 1
            )
    items = rows[: query.limit]
    base = call.services.settings.public_url
    more = _address(base, query, query.page + 1, items[-1].id) if len(rows) > query.limit else None
    return Reply(MessagePage(items=[_view(row) for row in items], next=more, prev=_previous(base, query, above)))


def _wanted(query: ListQuery) -> MessageFilter | None:
    """The filter; None where it names an id that cannot exist. Raises Problem (400)."""
    found: dict[Kind, UUID] = {}
    words: list[str] = []
    channel: Channel | None = None
    terms = query.query.split()
    if len(terms) > _MOST_TERMS:
        raise _bad_query(f"at most {_MOST_TERMS} terms")
    for term in terms:
        key, colon, value = term.partition(":")
        if colon and key in _FILTERS:
            kind = _FILTERS[key]
            value_id = ids.parse(kind, value)
            if value_id is None or found.setdefault(kind, value_id) != value_id:
                return None
        elif colon and key == "m":
            medium = _medium(value)
            if channel not in (None, medium):
                return None
            channel = medium
        else:
            words.append(term)
    below = None if query.before is None else ids.parse(Kind.MESSAGE, query.before)
    if (below is None) != (query.before is None):
        return None
    return MessageFilter(
        channel=channel,
        contact_id=found.get(Kind.CONTACT),
        campaign_id=found.get(Kind.CAMPAIGN),
        journey_id=found.get(Kind.JOURNEY),
        subject_words=tuple(words),
        below=below,
    )


def _medium(value: str) -> Channel:
    try:
        return Channel(value)
    except ValueError:
        raise _bad_query(f"m: must be one of {', '.join(Channel)}") from None


def _bad_query(detail: str) -> Problem:
    return Problem(problems.INVALID_PARAMETER, errors=(FieldError(detail, parameter="query"),))


def _previous(base: str, query: ListQuery, above: list[UUID]) -> str | None:
    """The page that ends right above this one. Where fewer messages are above than fill it, it is the newest page."""
    if query.page == 1:
        return None
    return _address(base, query, query.page - 1, above[query.limit] if len(above) > query.limit else None)


def _address(base: str, query: ListQuery, page: int, below: UUID | None) -> str:
    values: dict[str, str | int] = {"limit": query.limit, "page": page}
    if query.query:
        values["query"] = query.query
    if below is not None:
        values["before"] = _shown(Kind.MESSAGE, below)
    return f"{base}/messages?{urlencode(values)}"
