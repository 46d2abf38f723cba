"""Journeys in the "workspace" dialect."""

from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.setup_types import JourneyList, NameRequest
from api_shim.workspaces.stored import change_one, fetch_in_use, remove_one
from api_shim.workspaces.views import journey_view
from models.audit import Action
from models.ids import Kind
from models.store import journeys


async def create(call: Call, request: NameRequest) -> Reply:
    """Make a journey."""
    async with changing(call, Action.JOURNEY_CREATE) as change:
        row = await journeys.create(change.connection, call.workspace_id, request.name)
        change.of(Kind.JOURNEY, row.id)
    return Reply(journey_view(row))


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of journeys, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await journeys.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    return Reply(JourneyList(data=[journey_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One journey."""
    return Reply(journey_view(await fetch_in_use(call, Kind.JOURNEY, "journey", journeys.get)))


async def patch(call: Call, request: NameRequest) -> Reply:
    """Give a journey another name."""
    row = await change_one(call, Kind.JOURNEY, "journey", Action.JOURNEY_CHANGE, journeys.rename, request.name)
    return Reply(journey_view(row))


async def remove(call: Call) -> Reply:
    """Remove a journey. What was accepted for it stays a promise: those messages go out, and still name it."""
    await remove_one(call, Kind.JOURNEY, "journey", Action.JOURNEY_REMOVE, journeys.remove)
    return Reply()
