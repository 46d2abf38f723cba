"""``wireroom recount``: whether the counts behind every list's total are right, and right ones where they are not."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from models import ids
from models.store import campaign_numbers, counts
from models.store.campaign_numbers import Measured
from models.store.counts import NO_CAMPAIGN, Count
from wireroom.accounts import opened

_SHOWN: Final = 20

Wrong = tuple[Count | Measured, int]
"""A count, and what it should be."""


async def differing(database_url: str) -> list[Wrong]:
    """The counts that are not what counting every message gives."""
    async with opened(database_url) as database, database.read() as connection:
        return await _differences(connection)


async def _differences(connection: AsyncConnection) -> list[Wrong]:
    return [*await counts.differences(connection), *await campaign_numbers.differences(connection)]


async def mend(database_url: str) -> list[Wrong]:
    """Count anew where any count is wrong, while no message can be written; returns those that were."""
    async with opened(database_url) as database, database.write() as connection:
        wrong = await _differences(connection)
        if wrong:
            await counts.rebuild(connection)
            await campaign_numbers.rebuild(connection)
        return wrong


def _named(count: Count | Measured) -> dict[str, Any]:
    """What is counted."""
    workspace = ids.show(ids.Kind.WORKSPACE, count.workspace_id)
    campaign = None if count.campaign_id == NO_CAMPAIGN else ids.show(ids.Kind.CAMPAIGN, count.campaign_id)
    if isinstance(count, Measured):
        return {"workspace": workspace, "campaign": campaign, "measure": count.measure}
    return {
        "workspace": workspace,
        "campaign": campaign,
        "channel": count.channel.value,
        "status": count.status.value,
    }


def report(wrong: Sequence[Wrong], *, check: bool) -> dict[str, Any]:
    """The same for programs."""
    shown = [{**_named(count), "counted": count.number, "found": right} for count, right in wrong]
    return {"wrong": len(wrong), "mended": 0 if check else len(wrong), "counts": shown}


def _phrase(count: Count | Measured) -> str:
    named = _named(count)
    if isinstance(count, Count):
        del named["campaign"]
    return " ".join(named.values())


def sentence(wrong: Sequence[Wrong], *, check: bool) -> str:
    """What there is to say of these counts: each of the first of them, and how many there are."""
    if not wrong:
        return "Every count is right."
    lines = [f"{_phrase(count)}: {count.number:,} counted, {right:,} found" for count, right in wrong[:_SHOWN]]
    lines += [f"... and {len(wrong) - _SHOWN:,} more"] if len(wrong) > _SHOWN else []
    number, is_are = ("1 count", ("is", "was")) if len(wrong) == 1 else (f"{len(wrong):,} counts", ("are", "were"))
    last = f"{number} {is_are[0]} wrong." if check else f"{number} {is_are[1]} wrong and {is_are[0]} mended."
    return "\n".join([*lines, last])
