"""The JSON of campaigns in the "workspace" dialect."""

from enum import StrEnum

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


class Denominator(StrEnum):
    """Of which messages a rate is a part."""

    ENDED = "ended"
    """All that wait for nothing any more: neither QUEUED nor SENDING."""
    SENT = "sent"
    """Those that a peer accepted."""
    REACHED = "reached"
    """Those that ended and, as far as is known, neither bounced nor failed."""


class Rate(msgspec.Struct):
    """A part of the messages that ``of`` names, from 0 to 1 in four decimals; null where there is none of those."""

    rate: float | None
    of: Denominator


class Rates(msgspec.Struct):
    """The rates that campaigns are compared by, each with its denominator. Programs' opens and clicks are in none.

    ``delivered`` of the `sent`; ``bounced`` and ``failed`` of the `ended`; ``opened``, ``clicked``, ``unsubscribed``
    and ``complained`` of the `reached`, not of the delivered: many servers report no delivery.
    """

    delivered: Rate
    bounced: Rate
    failed: Rate
    opened: Rate
    clicked: Rate
    unsubscribed: Rate
    complained: Rate


class CampaignNumbersView(msgspec.Struct, rename="camel"):
    """What became of a campaign's messages, each number a number of messages, all of one moment.

    ``byStatus`` names every status and adds up to ``total``; ``failedByReason`` adds up to its FAILED. ``ended`` is all
    but QUEUED and SENDING, and is ``reached`` and BOUNCED and FAILED together. A message counts in ``sent``,
    ``delivered``, ``opens``, ``clicks``, ``unsubscribed`` and ``complained`` where it shows that time, whatever its
    status is; who clicked has opened, and who opened has it delivered.
    """

    total: int
    by_status: dict[Status, int]
    ended: int
    sent: int
    delivered: int
    reached: int
    opens: HumanAndMachine
    clicks: HumanAndMachine
    unsubscribed: int
    complained: int
    failed_by_reason: dict[FailureReason, int]
    rates: Rates
