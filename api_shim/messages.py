"""The "messages" dialect: the same messages under other names, read only."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from api_shim import problems
from api_shim.message_places import place_of, shown, shown_value
from api_shim.message_query import parse
from api_shim.operations import Call, Reply
from api_shim.workspaces.views import bounced_at
from models.ids import Kind
from models.lifecycle import effective
from models.store import message_views
from models.store.message_lists import Order, SortKey
from models.store.message_views import MessageRow
from models.timestamps import show_optional
from models.vocabulary import Channel, Fact


class ListQuery(msgspec.Struct):
    """Which page of messages.

    ``before`` or ``after`` come with ``next`` and ``prev``, and ``value`` with them where the list is sorted: the page
    begins right there, whatever has arrived since; ``page`` then only says its number.
    """

    limit: Annotated[int, Meta(ge=1, le=200, description="The maximum number of entries.")] = 25
    page: Annotated[int, Meta(ge=1, le=1_000_000_000, description="Page number, from 1.")] = 1
    query: Annotated[
        str,
        Meta(
            max_length=1000,
            description="Terms separated by spaces, all of which must hold: `cu:` customer, `j:` journey, "
            "`c:` campaign, `m:` medium. A bare word is looked for in the subject, in whatever case; words in quotes "
            'must stand in a row: `m:EMAIL "spring sale"`.',
        ),
    ] = ""
    sort: Annotated[SortKey, Meta(description="The property to sort by; those without it come last.")] = SortKey.ID
    order: Annotated[Literal["ASC", "DESC"], Meta(description="Ids sort by age: DESC is the newest first.")] = "DESC"
    before: Annotated[str, Meta(description="Only messages whose place in ascending order is before this one's.")] | (
        None
    ) = None
    after: Annotated[str, Meta(description="Only messages whose place in ascending order is after this one's.")] | (
        None
    ) = None
    value: Annotated[
        str, Meta(description="What `sort` was of the message `before` or `after`; left out for null.")
    ] | (None) = None


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


def _view(row: MessageRow) -> Message:
    facts = row.facts
    return Message(
        id=shown(Kind.MESSAGE, row.id),
        journey_id=None if row.journey_id is None else shown(Kind.JOURNEY, row.journey_id),
        campaign_id=None if row.campaign_id is None else shown(Kind.CAMPAIGN, row.campaign_id),
        customer_id=shown(Kind.CONTACT, row.contact_id),
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
    wanted = parse(query.query)
    order = Order(query.sort, query.order == "DESC")
    place = place_of(query.sort, before=query.before, after=query.after, value=query.value)
    if wanted is None or place is None:
        return Reply(MessagePage(items=[], next=None, prev=None))
    links = _Links(call.services.settings.public_url, query)
    async with call.services.database.read() as connection:
        page = await message_views.read_page(
            connection, call.workspace_id, wanted, order, limit=query.limit, number=query.page, anchor=place.anchor
        )
    return Reply(
        MessagePage(
            items=[_view(row) for row in page.rows],
            next=links.following(page.rows) if page.followed else None,
            prev=links.preceding(page.rows) if page.preceded else None,
        )
    )


class _Links:
    """The addresses of a page's neighbours."""

    def __init__(self, base: str, query: ListQuery) -> None:
        self._base = base
        self._query = query
        self._descending = query.order == "DESC"

    def following(self, rows: Sequence[MessageRow]) -> str:
        """The page that begins right behind these rows."""
        return self._address(self._query.page + 1, rows[-1], before=self._descending)

    def preceding(self, rows: Sequence[MessageRow]) -> str:
        """The page that ends right before them. What has arrived above page 1 is on a page 1 of its own."""
        number = max(1, self._query.page - 1)
        return self._address(number, rows[0] if rows else None, before=not self._descending)

    def _address(self, page: int, anchor: MessageRow | None, *, before: bool) -> str:
        query = self._query
        values: dict[str, str | int] = {"limit": query.limit, "page": page}
        for name in ("query", "sort", "order"):
            if (given := getattr(query, name)) != getattr(_DEFAULTS, name):
                values[name] = given
        if anchor is not None:
            values["before" if before else "after"] = shown(Kind.MESSAGE, anchor.id)
            if (value := shown_value(query.sort, anchor)) is not None:
                values["value"] = value
        return f"{self._base}/messages?{urlencode(values)}"


_DEFAULTS: Final = ListQuery()
