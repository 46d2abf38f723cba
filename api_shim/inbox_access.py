"""Who may read an inbox: whoever has its token, from a page of a site that the workspace allows.

A preflight (Fetch, section 3.2.2) carries no token, so it is answered to the sites of any workspace; what follows it
is answered to those of its own workspace alone. There are no cookies here.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import msgspec

from api_shim import problems
from api_shim.operations import Call, Handler, Reply
from api_shim.problems import Problem
from models.errors import WireroomError
from models.store import inbox

_PREFLIGHT_S: Final = 600
_ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
    "Access-Control-Max-Age": str(_PREFLIGHT_S),
}


class Reader(msgspec.Struct, frozen=True):
    """Whose inbox it is. ``ends_at``: when the token does, in seconds since 1970."""

    contact_id: UUID
    workspace_id: UUID
    ends_at: int


Reading = Callable[[Call, Reader], Awaitable[Reply]]
TokenOf = Callable[[Call], str | None]


def bearer(call: Call) -> str | None:
    """The token of the ``Authorization`` header."""
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def for_readers(handler: Reading, token_of: TokenOf = bearer) -> Handler:
    """A handler for the owner of the inbox; raises Problem (401, 403)."""

    async def answer(call: Call) -> Reply:
        headers = {"Cache-Control": "no-store", "Vary": "Origin"}
        origin = call.request.headers.get("origin")
        try:
            if origin is not None and await call.services.inbox_origins.holds(origin):
                headers["Access-Control-Allow-Origin"] = origin
            reader = await _reader(call, token_of(call))
            if not await is_allowed(call, reader):
                raise Problem(problems.CROSS_ORIGIN, "The workspace's allowedOrigins do not hold this page's site.")
            reply = await handler(call, reader)
        except Problem as problem:
            problem.headers |= headers
            raise
        except WireroomError as error:  # a page of another site could not read it without these headers
            unsaid = problems.problem_of(error)
            unsaid.headers |= headers
            raise unsaid from None
        return msgspec.structs.replace(reply, headers=headers | reply.headers)

    return answer


async def is_allowed(call: Call, reader: Reader) -> bool:
    """Whether the page that asks may read on: within 5 seconds, this follows the workspace's settings.

    What is no page sends no origin (RFC 6454, section 7.3) and is taken for what its token says.
    """
    origin = call.request.headers.get("origin")
    if origin is None or origin == call.services.inbox_origins.own:
        return True
    remembered = (await call.services.intake()).settings
    async with call.services.database.read() as connection:
        found = await remembered.read(connection, [reader.workspace_id])
    return origin in found[reader.workspace_id].allowed_origins


async def preflight(call: Call) -> Reply:
    """Whether a page of another site may ask at all; raises Problem (403)."""
    vary = {"Vary": "Origin"}
    origin = call.request.headers.get("origin")
    if origin is None:
        return Reply(headers=vary)
    if not await call.services.inbox_origins.holds(origin):
        raise Problem(problems.CROSS_ORIGIN, headers=vary)
    return Reply(headers=vary | {"Access-Control-Allow-Origin": origin, **_ALLOWED})


async def _reader(call: Call, token: str | None) -> Reader:
    grant = None if token is None else (await call.services.keyring()).inbox_tokens.read(token, time.time())
    if grant is None:
        raise _unauthorized()
    async with call.services.database.read() as connection:
        workspace_id = await inbox.workspace_of(connection, grant.contact_id)
    if workspace_id is None:
        raise _unauthorized()
    return Reader(grant.contact_id, workspace_id, grant.ends_at)


def _unauthorized() -> Problem:
    detail = "A valid inbox token is needed: Authorization: Bearer …, or for the stream the parameter token."
    return Problem(problems.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
