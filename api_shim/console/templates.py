"""Templates: which there are, their versions, and how each would look to a reader on a channel."""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from api_shim import problems
from api_shim.console.forms import refusal, tried
from api_shim.console.listing import ListQuery, paged, place_of
from api_shim.console.pages import BELOW, Page, PageCall, Values
from api_shim.console.rendering import framed_mail
from api_shim.decoding import decode
from api_shim.filling import compiled
from api_shim.operations import Call, Operation
from api_shim.problems import Problem
from api_shim.replies import Reply
from api_shim.workspaces import templates as api
from api_shim.workspaces.stored import fetch_in_use
from api_shim.workspaces.template_types import PreviewRequest, PreviewView
from models import ids
from models.admission import OPT_OUT_VARIABLE, PREFERENCES_VARIABLE
from models.ids import Kind
from models.parts import ANY, part_for
from models.store import listed, template_versions, templates
from models.store.templates import TemplateRow
from models.timestamps import show
from models.vocabulary import Channel, Scope

_PATH: Final = "/templates"
_ONE: Final = f"{_PATH}/{{templateId}}"
_FRAMED: Final = f"{_ONE}/preview"
_VERSIONS: Final = 20
_OURS: Final = frozenset({OPT_OUT_VARIABLE, PREFERENCES_VARIABLE})
_LONGEST_VALUES: Final = 4_000


class TemplateQuery(msgspec.Struct):
    """Which version is shown, and for whom.

    ``sample``: a JSON object of values; without it each name stands for itself. ``below``: the versions with lower
    numbers are listed.
    """

    version: str = ""
    channel: str = ""
    locale: str = ""
    contact: str = ""
    sample: str | None = None
    below: str = ""


async def view(call: PageCall) -> Values:
    """A page of templates, the newest first."""
    query = call.query(ListQuery)
    async with call.services.database.read() as connection:
        page = await listed.of_templates(connection, call.workspace_id, place_of(query, Kind.TEMPLATE))
    rows = [(ids.show(Kind.TEMPLATE, row.id), row.name, row.version, show(row.changed_at)) for row in page.rows]
    return {"rows": rows, **paged(page, query, Kind.TEMPLATE)}


async def one(call: PageCall) -> Values:
    """A template at a version, as a reader would get it."""
    query = call.query(TemplateQuery)
    current, row = await _wanted(call, query)
    async with call.services.database.read() as connection:
        versions = await template_versions.page(
            connection, call.workspace_id, row.id, below=_number(query.below), most=_VERSIONS + 1
        )
    came = await tried(_preview(call, row, query))
    problem = came if isinstance(came, Problem) else None
    preview = None if isinstance(came, Problem) else came
    given = {"version": row.version, "channel": query.channel, "locale": query.locale, "contact": query.contact}
    at = f"{call.here}{_PATH}/{ids.show(Kind.TEMPLATE, row.id)}"
    frame = urlencode({name: value for name, value in given.items() if value} | {"sample": _values(row, query)})
    return {
        "at": at,
        "template_name": current.name,
        "current": current.version,
        "version": row.version,
        "versions": [(each.version, show(each.created_at)) for each in versions[:_VERSIONS]],
        "more_versions": versions[_VERSIONS - 1].version if len(versions) > _VERSIONS else None,
        "parts": [(channel, sorted(by_locale)) for channel, by_locale in sorted(row.parts.items())],
        "locales": sorted({locale for by_locale in row.parts.values() for locale in by_locale} - {ANY}),
        "channels": list(Channel),
        "query": query,
        "values": _values(row, query),
        "preview": preview,
        "framed": preview is not None and _is_mail(query, preview),
        "frame": f"{at}/preview?{frame}",
        **refusal(problem),
    }


async def frame(call: Call) -> Reply:
    """The HTML of a mail, for the frame in the page."""
    query = call.query(TemplateQuery)
    _, row = await _wanted(call, query)
    preview = await _preview(call, row, query)
    if not _is_mail(query, preview):
        raise problems.not_found("page")
    return framed_mail(preview.body)


async def _wanted(call: Call, query: TemplateQuery) -> tuple[TemplateRow, TemplateRow]:
    """The template, and the version of it that is asked for; raises Problem (404)."""
    current = await fetch_in_use(call, Kind.TEMPLATE, "template", templates.get)
    if not query.version:
        return current, current
    number = _number(query.version)
    async with call.services.database.read() as connection:
        row = None if number is None else await template_versions.get(connection, call.workspace_id, current.id, number)
    if row is None:
        raise problems.not_found("version")
    return current, row


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


async def _preview(call: Call, row: TemplateRow, query: TemplateQuery) -> PreviewView:
    given = _values(row, query)
    if len(given) > _LONGEST_VALUES:
        raise problems.invalid(f"at most {_LONGEST_VALUES:,} characters", "#/sample")
    try:
        values = decode(given.encode() or b"{}", dict[str, Any])
    except Problem:
        raise problems.invalid('no JSON object, as in {"firstName": "Ann"}', "#/sample") from None
    fields = {"channel": query.channel, "locale": query.locale, "contactId": query.contact.strip()}
    request = decode(
        msgspec.json.encode({"attributes": values} | {name: text for name, text in fields.items() if text}),
        PreviewRequest,
    )
    return await api.preview_of(call, row, request)


def _values(row: TemplateRow, query: TemplateQuery) -> str:
    """The sample values as they are typed; where nobody else has any, each name that is asked for stands for itself."""
    if query.sample is not None:
        return query.sample.strip()
    if query.contact:
        return "{}"
    part = part_for(row.parts, query.channel or ANY, query.locale or None)
    names = compiled(part.get("subject"), part.get("body"), "text").names - _OURS
    return msgspec.json.format(msgspec.json.encode({name: name for name in sorted(names)})).decode()


def _is_mail(query: TemplateQuery, preview: PreviewView) -> bool:
    return preview.format == "html" and query.channel in ("", Channel.EMAIL)


PAGES: Final = (
    Page(_PATH, "templates.html", view, title="Templates", scope=Scope.ADMIN, query=ListQuery),
    Page(_ONE, "template.html", one, scope=Scope.ADMIN, query=TemplateQuery, frames=True),
)
OPERATIONS: Final = (
    Operation(
        "GET",
        f"{BELOW}{_FRAMED}",
        frame,
        summary="The HTML of a mail",
        tag="Console",
        scope=Scope.ADMIN,
        query=TemplateQuery,
        needs_session=True,
    ),
)
