"""Campaigns in the "workspace" dialect."""

import time
from typing import Final

from msgspec import UNSET

from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.workspaces.campaign_types import (
    CampaignList,
    CampaignNumbersView,
    CampaignPatch,
    CampaignRequest,
    Denominator,
    HumanAndMachine,
    Rate,
    Rates,
)
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.stored import change_one, fetch_in_use, remove_one
from api_shim.workspaces.views import campaign_view
from models.audit import Action
from models.ids import Kind
from models.store import campaign_numbers, campaigns
from models.store.campaign_numbers import CampaignNumbers
from models.store.campaigns import CampaignRow
from models.vocabulary import CampaignState, Fact, Status

# A small campaign stands still when the answer comes: its messages follow it before, so many in one transaction, as
# long as that takes no longer than this. The keeper takes a large one further.
_AT_ONCE: Final = 500
_PATIENCE_S: Final = 0.5
_CALLED: Final = {
    CampaignState.PAUSED: Action.CAMPAIGN_PAUSE,
    CampaignState.RUNNING: Action.CAMPAIGN_RESUME,
    CampaignState.CANCELLED: Action.CAMPAIGN_CANCEL,
}


async def create(call: Call, request: CampaignRequest) -> Reply:
    """Make a campaign, running."""
    async with changing(call, Action.CAMPAIGN_CREATE) as change:
        row = await campaigns.create_campaign(change.connection, call.workspace_id, request.name)
        change.of(Kind.CAMPAIGN, row.id)
    return Reply(campaign_view(row))


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of campaigns, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await campaigns.campaign_page(
            connection, call.workspace_id, limit=query.limit, offset=query.offset
        )
    return Reply(CampaignList(data=[campaign_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def _standing(call: Call) -> CampaignRow:
    return await fetch_in_use(call, Kind.CAMPAIGN, "campaign", campaigns.get_campaign)


async def get(call: Call) -> Reply:
    """One campaign."""
    return Reply(campaign_view(await _standing(call)))


async def patch(call: Call, request: CampaignPatch) -> Reply:
    """Change a campaign."""
    name = request.name
    if name is UNSET:
        return await get(call)
    row = await change_one(call, Kind.CAMPAIGN, "campaign", Action.CAMPAIGN_CHANGE, campaigns.rename_campaign, name)
    return Reply(campaign_view(row))


async def remove(call: Call) -> Reply:
    """Remove a campaign that has nothing left to send; its messages stay, and show it still."""
    await remove_one(call, Kind.CAMPAIGN, "campaign", Action.CAMPAIGN_REMOVE, campaigns.remove_campaign)
    return Reply()


async def pause(call: Call) -> Reply:
    """Let a campaign's messages wait."""
    return await _set_state(call, CampaignState.PAUSED)


async def resume(call: Call) -> Reply:
    """Let a paused campaign's messages go out again."""
    return await _set_state(call, CampaignState.RUNNING)


async def cancel(call: Call) -> Reply:
    """End a campaign: what is not sent yet never will be."""
    return await _set_state(call, CampaignState.CANCELLED)


async def _set_state(call: Call, state: CampaignState) -> Reply:
    """From the commit of the state on no claim sends the campaign's messages against it; their rows follow."""
    row = await change_one(call, Kind.CAMPAIGN, "campaign", _CALLED[state], campaigns.set_state, state)
    answer_at = time.monotonic() + _PATIENCE_S
    more = True
    while more and time.monotonic() < answer_at:
        async with call.services.database.write() as connection:
            more = await campaigns.settle(connection, row.id, _AT_ONCE) == _AT_ONCE
    return Reply(campaign_view(row))


async def numbers(call: Call) -> Reply:
    """What became of a campaign's messages."""
    row = await _standing(call)
    async with call.services.database.read() as connection:
        found = await campaign_numbers.read(connection, call.workspace_id, row.id)
    facts = found.by_fact
    return Reply(
        CampaignNumbersView(
            total=found.total,
            by_status=dict(found.by_status),
            ended=found.ended,
            sent=facts[Fact.SENT],
            delivered=facts[Fact.DELIVERED],
            reached=found.reached,
            opens=HumanAndMachine(human=facts[Fact.OPENED], machine=facts[Fact.MACHINE_OPENED]),
            clicks=HumanAndMachine(human=facts[Fact.CLICKED], machine=facts[Fact.MACHINE_CLICKED]),
            unsubscribed=facts[Fact.UNSUBSCRIBED],
            complained=facts[Fact.COMPLAINED],
            failed_by_reason=dict(found.failed_by_reason),
            rates=_rates(found),
        )
    )


def _rates(found: CampaignNumbers) -> Rates:
    facts = found.by_fact
    whole = {
        Denominator.ENDED: found.ended,
        Denominator.SENT: facts[Fact.SENT],
        Denominator.REACHED: found.reached,
    }

    def rate(part: int, of: Denominator) -> Rate:
        return Rate(round(part / whole[of], 4) if whole[of] else None, of)

    return Rates(
        delivered=rate(facts[Fact.DELIVERED], Denominator.SENT),
        bounced=rate(found.by_status[Status.BOUNCED], Denominator.ENDED),
        failed=rate(found.by_status[Status.FAILED], Denominator.ENDED),
        opened=rate(facts[Fact.OPENED], Denominator.REACHED),
        clicked=rate(facts[Fact.CLICKED], Denominator.REACHED),
        unsubscribed=rate(facts[Fact.UNSUBSCRIBED], Denominator.REACHED),
        complained=rate(facts[Fact.COMPLAINED], Denominator.REACHED),
    )
