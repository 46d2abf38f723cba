"""An inbox as server-sent events (HTML, section 9.2): what is new, as it comes.

Two kinds: ``item``, one that is new or has changed, and ``inbox``, how many are unread. The id of both is the number
of the change that they stand behind, so that a browser that lost its connection says where to go on.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

import msgspec

from api_shim import problems
from api_shim.decoding import check_names
from api_shim.inbox import Viewer, viewer
from api_shim.inbox_access import Reader, is_allowed
from api_shim.inbox_stream import Stream
from api_shim.inbox_types import InboxSummary, StreamQuery
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from models.errors import StorageUnavailable
from models.store import inbox
from models.store.inbox import News

MEDIA_TYPE: Final = "text/event-stream"
LAST_EVENT_ID: Final = {"Last-Event-ID": "The `id` of the last event that arrived: what came after it follows."}

_HEARTBEAT_S: Final = 15.0
_RECONNECT_MS: Final = 2_000
_LONGEST_CURSOR: Final = 18


def token_of(call: Call) -> str | None:
    """The token of the query: an EventSource sends no headers of ours."""
    return call.request.query_params.get("token")


async def listen(call: Call, reader: Reader) -> Reply:
    """Tell of every change from a cursor on, as it comes."""
    check_names(call.request.query_params, StreamQuery)
    wanted = _cursor(call)
    async with call.services.database.read() as connection:
        summary = await inbox.summary(connection, reader.contact_id)
    # One that this inbox never gave, as after a restored backup, would wait for changes that were made already.
    after = summary.cursor if wanted is None else min(wanted, summary.cursor)
    headers = {"X-Accel-Buffering": "no"}
    if call.request.method == "HEAD":
        return Reply(b"", headers=headers, media_type=MEDIA_TYPE)
    view = await viewer(call)
    streams = call.services.inbox_streams
    stream = streams.open(reader.workspace_id, reader.contact_id, after)
    first = b"retry: %d\n%b" % (_RECONNECT_MS, _event("inbox", InboxSummary(summary.unread), after))
    return Reply(
        frames(stream, first, view, reader.ends_at, partial(_still_allowed, call, reader)),
        headers=headers,
        media_type=MEDIA_TYPE,
        ended=lambda: streams.leave(stream),
    )


def _cursor(call: Call) -> int | None:
    """Where the reader stands; raises Problem (400)."""
    header = call.request.headers.get("last-event-id")
    if header:
        if not (header.isascii() and header.isdigit() and len(header) <= _LONGEST_CURSOR):
            raise Problem(problems.INVALID_HEADER, "Last-Event-ID: the id of an event of this stream.")
        return int(header)
    after = call.query(StreamQuery).after
    return None if after is None else int(after)


async def _still_allowed(call: Call, reader: Reader) -> bool:
    try:
        return await is_allowed(call, reader)
    except StorageUnavailable:
        return True  # nothing comes meanwhile, and it is asked again


async def frames(
    stream: Stream,
    first: bytes,
    view: Viewer,
    ends_at: int,
    still_allowed: Callable[[], Awaitable[bool]],
    heartbeat_s: float = _HEARTBEAT_S,
) -> AsyncIterator[bytes]:
    """What a stream sends until ``ends_at`` (seconds since 1970), or until its site is no longer allowed.

    That is asked every ``heartbeat_s`` seconds, whether anything comes or not.
    """
    yield first
    ask_at = time.monotonic() + heartbeat_s
    while (left_s := ends_at - time.time()) > 0:
        news = await stream.take(min(heartbeat_s, left_s))
        if news is None and stream.ended:
            return
        if news is None or time.monotonic() >= ask_at:
            if not await still_allowed():
                return
            ask_at = time.monotonic() + heartbeat_s
        yield b":\n\n" if news is None else _shown(news, view)


def _shown(news: News, view: Viewer) -> bytes:
    items = [_event("item", view(item), item.change) for item in news.items]
    return b"".join([*items, _event("inbox", InboxSummary(news.unread), news.cursor)])


def _event(name: str, said: msgspec.Struct, cursor: int) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), cursor, msgspec.json.encode(said))
