"""The operations of the in-app inbox."""

from typing import Final

from api_shim import inbox, inbox_events, problems
from api_shim.inbox_access import for_readers, preflight
from api_shim.inbox_types import InboxItemReply, InboxPage, InboxQuery, StreamQuery
from api_shim.operations import Operation
from models.store.inbox import Act

_TAG: Final = "In-app inbox"
_REFUSED: Final = (problems.UNAUTHORIZED, problems.CROSS_ORIGIN)
_SUMMARIES: Final = {
    Act.READ: "Note that an item was shown: its message is OPENED",
    Act.CLICK: "Note that an item's link was followed: its message is CLICKED",
    Act.ARCHIVE: "Put an item away",
}


def _path(act: Act) -> str:
    return f"/inbox/{{messageId}}/{act.value}"


def _preflight(path: str) -> Operation:
    """The question that a browser asks first, from the page of another site."""
    return Operation(
        "OPTIONS",
        path,
        preflight,
        summary="Whether a page of another site may ask (CORS): one of `settings.allowedOrigins`",
        tag=_TAG,
        scope=None,
        responses={204: None},
        errors=(problems.CROSS_ORIGIN,),
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        "/inbox",
        for_readers(inbox.list_items),
        summary="List the items of an inbox, the latest first",
        tag=_TAG,
        scope=None,
        query=InboxQuery,
        responses={200: InboxPage},
        errors=_REFUSED,
        needs_inbox_token=True,
    ),
    _preflight("/inbox"),
    Operation(
        "GET",
        "/inbox/stream",
        for_readers(inbox_events.listen, inbox_events.token_of),
        summary="Listen to an inbox: events `item` (an item that is new or has changed) and `inbox` (how many are "
        "unread), until the token ends",
        tag=_TAG,
        scope=None,
        query=StreamQuery,
        responses={200: str},
        response_media=inbox_events.MEDIA_TYPE,
        headers=inbox_events.LAST_EVENT_ID,
        errors=(*_REFUSED, problems.INVALID_HEADER, problems.TOO_MANY_STREAMS),
    ),
    _preflight("/inbox/stream"),
    *(
        Operation(
            "POST",
            _path(act),
            for_readers(inbox.acting(act)),
            summary=_SUMMARIES[act],
            tag=_TAG,
            scope=None,
            responses={200: InboxItemReply},
            errors=(*_REFUSED, problems.NOT_FOUND),
            needs_inbox_token=True,
        )
        for act in Act
    ),
    *(_preflight(_path(act)) for act in Act),
)
