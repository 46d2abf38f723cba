"""The list of messages, with filters; pages begin at a message, so that none moves while new ones arrive."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.words import one_of
from api_shim.workspaces.contact_types import ContactView
from api_shim.workspaces.views import message_view
from models import ids
from models.faults import Fault
from models.ids import Kind
from models.store import campaigns, contact_terms, contacts, message_views
from models.store.contacts import ContactFilter, ContactRow
from models.store.message_lists import NEWEST_FIRST, Anchor
from models.store.message_views import ListedPage, MessageFilter
from models.subject_words import words_of
from models.vocabulary import Channel, Scope, Status

_ROWS: Final = 50
_MOST_WORDS: Final = 8
_MOST_CHOICES: Final = 8
_MOST_CAMPAIGNS: Final = 100
_NOTHING: Final = ListedPage([], preceded=False, followed=False)


class ListQuery(msgspec.Struct):
    """What is looked for, as forms send it: a field that is left empty asks for nothing.

    ``contact``: an id, or the beginnings of words of a name, an address or an external id. ``held``: anything for held
    messages alone. ``before`` and ``after``: the message at which the page ends or begins.
    """

    channel: str = ""
    status: str = ""
    subject: str = ""
    contact: str = ""
    campaign: str = ""
    held: str = ""
    fault: str = ""
    before: str = ""
    after: str = ""


class Chosen(msgspec.Struct, frozen=True):
    """The contact that is meant: ``contact_id``, or ``choices`` where several may be."""

    contact_id: UUID | None = None
    choices: Sequence[ContactRow] = ()


async def view(call: PageCall) -> Values:
    """A page of messages, the newest first."""
    query = call.query(ListQuery)
    async with call.services.database.read() as connection:
        chosen = await _chosen(connection, call, query.contact.strip())
        wanted = None if chosen is None or chosen.choices else _filter(query, chosen.contact_id)
        page = _NOTHING if wanted is None else await _page(connection, call, query, wanted)
        people = await contacts.get_many(connection, call.workspace_id, {row.contact_id for row in page.rows})
        offered, _ = await campaigns.campaign_page(connection, call.workspace_id, limit=_MOST_CAMPAIGNS, offset=0)
    given = {name: value for name, value in msgspec.structs.asdict(query).items() if value}
    filters = {name: value for name, value in given.items() if name not in ("before", "after")}
    return {
        "query": query,
        "filtered": bool(filters),
        "rows": [(message_view(row), name_of(people.get(row.contact_id))) for row in page.rows],
        "choices": [_choice(row, filters) for row in (chosen.choices if chosen else ())],
        "campaigns": [(ids.show(Kind.CAMPAIGN, each.id), each.name) for each in offered],
        "channels": list(Channel),
        "statuses": list(Status),
        "faults": list(Fault),
        "newer": _link(filters, "after", page.rows[0].id) if page.rows and page.preceded else None,
        "older": _link(filters, "before", page.rows[-1].id) if page.rows and page.followed else None,
    }


async def _page(connection: AsyncConnection, call: PageCall, query: ListQuery, wanted: MessageFilter) -> ListedPage:
    anchor = None
    for text, before in ((query.before, True), (query.after, False)):
        message_id = ids.parse(Kind.MESSAGE, text)
        if message_id is not None:
            anchor = Anchor(message_id, before)
    own = call.workspace_id
    return await message_views.read_page(connection, own, wanted, NEWEST_FIRST, limit=_ROWS, anchor=anchor)


async def _chosen(connection: AsyncConnection, call: PageCall, text: str) -> Chosen | None:
    """Whose messages are asked for; None where nobody's can be meant."""
    if not text:
        return Chosen()
    known = ids.parse(Kind.CONTACT, text)
    if known is not None:
        return Chosen(known)
    call.caller.need(Scope.CONTACTS)
    words = contact_terms.words(text)[:_MOST_WORDS]
    if not words:
        return None
    rows, number = await contacts.page(
        connection, call.workspace_id, ContactFilter(words=words), limit=_MOST_CHOICES, offset=0
    )
    if number == 1:
        return Chosen(rows[0].id)
    return Chosen(choices=rows) if rows else None


def _filter(query: ListQuery, contact_id: UUID | None) -> MessageFilter | None:
    """What the form asks for; None where no message can be meant. Raises Problem (400)."""
    campaign_id = ids.parse(Kind.CAMPAIGN, query.campaign)
    if query.campaign and campaign_id is None:
        return None
    return MessageFilter(
        channel=one_of(Channel, "channel", query.channel),
        status=one_of(Status, "status", query.status),
        contact_id=contact_id,
        campaign_id=campaign_id,
        held=True if query.held else None,
        fault=one_of(Fault, "fault", query.fault),
        phrases=tuple((word,) for word in words_of(query.subject)[:_MOST_WORDS]),
    )


def _link(filters: Mapping[str, str], name: str, message_id: UUID) -> str:
    return "?" + urlencode({**filters, name: ids.show(Kind.MESSAGE, message_id)})


def _choice(row: ContactRow, filters: Mapping[str, str]) -> tuple[str, str]:
    """A contact that may be meant: the way to their messages, and how they are called."""
    shown = ids.show(Kind.CONTACT, row.id)
    return "?" + urlencode({**filters, "contact": shown}), name_of(row) or shown


def name_of(row: ContactRow | ContactView | None) -> str | None:
    """What to call a contact; None where nothing is known of them."""
    if row is None:
        return None
    full = " ".join(part for part in (row.first_name, row.last_name) if part)
    return full or row.external_id or row.email


PAGES: Final[tuple[Page, ...]] = (Page("/messages", "messages.html", view, title="Messages", query=ListQuery),)
