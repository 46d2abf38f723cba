"""What people and keys do, written into the audit log: in the transaction of the change itself."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from msgspec import UNSET
from msgspec.structs import fields
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.problems import Problem
from models import ids
from models.audit import NOBODY, Action, Actor, ActorKind, Details, Ending, Thing
from models.errors import StorageUnavailable
from models.ids import Kind
from models.store import audit, users
from models.store.audit import NewEntry

if TYPE_CHECKING:
    from api_shim.operations import Call

REQUEST_ID: Final = "X-Request-Id"
_OF_A_CLIENT: Final = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_REMEMBERED_S: Final = 60.0
_MOST_REMEMBERED: Final = 1000
_NO_USER: Final = UUID(int=0)

log = structlog.get_logger("api_shim")


class Change:
    """One change under way: ``connection`` is its transaction; ``thing`` and ``details`` go into its entry.

    ``happened``: False where nothing was changed after all; then there is no entry.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.thing: Thing | None = None
        self.details: Details = {}
        self.happened = True

    def of(self, kind: Kind, id_: UUID, /, **details: str | int | list[str]) -> None:
        """Say what is changed, and what the entry is to tell of it: never a secret, an address or a text."""
        self.thing = Thing(kind, id_)
        self.details |= details


@asynccontextmanager
async def changing(call: "Call", action: Action) -> AsyncIterator[Change]:
    """A writing transaction in the caller's workspace; at its end the entry that says so, then the commit."""
    async with call.services.database.write() as connection:
        change = Change(connection)
        yield change
        if change.happened:
            entry = NewEntry(
                workspace_id=call.workspace_id,
                actor=call.caller.actor,
                action=action,
                thing=change.thing,
                details=_given(call) | change.details,
                request_id=request_id(call),
            )
            await audit.add(connection, entry)


def _given(call: "Call") -> Details:
    """Of a change of something that stands, the names of the fields that the request gives."""
    body = call.given
    if body is None or not call.changes:
        return {}
    return {"fields": [each.encode_name for each in fields(body) if getattr(body, each.name) is not UNSET]}


async def of_account(
    connection: AsyncConnection, call: "Call", action: Action, user_id: UUID | None, ending: Ending = Ending.DONE
) -> None:
    """An entry in each of a person's workspaces; in none where nobody knows whose account was meant.

    It is the same work for both: how long it takes does not tell whether there is such an account.
    """
    proved = ending is Ending.DONE or call.session is not None
    known = None if user_id is None else Thing(Kind.USER, user_id)
    theirs: list[UUID | None] = [each.id for each in await users.workspaces_of(connection, user_id or _NO_USER)]
    entries = [
        NewEntry(
            workspace_id=workspace_id,
            actor=Actor(ActorKind.USER, user_id) if proved and user_id is not None else NOBODY,
            action=action,
            ending=ending,
            thing=known,
            request_id=request_id(call),
        )
        for workspace_id in theirs or [None]
    ]
    await audit.add(connection, *entries)


def request_id(call: "Call") -> str:
    """The request's own id, as its client or a proxy names it in ``X-Request-Id``, else a new one; it is answered."""
    if call.request_id is None:
        given = call.request.headers.get(REQUEST_ID, "")
        call.request_id = given if _OF_A_CLIENT.fullmatch(given) else f"req_{ids.encode(ids.new_id())}"
    return call.request_id


class Refusals:
    """Writes down who asked to change what their scopes do not allow: once a minute for each, in this process.

    A program that is set up wrongly asks again with every message; one entry tells as much as a million.
    """

    def __init__(self) -> None:
        self._noted: dict[tuple[Actor, str], float] = {}

    async def note(self, call: "Call", operation: str, problem: Problem) -> None:
        """Write an entry where the problem is such a refusal; ``operation``: its method and path."""
        if call.principal is None or problem.type is not problems.MISSING_SCOPE or operation.startswith("GET "):
            return
        actor, now = call.principal.actor, time.monotonic()
        if self._noted.get((actor, operation), float("-inf")) > now - _REMEMBERED_S:
            return
        if len(self._noted) >= _MOST_REMEMBERED:
            self._noted.clear()
        self._noted[actor, operation] = now
        entry = NewEntry(
            workspace_id=call.principal.workspace_id,
            actor=actor,
            action=Action.SCOPE_MISSING,
            ending=Ending.REFUSED,
            details={"operation": operation},
            request_id=request_id(call),
        )
        try:
            async with call.services.database.write() as connection:
                await audit.add(connection, entry)
        except (StorageUnavailable, SQLAlchemyError) as error:
            # It is refused all the same.
            log.warning("audit.refusal_not_noted", error=type(error).__name__)
