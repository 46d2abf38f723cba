"""Templates, campaigns and journeys in the "workspace" dialect."""

from msgspec import UNSET

from api_shim import problems
from api_shim.operations import Call, Reply
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.setup_types import (
    CampaignList,
    JourneyList,
    NameRequest,
    TemplateList,
    TemplatePatch,
    TemplateRequest,
)
from api_shim.workspaces.stored import fetch_one
from api_shim.workspaces.views import campaign_view, journey_view, template_view
from channels.rendering import RenderError, Text
from models.errors import Refused
from models.ids import Kind
from models.parts import ANY, Parts, part_for
from models.store import campaigns, templates
from models.vocabulary import FailureReason


def _parts(subject: str | None, body: str, form: str | None) -> Parts:
    """One part for every channel and locale; raises Refused (422) where a text does not render."""
    for pointer, text in (("/subject", subject), ("/body", body)):
        try:
            Text(text or "", escape=False)
        except RenderError as error:
            raise Refused(FailureReason.RENDER_ERROR, str(error), pointer) from None
    return {ANY: {ANY: {"subject": subject, "body": body, "format": form}}}


async def create_template(call: Call, request: TemplateRequest) -> Reply:
    """Make a template."""
    parts = _parts(request.subject, request.body, request.format)
    async with call.services.database.write() as connection:
        row = await templates.create(connection, call.workspace_id, name=request.name, parts=parts)
    return Reply(template_view(row))


async def list_templates(call: Call, query: PageQuery) -> Reply:
    """A page of templates, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await templates.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    return Reply(TemplateList(data=[template_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get_template(call: Call) -> Reply:
    """One template."""
    row = await fetch_one(call, Kind.TEMPLATE, "template", templates.get)
    if row.deleted_at is not None:
        raise problems.not_found("template")
    return Reply(template_view(row))


async def patch_template(call: Call, request: TemplatePatch) -> Reply:
    """Change a template: a new version where a text changed."""
    template_id = call.path_id("templateId", Kind.TEMPLATE, "template")
    async with call.services.database.write() as connection:
        old = await templates.lock(connection, call.workspace_id, template_id)
        if old is None:
            raise problems.not_found("template")
        part = part_for(old.parts, ANY, None)
        parts = _parts(
            part.get("subject") if request.subject is UNSET else request.subject,
            part.get("body", "") if request.body is UNSET else request.body,
            part.get("format") if request.format is UNSET else request.format,
        )
        name = old.name if request.name is UNSET else request.name
        row = await templates.change(connection, call.workspace_id, old, name=name, parts=parts)
    return Reply(template_view(row))


async def create_campaign(call: Call, request: NameRequest) -> Reply:
    """Make a campaign, running."""
    async with call.services.database.write() as connection:
        row = await campaigns.create_campaign(connection, call.workspace_id, request.name)
    return Reply(campaign_view(row))


async def list_campaigns(call: Call, query: PageQuery) -> Reply:
    """A page of campaigns, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await campaigns.campaign_page(
            connection, call.workspace_id, limit=query.limit, offset=query.offset
        )
    return Reply(CampaignList(data=[campaign_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get_campaign(call: Call) -> Reply:
    """One campaign."""
    return Reply(campaign_view(await fetch_one(call, Kind.CAMPAIGN, "campaign", campaigns.get_campaign)))


async def create_journey(call: Call, request: NameRequest) -> Reply:
    """Make a journey."""
    async with call.services.database.write() as connection:
        row = await campaigns.create_journey(connection, call.workspace_id, request.name)
    return Reply(journey_view(row))


async def list_journeys(call: Call, query: PageQuery) -> Reply:
    """A page of journeys, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await campaigns.journey_page(
            connection, call.workspace_id, limit=query.limit, offset=query.offset
        )
    return Reply(JourneyList(data=[journey_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get_journey(call: Call) -> Reply:
    """One journey."""
    return Reply(journey_view(await fetch_one(call, Kind.JOURNEY, "journey", campaigns.get_journey)))
