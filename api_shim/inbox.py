"""The inbox as its owner's page reads it and acts in it."""

from collections.abc import Callable
from functools import partial

from api_shim import problems
from api_shim.decoding import check_names
from api_shim.inbox_access import Reader, Reading
from api_shim.inbox_types import InboxItemReply, InboxItemView, InboxPage, InboxQuery
from api_shim.operations import Call, Reply
from models import ids
from models.ids import Kind
from models.store import inbox
from models.store.inbox import Act, ItemRow
from models.timestamps import show, show_optional
from models.tokens import Links, TokenMaker

Viewer = Callable[[ItemRow], InboxItemView]


async def viewer(call: Call) -> Viewer:
    """How items are shown here."""
    keyring = await call.services.keyring()
    return partial(_view, keyring.tokens, call.services.settings.public_url)


def _view(tokens: TokenMaker, public_url: str, row: ItemRow) -> InboxItemView:
    unsubscribe_url = None if row.essential else Links(tokens, public_url, row.message_id, row.run).reader()
    return InboxItemView(
        id=ids.show(Kind.MESSAGE, row.message_id),
        subject=row.subject,
        body=row.body,
        format="html" if row.is_html else "text",
        url=row.url,
        icon=row.icon,
        metadata=row.metadata,
        unsubscribe_url=unsubscribe_url,
        created_at=show(row.created_at),
        expires_at=show_optional(row.expires_at),
        read_at=show_optional(row.read_at),
        clicked_at=show_optional(row.clicked_at),
        archived_at=show_optional(row.archived_at),
    )


async def list_items(call: Call, reader: Reader) -> Reply:
    """A page of items, the latest first."""
    check_names(call.request.query_params, InboxQuery)
    query = call.query(InboxQuery)
    before = None if query.before is None else ids.parse(Kind.MESSAGE, query.before)
    unknown = before is None and query.before is not None
    async with call.services.database.read() as connection:
        summary = await inbox.summary(connection, reader.contact_id)
        rows: list[ItemRow] = []
        if not unknown:
            rows = await inbox.page(
                connection, reader.contact_id, archived=query.archived, before=before, limit=query.limit + 1
            )
    shown = list(map(await viewer(call), rows[: query.limit]))
    following = shown[-1].id if len(rows) > query.limit else None
    return Reply(InboxPage(items=shown, next=following, unread=summary.unread, cursor=str(summary.cursor)))


def acting(what: Act) -> Reading:
    """The handler that notes what the owner did with the path's item; raises Problem (404)."""

    async def act(call: Call, reader: Reader) -> Reply:
        message_id = call.path_id("messageId", Kind.MESSAGE, "item")
        async with call.services.database.write() as connection:
            row = await inbox.act(connection, reader.workspace_id, reader.contact_id, message_id, what)
            unread = await inbox.unread(connection, [reader.contact_id])
        if row is None:
            raise problems.not_found("item")
        call.services.wakeups.poke("tracker", "events")
        view = await viewer(call)
        return Reply(InboxItemReply(item=view(row), unread=unread.get(reader.contact_id, 0)))

    return act
