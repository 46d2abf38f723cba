"""``GET /t/c/{token}``: a link of a message, followed through us. The target is never in the URL, so nobody can set it.

It is read from what the message said when it was accepted, every time anew.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Final

from api_shim.hooks import store
from api_shim.operations import Call, Operation, Reply
from api_shim.opt_out import no_such_link
from channels.telegram_options import targets as targets_of_buttons
from models.content import Content, decode
from models.events import ParsedEvent
from models.store import contents
from models.tokens import Purpose, Ref
from models.vocabulary import Channel, EventType, Provider

_KEPT_APART_S: Final = 60
_PREFETCHING: Final = ("Purpose", "Sec-Purpose", "X-Moz", "X-Purpose")

# The links of a message by number, of the channels whose links lead through us.
_TARGETS: Final[Mapping[Channel, Callable[[Content], list[str]]]] = {
    Channel.TELEGRAM: lambda content: targets_of_buttons(content.options)
}


async def click(call: Call) -> Reply:
    """Note the click and lead on. A HEAD, as of scanners, is led on and not noted."""
    keyring = await call.services.keyring()
    ref = keyring.tokens.read(Purpose.CLICK, call.path("token"))
    if ref is None:
        return no_such_link()
    async with call.services.database.read() as connection:
        said = await contents.of_message(connection, ref.message_id)
    targets = [] if said is None or said.channel not in _TARGETS else _TARGETS[said.channel](decode(said.source))
    if said is None or ref.link >= len(targets):
        return no_such_link()
    if call.request.method != "HEAD":
        event = _event(ref, machine=_is_prefetched(call.request.headers))
        owner = said.workspace_id
        await store(call, [event], workspace_id=owner, source_id=owner, provider=Provider.WIREROOM)
    headers = {"Location": targets[ref.link], "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Reply(status=302, headers=headers)


def _is_prefetched(headers: Mapping[str, str]) -> bool:
    """Whether a program looks ahead, and no person has followed the link yet."""
    return any(word in headers.get(name, "").lower() for name in _PREFETCHING for word in ("prefetch", "preview"))


def _event(ref: Ref, *, machine: bool) -> ParsedEvent:
    """One a minute for each link: who clicks twice in a hurry has clicked once."""
    minute = int(time.time()) // _KEPT_APART_S
    key = f"click|{ref.message_id}|{ref.run}|{ref.link}|{machine}|{minute}"
    return ParsedEvent(
        type=EventType.CLICKED,
        provider_event="click",
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
        tag="What comes back in",
        scope=None,
        responses={302: None, 404: str},
        response_media="text/html; charset=utf-8",
    ),
)
