"""What a reader's side reports by our own links: the beacons of service workers (``/sw.js``)."""

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from api_shim import incoming, problems
from api_shim.decoding import decode, milliseconds
from api_shim.operations import Call, Operation, Reply
from api_shim.workspaces.nouns import BAD_BODY
from api_shim.workspaces.paging import Moment
from models.events import ParsedEvent
from models.evidence import Provider
from models.store import workspaces
from models.tokens import Purpose, Ref
from models.vocabulary import EventType

_TAG: Final = "Web push"
_MOST_BYTES: Final = 1024
# A service worker is any site's. It reads nothing here, and the token alone counts.
_ANY_SITE: Final = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT: Final = _ANY_SITE | {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Max-Age": "86400",
}

_TYPES: Final[Mapping[str, EventType]] = {
    "opened": EventType.OPENED,
    "clicked": EventType.CLICKED,
    "closed": EventType.IGNORED,
}


class Beacon(msgspec.Struct, forbid_unknown_fields=True):
    """What a person did with a notification.

    ``opened``: clicked or dismissed it, and so has seen it; that it was displayed does not count. ``clicked``: followed
    it. ``closed``: dismissed it, which is kept and changes nothing.
    """

    type: Literal["opened", "clicked", "closed"]
    at: Moment | None = None


async def beacon(call: Call) -> Reply:
    """Take in a beacon: stored once per message, run and type and applied, then answered.

    Raises Problem (404) where the token is none of ours, or its message is gone.
    """
    keyring = await call.services.keyring()
    ref = keyring.tokens.read(Purpose.BEACON, call.path("token"))
    if ref is None:
        raise problems.not_found("message")
    raw = await call.body(_MOST_BYTES)
    parsed = _event(ref, decode(raw, Beacon), raw)
    async with call.services.database.read() as connection:
        workspace_id = await workspaces.of_message(connection, ref.message_id)
    if workspace_id is None:
        raise problems.not_found("message")
    await incoming.store(
        call.services, [parsed], workspace_id=workspace_id, source_id=workspace_id, provider=Provider.WIREROOM
    )
    return Reply(headers=_ANY_SITE)


async def preflight(call: Call) -> Reply:
    """What a browser asks before a page of another site posts JSON (Fetch, section 3.3)."""
    return Reply(headers=_PREFLIGHT)


def _event(ref: Ref, said: Beacon, raw: bytes) -> ParsedEvent:
    return ParsedEvent(
        type=_TYPES[said.type],
        provider_event=said.type,
        dedupe=hashlib.sha256(f"beacon|{ref.message_id}|{ref.run}|{said.type}".encode()).digest(),
        raw=raw,
        at=milliseconds(said.at, "#/at"),
        message_ref=ref.message_id,
        run=ref.run,
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        "/t/p/{token}",
        beacon,
        summary="Report what a person did with a push message, as our service worker does",
        tag=_TAG,
        scope=None,
        request=Beacon,
        request_media=("application/json", "text/plain"),
        responses={204: None},
        errors=(*BAD_BODY, problems.NOT_FOUND),
    ),
    Operation(
        "OPTIONS",
        "/t/p/{token}",
        preflight,
        summary="Whether another site's page may report; any may",
        tag=_TAG,
        scope=None,
        responses={204: None},
    ),
)
