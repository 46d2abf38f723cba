"""Our own links in messages: ``/t/c/{token}`` is followed, ``/t/o/{token}`` is a mail's picture.

A target is never in the URL, so nobody can set it: it is read from what the message said when it was accepted, every
time anew.
"""

import hashlib
import time
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

from api_shim.hooks import store
from api_shim.operations import Call, Operation, Reply
from api_shim.opt_out import gone, no_such_link
from models.events import ParsedEvent
from models.store import contents, workspaces
from models.tokens import Links, Purpose, Ref
from models.vocabulary import EventType, Provider

_TAG: Final = "What comes back in"
_HTML: Final = "text/html; charset=utf-8"
_KEPT_APART_S: Final = 60
_PREFETCHING: Final = ("Purpose", "Sec-Purpose", "X-Moz", "X-Purpose")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
# One transparent pixel (GIF89a).
_PIXEL: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


async def click(call: Call) -> Reply:
    """Note the click and lead on. A HEAD, as of scanners, is led on and not noted."""
    keyring = await call.services.keyring()
    ref = keyring.tokens.read(Purpose.CLICK, call.path("token"))
    if ref is None:
        return no_such_link()
    async with call.services.database.read() as connection:
        said = await contents.of_message(connection, ref.message_id)
    if said is None:
        return gone()
    links = Links(keyring.tokens, call.services.settings.public_url, ref.message_id, ref.run)
    target = await call.services.link_targets.find(said, links, ref.link)
    if target is None:
        return no_such_link()
    if call.request.method != "HEAD":
        event = _event(ref, EventType.CLICKED, "click", machine=_is_prefetched(call.request.headers))
        owner = said.workspace_id
        await store(call, [event], workspace_id=owner, source_id=owner, provider=Provider.WIREROOM)
    return Reply(status=302, headers=_HEADERS | {"Location": target})


async def pixel(call: Call) -> Reply:
    """Note that the mail was opened, and show nothing. A HEAD is not noted."""
    keyring = await call.services.keyring()
    ref = keyring.tokens.read(Purpose.OPEN, call.path("token"))
    if ref is None:
        return no_such_link()
    async with call.services.database.read() as connection:
        owner = await workspaces.of_message(connection, ref.message_id)
    if owner is None:
        return no_such_link()
    if call.request.method != "HEAD":
        event = _event(ref, EventType.OPENED, "open", machine=_is_prefetched(call.request.headers))
        await store(call, [event], workspace_id=owner, source_id=owner, provider=Provider.WIREROOM)
    return Reply(_PIXEL, headers=_HEADERS, media_type="image/gif")


def _is_prefetched(headers: Mapping[str, str]) -> bool:
    """Whether a program looks ahead, and no person has followed the link yet."""
    return any(word in headers.get(name, "").lower() for name in _PREFETCHING for word in ("prefetch", "preview"))


def _event(ref: Ref, type_: EventType, said: str, *, machine: bool) -> ParsedEvent:
    """One a minute for each link: who clicks twice in a hurry has clicked once."""
    minute = int(time.time()) // _KEPT_APART_S
    key = f"{said}|{ref.message_id}|{ref.run}|{ref.link}|{machine}|{minute}"
    return ParsedEvent(
        type=type_,
        provider_event=said,
        dedupe=hashlib.sha256(key.encode()).digest(),
        raw=b"",
        at=None,
        message_ref=ref.message_id,
        run=ref.run,
        machine=machine,
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        "/t/c/{token}",
        click,
        summary="Follow a link of a message; the click is noted",
        tag=_TAG,
        scope=None,
        responses={302: None, 404: str, 410: str},
        response_media=_HTML,
    ),
    Operation(
        "GET",
        "/t/o/{token}",
        pixel,
        summary="The picture of a mail, one transparent pixel; that it was opened is noted",
        tag=_TAG,
        scope=None,
        responses={200: str, 404: str},
        response_media="image/gif",
        other_media={404: _HTML},
    ),
)
