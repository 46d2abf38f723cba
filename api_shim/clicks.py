"""Our own links in messages: ``/t/c/{token}`` is followed, ``/t/o/{token}`` is a mail's picture.

A target is never in the URL, so nobody can set it: it is read from what the message said when it was accepted, every
time anew.
"""

import hashlib
import time
from base64 import b64decode
from typing import Final
from uuid import UUID

from api_shim import networks
from api_shim.operations import Call, Operation, Reply
from api_shim.opt_out import gone, no_such_link
from models import hits
from models.events import ParsedEvent
from models.evidence import HitSignal, Provider
from models.hits import Seen
from models.store import contents, events
from models.tokens import Links, Purpose, Ref
from models.vocabulary import EventType

_TAG: Final = "What comes back in"
_HTML: Final = "text/html; charset=utf-8"
_SAME_HIT_S: Final = 2
_TYPES: Final = {hits.OPEN: EventType.OPENED, hits.CLICK: EventType.CLICKED}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
# One transparent pixel (GIF89a).
_PIXEL: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


async def click(call: Call) -> Reply:
    """Note the click and lead on. A HEAD is led on and not noted."""
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
    await _note(call, ref, hits.CLICK, said.workspace_id)
    return Reply(status=302, headers=_HEADERS | {"Location": target})


async def pixel(call: Call) -> Reply:
    """Note that the mail was opened, and show nothing. A HEAD is not noted."""
    keyring = await call.services.keyring()
    ref = keyring.tokens.read(Purpose.OPEN, call.path("token"))
    if ref is None:
        return no_such_link()
    async with call.services.database.read() as connection:
        owner = await contents.owner_of_message(connection, ref.message_id)
    if owner is None:
        return gone()
    await _note(call, ref, hits.OPEN, owner)
    return Reply(_PIXEL, headers=_HEADERS, media_type="image/gif")


async def _note(call: Call, ref: Ref, what: str, owner: UUID) -> None:
    """Keep what tells a person from a program; the tracker decides once the hit has settled.

    A HEAD asks where a link leads and goes there not: no visit.
    """
    if call.request.method == "HEAD":
        return
    seen = _seen(call, None if what == hits.OPEN else ref.link)
    async with call.services.database.write() as connection:
        if await events.has_room(
            connection,
            workspace_id=owner,
            message_id=ref.message_id,
            provider=Provider.WIREROOM,
            most=hits.MOST_KEPT,
        ):
            await events.insert(
                connection,
                workspace_id=owner,
                source_id=owner,
                provider=Provider.WIREROOM.value,
                events_=[_event(ref, what, seen)],
            )


def _seen(call: Call, link: int | None) -> Seen:
    request = call.request
    signals = hits.signals_of(request.headers, is_picture=link is None)
    host = "" if request.client is None else request.client.host
    network = networks.containing(call.services.settings.machine_nets, host)
    if network is None:
        return Seen(link, tuple(signals))
    return Seen(link, (*signals, HitSignal.NETWORK), network.name)


def _event(ref: Ref, what: str, seen: Seen) -> ParsedEvent:
    """One of each link in two seconds, a program's apart: who clicks twice in a hurry has clicked once."""
    verdict = hits.verdict_of(seen)
    moment = int(time.time()) // _SAME_HIT_S
    key = f"{what}|{ref.message_id}|{ref.run}|{ref.link}|{verdict.machine}|{moment}"
    return ParsedEvent(
        type=_TYPES[what],
        provider_event=what,
        dedupe=hashlib.sha256(key.encode()).digest(),
        raw=hits.keep(seen),
        at=None,
        message_ref=ref.message_id,
        run=ref.run,
        reason=verdict.reason,
        machine=verdict.machine,
        settles=True,
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
        responses={200: str, 404: str, 410: str},
        response_media="image/gif",
        other_media={404: _HTML, 410: _HTML},
    ),
)
