"""The JSON of an inbox, as its owner's page reads it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api_shim.text_forms import NUMBER

SHORTEST_TTL_S = 60
LONGEST_TTL_S = 30 * 86_400
USUAL_TTL_S = 86_400


class InboxTokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    """For how long the inbox may be read, in seconds: a minute to 30 days."""

    ttl: Annotated[int, Meta(ge=SHORTEST_TTL_S, le=LONGEST_TTL_S)] = USUAL_TTL_S


class InboxTokenView(msgspec.Struct, rename="camel"):
    """What the contact's page shows to read the inbox. It is not kept and cannot be called back, but it ends."""

    token: str
    expires_at: str


class InboxQuery(msgspec.Struct, rename="camel"):
    """Which items of the inbox."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Items per page.")] = 20
    before: Annotated[str, Meta(description="The id of the last item of the page before: `next`.")] | None = None
    archived: Annotated[bool, Meta(description="Those that were archived, instead of those that were not.")] = False


class StreamQuery(msgspec.Struct, rename="camel"):
    """From where on to be told of changes."""

    token: Annotated[str, Meta(description="The inbox token: an `EventSource` sends no headers of ours.")] | None = None
    after: (
        Annotated[
            str,
            Meta(
                pattern=NUMBER,
                description="The `cursor` of `GET /inbox`. `Last-Event-ID` outranks it; without both, from now on.",
            ),
        ]
        | None
    ) = None


class InboxItemView(msgspec.Struct, rename="camel"):
    """An item. ``body`` is harmless HTML or text, as ``format`` says; ``url`` and ``icon`` are http or https.

    ``metadata`` is the message's own. ``unsubscribeUrl`` is null where the message cannot be opted out of.
    """

    id: str
    subject: str
    body: str
    format: Literal["html", "text"]
    url: str | None
    icon: str | None
    metadata: dict[str, Any]
    unsubscribe_url: str | None
    created_at: str
    expires_at: str | None
    read_at: str | None
    clicked_at: str | None
    archived_at: str | None


class InboxPage(msgspec.Struct, rename="camel"):
    """Items, the latest first. ``next`` is the ``before`` of the page that follows, null where none does.

    ``unread`` counts what was neither read nor archived, on all pages. ``cursor``: the stream's ``after``.
    """

    items: list[InboxItemView]
    next: str | None
    unread: int
    cursor: str


class InboxItemReply(msgspec.Struct, rename="camel"):
    """The item as it stands, and how many are unread."""

    item: InboxItemView
    unread: int


class InboxSummary(msgspec.Struct, rename="camel"):
    """What the stream's event ``inbox`` says."""

    unread: int
