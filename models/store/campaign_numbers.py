"""What became of a campaign's messages, in numbers: one grouped query over the campaign's index."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.status_sql import fact_column, status_expression
from models.tables import messages
from models.vocabulary import Fact, FailureReason, Status


class CampaignNumbers(msgspec.Struct, frozen=True):
    """Messages by status, by fact (whatever their status is) and, of those that FAILED, by reason."""

    by_status: Mapping[Status, int]
    by_fact: Mapping[Fact, int]
    failed_by_reason: Mapping[FailureReason, int]

    @property
    def total(self) -> int:
        """Every message of the campaign."""
        return sum(self.by_status.values())


_COUNTED = (
    Fact.OPENED,
    Fact.CLICKED,
    Fact.MACHINE_OPENED,
    Fact.MACHINE_CLICKED,
    Fact.UNSUBSCRIBED,
    Fact.COMPLAINED,
)


async def read(connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID) -> CampaignNumbers:
    """The numbers of one snapshot: they add up."""
    status = status_expression().label("status")
    # Who clicks has opened, though no picture was loaded.
    opened = func.coalesce(fact_column(Fact.OPENED), fact_column(Fact.CLICKED))
    facts = [func.count(opened if fact is Fact.OPENED else fact_column(fact)) for fact in _COUNTED]
    grouped = (messages.c.failure_reason, status)
    rows = await connection.execute(
        select(*grouped, func.count(), *facts)
        .where(messages.c.workspace_id == workspace_id, messages.c.campaign_id == campaign_id)
        .group_by(*grouped)
    )
    by_status = Counter(dict.fromkeys(Status, 0))
    by_fact = Counter(dict.fromkeys(_COUNTED, 0))
    by_reason: Counter[FailureReason] = Counter()
    for reason, shown, number, *counted in rows:
        by_status[Status(shown)] += number
        for fact, count in zip(_COUNTED, counted, strict=True):
            by_fact[fact] += count
        if shown == Status.FAILED:
            # Without a reason of ours it is the provider who gave the message up.
            by_reason[FailureReason(reason or FailureReason.PROVIDER_FAILED)] += number
    return CampaignNumbers(by_status, by_fact, by_reason)
