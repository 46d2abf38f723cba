"""What became of a campaign's messages, in numbers, without counting them.

Kept as totals are (``counts``): the database's triggers count what lists filter by (migration 0002), and the facts and
the failures' reasons of campaigns (0007). One statement reads all of them, so that they add up in every snapshot.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Select, delete, func, insert, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from models.store.counts import MEASURED_BY
from models.store.status_sql import effective_expression, status_expression
from models.tables import campaign_count_changes, campaign_counts, message_count_changes, message_counts, messages
from models.vocabulary import Fact, FailureReason, Status

MEASURED: Final = (
    Fact.SENT,
    Fact.DELIVERED,
    Fact.OPENED,
    Fact.CLICKED,
    Fact.MACHINE_OPENED,
    Fact.MACHINE_CLICKED,
    Fact.UNSUBSCRIBED,
    Fact.COMPLAINED,
)
_FAILED: Final = "failed."


class Measured(NamedTuple):
    """How many messages of a campaign a measure holds of: a fact's name, or ``failed.`` and the reason."""

    workspace_id: UUID
    campaign_id: UUID
    measure: str
    number: int


class CampaignNumbers(msgspec.Struct, frozen=True):
    """Messages by status, by fact as it is shown (whatever their status is) and, of those that FAILED, by reason."""

    by_status: Mapping[Status, int]
    by_fact: Mapping[Fact, int]
    failed_by_reason: Mapping[FailureReason, int]

    @property
    def total(self) -> int:
        """Every message of the campaign."""
        return sum(self.by_status.values())

    @property
    def ended(self) -> int:
        """Those that wait for nothing of ours any more."""
        return self.total - self.by_status[Status.QUEUED] - self.by_status[Status.SENDING]

    @property
    def reached(self) -> int:
        """Those that ended and, as far as is known, neither bounced nor failed."""
        return self.ended - self.by_status[Status.BOUNCED] - self.by_status[Status.FAILED]


async def read(connection: AsyncConnection, workspace_id: UUID, campaign_id: UUID) -> CampaignNumbers:
    """The numbers of one snapshot: they add up."""
    parts = [
        select(literal(is_status).label("is_status"), key.label("key"), func.sum(number).label("number"))
        .where(key.table.c.workspace_id == workspace_id, key.table.c.campaign_id == campaign_id)
        .group_by(key)
        for is_status, key, number in (
            (True, message_counts.c.status, message_counts.c.number),
            (True, message_count_changes.c.status, message_count_changes.c.change),
            (False, campaign_counts.c.measure, campaign_counts.c.number),
            (False, campaign_count_changes.c.measure, campaign_count_changes.c.change),
        )
    ]
    by_status = Counter(dict.fromkeys(Status, 0))
    measured: Counter[str] = Counter()
    for is_status, key, number in await connection.execute(union_all(*parts)):
        if is_status:
            by_status[Status(key)] += int(number)
        else:
            measured[key] += int(number)
    return CampaignNumbers(
        by_status,
        {fact: measured[fact.value] for fact in MEASURED},
        {reason: number for reason in FailureReason if (number := measured[_FAILED + reason.value])},
    )


async def differences(connection: AsyncConnection) -> list[tuple[Measured, int]]:
    """As ``counts.differences``, of what is counted of campaigns alone. Reads every message."""
    nothing = literal(0, BigInteger).label("counted")
    kept = select(*(campaign_counts.c[name] for name in MEASURED_BY), campaign_counts.c.number, nothing)
    changed = select(
        *(campaign_count_changes.c[name] for name in MEASURED_BY),
        campaign_count_changes.c.change.label("number"),
        nothing,
    )
    is_sqlite = connection.dialect.name == "sqlite"
    both = union_all(kept, changed, *_counted(-1, is_sqlite=is_sqlite)).subquery()
    number, right = func.sum(both.c.number), func.sum(both.c.counted)
    group = [both.c[name] for name in MEASURED_BY]
    rows = await connection.execute(select(*group, number + right, right).group_by(*group).having(number != 0))
    return [(Measured(*row[:3], int(row[3])), int(row[4])) for row in rows]


async def rebuild(connection: AsyncConnection) -> None:
    """Count anew; called while no message can be written, as ``counts.rebuild`` sees to."""
    await connection.execute(delete(campaign_count_changes))
    await connection.execute(delete(campaign_counts))
    for counted in _counted(1, is_sqlite=connection.dialect.name == "sqlite"):
        rows = counted.subquery()
        columns = [rows.c[name] for name in (*MEASURED_BY, "number")]
        await connection.execute(insert(campaign_counts).from_select([*MEASURED_BY, "number"], select(*columns)))


def _counted(sign: int, *, is_sqlite: bool) -> list[Select[Any]]:
    """What the rows say: ``number`` under ``sign``, ``counted`` plain."""
    measures: list[tuple[ColumnElement[str], ColumnElement[bool]]] = [
        (literal(fact.value), effective_expression(fact, is_sqlite=is_sqlite).is_not(None)) for fact in MEASURED
    ]
    reason = func.coalesce(messages.c.failure_reason, FailureReason.PROVIDER_FAILED.value)
    measures.append((literal(_FAILED).concat(reason), status_expression() == Status.FAILED.value))
    rows = [
        select(messages.c.workspace_id, messages.c.campaign_id, measure.label("measure"))
        .where(messages.c.campaign_id.is_not(None), holds)
        .subquery()
        for measure, holds in measures
    ]
    return [
        select(
            *(each.c[name] for name in MEASURED_BY),
            (func.count() * sign).label("number"),
            func.count().label("counted"),
        ).group_by(*(each.c[name] for name in MEASURED_BY))
        for each in rows
    ]
