"""Campaigns: which there are, what became of each one's messages, and to pause, resume or cancel one."""

from typing import Any, Final

from api_shim.console import funnel
from api_shim.console.forms import answered
from api_shim.console.listing import ListQuery, paged, place_of
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.questions import Deed, Thing, Words
from api_shim.workspaces import campaigns as api
from api_shim.workspaces.campaign_types import CampaignNumbersView, CampaignView
from api_shim.workspaces.views import campaign_view
from models.ids import Kind
from models.store import listed
from models.vocabulary import CampaignState, Scope

_PATH: Final = "/campaigns"
_POSSIBLE: Final = {
    CampaignState.RUNNING: ("pause", "cancel"),
    CampaignState.PAUSED: ("resume", "cancel"),
    CampaignState.CANCELLED: (),
}


async def view(call: PageCall) -> Values:
    """A page of campaigns, the newest first."""
    query = call.query(ListQuery)
    async with call.services.database.read() as connection:
        page = await listed.of_campaigns(connection, call.workspace_id, place_of(query, Kind.CAMPAIGN))
    return {"rows": [campaign_view(row) for row in page.rows], **paged(page, query, Kind.CAMPAIGN)}


async def _one(call: PageCall) -> dict[str, Any]:
    campaign = answered(await api.get(call), CampaignView)
    numbers = answered(await api.numbers(call), CampaignNumbersView)
    drawn = funnel.bars(numbers)
    return {
        "name": campaign.name,
        "possible": _POSSIBLE[campaign.state],
        "campaign": campaign,
        "numbers": numbers,
        "bars": drawn,
        "told": funnel.told(drawn),
        "lost": funnel.lost(numbers),
    }


async def _pause(call: PageCall) -> None:
    await api.pause(call)


async def _resume(call: PageCall) -> None:
    await api.resume(call)


async def _cancel(call: PageCall) -> None:
    await api.cancel(call)


_DEEDS: Final = {
    "pause": Deed(
        Words(
            "Pause the campaign",
            "Pause this campaign?",
            "What is not being sent yet waits until somebody resumes it. What a worker has in hand goes out.",
            "It is paused.",
        ),
        _pause,
    ),
    "resume": Deed(
        Words(
            "Resume the campaign",
            "Resume this campaign?",
            "What waited for it goes out again.",
            "It runs again.",
        ),
        _resume,
    ),
    "cancel": Deed(
        Words(
            "Cancel the campaign",
            "Cancel this campaign for good?",
            "What is not sent yet never will be: it reads FAILED, cancelled. This cannot be taken back.",
            "It was cancelled.",
            final=True,
        ),
        _cancel,
    ),
}

PAGES: Final = (
    # What messages there are of which campaign is seen by all who see messages; what it does, admins say.
    Page(_PATH, "campaigns.html", view, title="Campaigns", query=ListQuery),
    *Thing(
        path=_PATH,
        part="campaignId",
        title="Campaigns",
        template="campaign.html",
        view=_one,
        deeds=_DEEDS,
        scope=Scope.MESSAGES_READ,
        needs=Scope.ADMIN,
    ).pages(),
)
