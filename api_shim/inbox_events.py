"""An inbox as server-sent events (HTML, section 9.2): what is new, as it comes.

Two kinds: ``item``, one that is new or has changed, and ``inbox``, how many are unread. The id of both is the number
of the change that they stand behind, so that a browser that lost its connection says where to go on.
"""

import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from api_shim import problems
from api_shim.decoding import check_names
from api_shim.inbox import Viewer, viewer
from api_shim.inbox_access import Reader
from api_shim.inbox_stream import Stream
from api_shim.inbox_types import InboxSummary, StreamQuery
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from models.store import inbox

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
    stream = streams.open(reader.contact_id, after)
    first = b"retry: %d\n%b" % (_RECONNECT_MS, _event("inbox", InboxSummary(summary.unread), after))
    return Reply(
        _frames(stream, first, view, reader.ends_at),
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


async def _frames(stream: Stream, first: bytes, view: Viewer, ends_at: int) -> AsyncIterator[bytes]:
    yield first
    while (left_s := ends_at - time.time()) > 0:
        news = await stream.take(min(_HEARTBEAT_S, left_s))
        if news is not None:
            items = [_event("item", view(item), item.change) for item in news.items]
            yield b"".join([*items, _event("inbox", InboxSummary(news.unread), news.cursor)])
        elif stream.ended:
            return
        else:
            yield b":\n\n"


def _event(name: str, said: msgspec.Struct, cursor: int) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), cursor, msgspec.json.encode(said))
