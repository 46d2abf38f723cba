"""The audit log of a workspace: who changed what, and when."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api_shim import problems
from api_shim.operations import Call, Operation, Reply, asking
from api_shim.problems import FieldError, Problem
from api_shim.workspaces.nouns import BASE
from api_shim.workspaces.paging import Moment, PageQuery, Pagination
from models import ids
from models.audit import Action, Ending, actor, thing
from models.ids import Kind
from models.store import audit
from models.store.audit import EntryFilter, EntryRow
from models.timestamps import from_datetime, show
from models.vocabulary import Scope

_TIME = Annotated[
    str | None,
    Meta(description="RFC 3339; `since` is included, `until` is not.", extra_json_schema={"format": "date-time"}),
]


class AuditQuery(PageQuery, rename="camel"):
    """Which entries: those of which everything that is given holds."""

    actor: Annotated[str | None, Meta(description="`usr_…`, `key_…`, `command` or `nobody`.")] = None
    action: Action | None = None
    outcome: Ending | None = None
    object_id: Annotated[str | None, Meta(description="The id of what it was done to.")] = None
    request_id: Annotated[str | None, Meta(description="As `X-Request-Id` had it.")] = None
    since: _TIME = None
    until: _TIME = None


class AuditEntryView(msgspec.Struct, rename="camel"):
    """An entry: who did what to which object, when, and how that ended.

    ``actor``: a person (``usr_…``), a key (``key_…``), ``command`` for the command line on the machine of the database,
    or ``nobody`` for who did not prove who they are. ``objectId`` is null where it is the workspace itself, or nobody
    knows. ``details``: names of changed fields, numbers and words of ours; never a secret, an address or a text.
    """

    id: str
    at: str
    actor: str
    action: Action
    outcome: Ending
    object_id: str | None
    details: dict[str, str | int | list[str]]
    request_id: str | None


class AuditList(msgspec.Struct):
    """A page of entries, the newest first."""

    data: list[AuditEntryView]
    pagination: Pagination


def entry_view(row: EntryRow) -> AuditEntryView:
    """An entry as it is shown."""
    return AuditEntryView(
        id=ids.show(Kind.AUDIT_ENTRY, row.id),
        at=show(row.at),
        actor=row.actor.shown(),
        action=row.action,
        outcome=row.ending,
        object_id=None if row.thing is None else row.thing.shown(),
        details=row.details,
        request_id=row.request_id,
    )


async def list_all(call: Call, query: AuditQuery) -> Reply:
    """A page of entries, the newest first."""
    since, until = _moment(query.since, "since"), _moment(query.until, "until")
    by = None if query.actor is None else actor(query.actor)
    about = None if query.object_id is None else thing(query.object_id)
    if (by is None) != (query.actor is None) or (about is None) != (query.object_id is None):
        return Reply(AuditList(data=[], pagination=Pagination.of(query, 0)))
    wanted = EntryFilter(
        actor=by,
        action=query.action,
        ending=query.outcome,
        thing=about,
        request_id=query.request_id,
        since=since,
        until=until,
    )
    async with call.services.database.read() as connection:
        rows, total = await audit.page(connection, call.workspace_id, wanted, limit=query.limit, offset=query.offset)
    return Reply(AuditList(data=[entry_view(row) for row in rows], pagination=Pagination.of(query, total)))


def _moment(text: str | None, name: str) -> int | None:
    """Milliseconds (UTC); raises Problem (400) for what is no time."""
    try:
        return None if text is None else from_datetime(msgspec.convert(text, Moment))
    except msgspec.ValidationError:
        expected = FieldError("expected a time with its zone, as in 2026-01-15T10:00:00Z", parameter=name)
        raise Problem(problems.INVALID_PARAMETER, errors=(expected,)) from None


OPERATIONS: Final = (
    Operation(
        "GET",
        f"{BASE}/audit",
        summary="List who changed what in the workspace, the newest first",
        tag="Audit log",
        scope=Scope.ADMIN,
        responses={200: AuditList},
        **asking(AuditQuery, list_all),
    ),
)
