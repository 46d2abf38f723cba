"""Templates in the "workspace" dialect."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast
from uuid import UUID

from msgspec import UNSET, to_builtins
from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim import problems
from api_shim.audit import changing
from api_shim.filling import compiled, fill_subject, missing
from api_shim.operations import Call, Reply
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.stored import change_one, fetch_in_use, remove_one
from api_shim.workspaces.template_types import (
    PreviewRequest,
    PreviewView,
    TemplateList,
    TemplateParts,
    TemplatePatch,
    TemplateRequest,
    TextFormat,
)
from api_shim.workspaces.views import template_view
from models import ids
from models.admission import OPT_OUT_VARIABLE, PREFERENCES_VARIABLE, Recipient, attributes_of, format_of, variables_of
from models.audit import Action
from models.ids import Kind
from models.parts import ANY, Parts, default_of, joined, normal_locale, others_of, part_for
from models.store import settings, templates
from models.store.intake import recipients
from models.store.templates import TemplateRow

_MOST_PARTS: Final = 100
_NOBODY: Final = Recipient(
    id=UUID(int=0),
    email=None,
    telegram_chat_id=None,
    webhook_url=None,
    browsers=0,
    first_name=None,
    last_name=None,
    phone=None,
    external_id=None,
    locale=None,
    timezone=None,
    attributes={},
)


async def create(call: Call, request: TemplateRequest) -> Reply:
    """Make a template."""
    default = {"subject": request.subject, "body": request.body, "format": request.format}
    await _check(default, request.parts)
    parts = joined(default, _stored(request.parts))
    async with changing(call, Action.TEMPLATE_CREATE) as it:
        row = await templates.create(it.connection, call.workspace_id, name=request.name, parts=parts)
        it.of(Kind.TEMPLATE, row.id)
    return Reply(template_view(row))


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of templates, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await templates.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    return Reply(TemplateList(data=[template_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One template."""
    return Reply(template_view(await _in_use(call)))


async def patch(call: Call, request: TemplatePatch) -> Reply:
    """Change a template: a new version where a text changed."""
    texts = {"subject": request.subject, "body": request.body, "format": request.format}
    changes = {name: value for name, value in texts.items() if value is not UNSET}
    others = None if request.parts is UNSET else request.parts
    # Before the row is locked: what is wrong with a text depends on nothing that is stored.
    await _check(changes, others or {})
    given = None if others is None else _stored(others)

    async def change(connection: AsyncConnection, workspace_id: UUID, template_id: UUID) -> TemplateRow | None:
        old = await templates.lock(connection, workspace_id, template_id)
        if old is None:
            return None
        parts = joined(default_of(old.parts) | changes, others_of(old.parts) if given is None else given)
        name = old.name if request.name is UNSET else request.name
        return await templates.change(connection, workspace_id, old, name=name, parts=parts)

    return Reply(template_view(await change_one(call, Kind.TEMPLATE, "template", Action.TEMPLATE_CHANGE, change)))


async def remove(call: Call) -> Reply:
    """Take a template out of use."""
    await remove_one(call, Kind.TEMPLATE, "template", Action.TEMPLATE_REMOVE, templates.remove)
    return Reply()


async def preview(call: Call, request: PreviewRequest) -> Reply:
    """Show a template as its reader would get it."""
    return Reply(await preview_of(call, await _in_use(call), request))


async def preview_of(call: Call, row: TemplateRow, request: PreviewRequest) -> PreviewView:
    """A template, at whichever version, as its reader would get it; raises Problem (404), Refused (422)."""
    recipient, locale = await _reader(call, request)
    part = part_for(row.parts, request.channel or ANY, locale)
    body = part["body"]
    form = cast("TextFormat", part["format"] or format_of(body))
    texts = compiled(part["subject"], body, form)
    variables = variables_of(texts.names, _values(recipient, request.attributes), as_text=not texts.is_liquid)
    for name, path in ((OPT_OUT_VARIABLE, "preview"), (PREFERENCES_VARIABLE, "preview/preferences")):
        if name in texts.names:
            variables[name] = f"{call.services.settings.public_url}/u/{path}"
    subject = fill_subject(texts, variables)
    filled = "" if texts.body is None else texts.body.fill(variables)
    warnings = missing(texts, variables)
    return PreviewView(version=row.version, subject=subject, body=filled, format=form, warnings=warnings)


async def _in_use(call: Call) -> TemplateRow:
    return await fetch_in_use(call, Kind.TEMPLATE, "template", templates.get)


async def _reader(call: Call, request: PreviewRequest) -> tuple[Recipient, str | None]:
    """The contact asked for, or nobody, and whose locale to take; raises Problem (404)."""
    recipient: Recipient | None = _NOBODY
    async with call.services.database.read() as connection:
        if request.contact_id is not None:
            contact_id = ids.parse(Kind.CONTACT, request.contact_id)
            found = {} if contact_id is None else (await recipients(connection, {(call.workspace_id, contact_id)}))[0]
            recipient = next(iter(found.values()), None)
        usual = (await settings.get_many(connection, {call.workspace_id}))[call.workspace_id]
    if recipient is None:
        raise problems.not_found("contact")
    return recipient, request.locale or recipient.locale or usual.default_locale


def _values(recipient: Recipient, given: Mapping[str, Any]) -> dict[str, Any]:
    values = attributes_of(recipient)
    return {**values, **given, "attributes": {**values.get("attributes", {}), **given}}


def _stored(parts: TemplateParts) -> Parts:
    """The parts under normal names; raises Problem (400)."""
    stored: Parts = {}
    for channel, by_locale in parts.items():
        for locale, part in by_locale.items():
            pointer = f"#/parts/{channel}/{locale}"
            name = normal_locale(locale)
            if (channel, locale) == (ANY, ANY):
                raise problems.invalid("give subject, body and format beside parts", pointer)
            if name in stored.setdefault(channel, {}):
                raise problems.invalid(f"{name} is given twice", pointer)
            stored[channel][name] = to_builtins(part)
    if sum(map(len, stored.values())) > _MOST_PARTS:
        raise problems.invalid(f"more than {_MOST_PARTS} parts", "#/parts")
    return stored


async def _check(default: Mapping[str, Any], parts: TemplateParts) -> None:
    """Raises Refused (422) where a text cannot be read."""
    compiled(default.get("subject"), default.get("body"), "text")
    for channel, by_locale in parts.items():
        for locale, part in by_locale.items():
            compiled(part.subject, part.body, "text", below=f"/parts/{channel}/{locale}")
            # Each may take some milliseconds, and others wait.
            await asyncio.sleep(0)
