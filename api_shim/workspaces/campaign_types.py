"""The JSON of campaigns in the "workspace" dialect."""

import msgspec
from msgspec import UNSET, UnsetType

from api_shim.workspaces.paging import Name, Pagination
from models.vocabulary import CampaignState, FailureReason, Status


class CampaignRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A campaign: a name for people. It is running from the start."""

    name: Name


class CampaignPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a campaign."""

    name: Name | UnsetType = UNSET


class CampaignView(msgspec.Struct, rename="camel"):
    """A campaign."""

    id: str
    name: str
    state: CampaignState
    created_at: str


class CampaignList(msgspec.Struct):
    """A page of campaigns, the newest first."""

    data: list[CampaignView]
    pagination: Pagination


class HumanAndMachine(msgspec.Struct):
    """Messages on which a person acted, and messages on which a scanner or a proxy did; one may count in both."""

    human: int
    machine: int


class CampaignNumbersView(msgspec.Struct, rename="camel"):
    """What became of a campaign's messages, each number a number of messages.

    ``byStatus`` names every status and adds up to ``total``; ``failedByReason`` adds up to its FAILED. A message
    counts in ``opens``, ``clicks``, ``unsubscribed`` and ``complained`` whatever its status is; who clicked has
    opened.
    """

    total: int
    by_status: dict[Status, int]
    opens: HumanAndMachine
    clicks: HumanAndMachine
    unsubscribed: int
    complained: int
    failed_by_reason: dict[FailureReason, int]
