"""Answers that a page of any site may read (Fetch, section 3.2): the token in the address is all the proof there is.

No browser adds it by itself, as it adds cookies, so a site that has it could ask as well from its own server.
"""

from typing import Final

import msgspec

from api_shim.operations import Call, Handler, Operation, Reply
from api_shim.problems import Problem

_READABLE: Final = {"Access-Control-Allow-Origin": "*"}
_ALLOWED: Final = _READABLE | {
    "Access-Control-Allow-Methods": "GET, POST, PUT",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Max-Age": "86400",
}


def for_any_site(handler: Handler) -> Handler:
    """The handler, with answers and problems that any page may read."""

    async def answer(call: Call) -> Reply:
        try:
            reply = await handler(call)
        except Problem as problem:
            problem.headers |= _READABLE
            raise
        return msgspec.structs.replace(reply, headers=_READABLE | reply.headers)

    return answer


def preflight(path: str, tag: str) -> Operation:
    """The question that a browser asks first, from the page of another site."""
    return Operation(
        "OPTIONS",
        path,
        _allow,
        summary="A page of any site may ask (CORS): the token alone counts",
        tag=tag,
        scope=None,
        responses={204: None},
    )


async def _allow(_call: Call) -> Reply:
    return Reply(headers=_ALLOWED)
