"""The start page: what became of today's messages, and what wants a person's attention."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncConnection

from api_shim.console.pages import Page, PageCall, Values
from models import ids
from models.faults import Fault, fault_of, reason_of
from models.store import counts, pauses, recent, senders, subscriptions
from models.store.recent import MOST_COUNTED, Undelivered
from models.timestamps import from_datetime, show
from models.vocabulary import Channel, Scope, Status

_MOST_ENDPOINTS: Final = 200
_MOST_REASONS: Final = 3

_GROUPS: Final[Mapping[str, tuple[Status, ...]]] = {
    "on their way": (Status.QUEUED, Status.SENDING),
    "went out": (Status.SENT, Status.DELIVERED, Status.OPENED, Status.CLICKED),
    "did not arrive": (Status.BOUNCED, Status.FAILED),
    "unsubscribed": (Status.UNSUBSCRIBED,),
}


async def view(call: PageCall) -> Values:
    """Today's totals, and what wants attention."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = ids.since(from_datetime(midnight))
    own = call.workspace_id
    async with call.services.database.read() as connection:
        today = await recent.by_status(connection, own, since)
        undelivered = await recent.undelivered_by_reason(connection, own, since)
        held = await counts.total(connection, own, held=True)
        endpoints = await _switched_off(connection, call)
        resting = await _resting(connection, call, from_datetime(now))
    by_status = Counter[Status]()
    for (_, status), number in today.items():
        by_status[status] += number
    return {
        "since": show(from_datetime(midnight)),
        "total": sum(today.values()),
        "capped": max(today.values(), default=0) >= MOST_COUNTED,
        "statuses": [(status, by_status[status]) for status in Status],
        "channels": _channels(today),
        "groups": list(_GROUPS),
        "held": held,
        "faults": _faults(undelivered),
        "endpoints": endpoints,
        "resting": resting,
    }


def _channels(today: Mapping[tuple[Channel, Status], int]) -> list[tuple[Channel, list[int]]]:
    """Of each channel that anything went by today, how many of each group."""
    return [
        (channel, [sum(today.get((channel, status), 0) for status in group) for group in _GROUPS.values()])
        for channel in Channel
        if any(each is channel for each, _ in today)
    ]


def _faults(undelivered: Mapping[Undelivered, int]) -> list[tuple[Fault, int, list[tuple[str, int]]]]:
    """Whose fault it was that messages did not arrive: how many, and the reasons that most of them had."""
    reasons: dict[Fault, Counter[str]] = {}
    for (status, given), number in undelivered.items():
        fault, reason = fault_of(status, given), reason_of(status, given)
        if fault is not None and reason is not None:
            reasons.setdefault(fault, Counter())[reason.value] += number
    order = (Fault.OURS, Fault.SENDER, Fault.RECEIVER)  # who can mend it comes first
    return [
        (fault, reasons[fault].total(), reasons[fault].most_common(_MOST_REASONS))
        for fault in order
        if fault in reasons
    ]


async def _switched_off(connection: AsyncConnection, call: PageCall) -> list[dict[str, Any]]:
    """The endpoints that are told no status events any more, for those who may see them."""
    if Scope.HOOKS not in call.caller.scopes:
        return []
    rows, _ = await subscriptions.page(connection, call.workspace_id, limit=_MOST_ENDPOINTS, offset=0)
    return [
        # The host alone: addresses of endpoints often hold a secret.
        {"host": urlsplit(row.url).hostname or "", "since": show(row.disabled_at), "reason": row.disabled_reason}
        for row in rows
        if row.disabled_at is not None
    ]


async def _resting(connection: AsyncConnection, call: PageCall, now: int) -> list[dict[str, Any]]:
    """What is not tried at present since it cannot work as it is set up; why, only for those who can change it."""
    found = [
        {"name": f"{channel.value}, the house's sender", "until": show(rest.until), "why": None}
        for channel, rest in (await pauses.standing(connection)).items()
    ]
    if Scope.ADMIN in call.caller.scopes:
        found += [
            {"name": f"{row.channel.value}, {row.name}", "until": show(row.resting_until), "why": row.last_error}
            for row in await senders.of_workspace(connection, call.workspace_id)
            if row.resting_until is not None and row.resting_until > now and not row.paused
        ]
    return found


PAGES: Final = (Page("", "overview.html", view, title="Overview"),)
