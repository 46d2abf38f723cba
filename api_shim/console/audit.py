"""The audit log: who did what and when, by people, keys and the command line."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.console.audit_words import ACTIONS, ENDINGS, PLACES, told
from api_shim.console.forms import answered
from api_shim.console.listing import page_number
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.words import one_of
from api_shim.workspaces import audit_log as api
from api_shim.workspaces.audit_log import AuditEntryView, AuditList, AuditQuery
from models import ids
from models.audit import COMMAND, NOBODY, Action, Ending, thing
from models.ids import Kind
from models.sandboxes import live_of
from models.store import keys, users
from models.vocabulary import Scope

_PATH: Final = "/audit"
_ROWS: Final = 50
_MOST_OFFERED: Final = 200
_OTHERS: Final = {COMMAND.shown(): "The command line", NOBODY.shown(): "Nobody who proved who they are"}


class LogQuery(msgspec.Struct):
    """What is looked for, as forms send it: a field that is left empty asks for nothing.

    ``object`` and ``request`` are ids; ``since`` and ``until`` are days (UTC), both included. ``page``: from 1.
    """

    actor: str = ""
    action: str = ""
    outcome: str = ""
    object: str = ""
    request: str = ""
    since: str = ""
    until: str = ""
    page: str = "1"


class Offered(msgspec.Struct, frozen=True):
    """Of whom the newest may be chosen: their ids as they are shown, and their names."""

    people: Mapping[str, str]
    keys: Mapping[str, str]

    def name_of(self, id_: str) -> str:
        """What to call a person, a key or somebody else; the id itself where nothing is known of it."""
        return self.people.get(id_) or self.keys.get(id_) or _OTHERS.get(id_) or id_


async def view(call: PageCall) -> Values:
    """A page of entries, the newest first."""
    query = call.query(LogQuery)
    found = answered(await api.list_all(call, _wanted(query)), AuditList)
    async with call.services.database.read() as connection:
        offered = await _offered(connection, call)
    filters = {name: value for name, value in msgspec.structs.asdict(query).items() if value and name != "page"}
    number, last = found.pagination.page, found.pagination.total_pages
    return {
        "query": query,
        "filtered": bool(filters),
        "moved": number > 1,
        "rows": [_line(call, entry, offered) for entry in found.data],
        "total": found.pagination.total,
        "offered": offered,
        "others": _OTHERS,
        "known": query.actor in (offered.people.keys() | offered.keys.keys() | _OTHERS.keys()),
        "actions": ACTIONS,
        "outcomes": list(Ending),
        "newer": _turned(filters, min(number - 1, max(last, 1))) if number > 1 else None,
        "older": _turned(filters, number + 1) if number < last else None,
    }


def _wanted(query: LogQuery) -> AuditQuery:
    """The API's own question; raises Problem (400)."""
    return AuditQuery(
        page=page_number(query.page),
        limit=_ROWS,
        actor=query.actor.strip() or None,
        action=one_of(Action, "action", query.action, ACTIONS),
        outcome=one_of(Ending, "outcome", query.outcome),
        object_id=query.object.strip() or None,
        request_id=query.request.strip() or None,
        since=f"{query.since}T00:00:00Z" if query.since else None,
        until=f"{query.until}T23:59:59.999Z" if query.until else None,
    )


def _turned(filters: Mapping[str, str], number: int) -> str:
    return "?" + urlencode({**filters, "page": number})


async def _offered(connection: AsyncConnection, call: PageCall) -> Offered:
    """The newest people and keys. Whoever belongs to a workspace belongs to its sandbox."""
    people, _ = await users.page(connection, live_of(call.workspace_id), limit=_MOST_OFFERED, offset=0)
    made, _ = await keys.page(connection, call.workspace_id, limit=_MOST_OFFERED, offset=0)
    return Offered(
        people={ids.show(Kind.USER, each.id): each.email for each in people},
        keys={ids.show(Kind.KEY, each.id): each.name for each in made},
    )


def _line(call: PageCall, entry: AuditEntryView, offered: Offered) -> dict[str, Any]:
    """An entry as it is shown: ``thing`` is what it was done to, ``page`` the page of that, where it has one."""
    found = None if entry.object_id is None else thing(entry.object_id)
    below = None if found is None or entry.action in ENDINGS else PLACES.get(found.kind)
    return {
        "at": entry.at,
        "outcome": entry.outcome,
        "what": ACTIONS[entry.action],
        "who": offered.name_of(entry.actor),
        "actor": entry.actor,
        "object": entry.object_id,
        "thing": None if entry.object_id is None else offered.name_of(entry.object_id),
        "page": None if below is None else f"{call.here}{below}/{entry.object_id}",
        "details": told(entry.details),
        "request": entry.request_id,
    }


PAGES: Final = (Page(_PATH, "audit.html", view, title="Audit log", scope=Scope.ADMIN, query=LogQuery),)
