"""Endpoints that are told our status events: how each fares, what it was told, and to pause it or let it go on."""

from typing import Any, Final

import msgspec

from api_shim.console.forms import answered
from api_shim.console.listing import page_number
from api_shim.console.pages import Page, PageCall, Values
from api_shim.console.questions import Deed, Thing, Words
from api_shim.console.words import one_of
from api_shim.masking import masked
from api_shim.workspaces import subscriptions as api
from api_shim.workspaces.stored import fetch_one
from api_shim.workspaces.subscription_types import DeliveryList, DeliveryQuery, SubscriptionPatch
from models import ids
from models.ids import Kind
from models.store import endpoint_health, subscriptions
from models.store.endpoint_health import MOST_COUNTED, MOST_LOOKED_AT, Health
from models.store.subscriptions import SubscriptionRow
from models.timestamps import show, show_optional
from models.vocabulary import Channel, NoticeState, Scope

_PATH: Final = "/endpoints"
_MOST: Final = 200
_ROWS: Final = 50
_STATES: Final = {NoticeState.PENDING: "waiting", NoticeState.DELIVERED: "delivered", NoticeState.FAILED: "given up"}


class EndpointQuery(msgspec.Struct):
    """Which of an endpoint's deliveries: ``state`` of them, and the ``page``, from 1."""

    state: str = ""
    page: str = "1"


async def view(call: PageCall) -> Values:
    """Every endpoint of the workspace, the newest first."""
    own = call.workspace_id
    async with call.services.database.read() as connection:
        rows, _ = await subscriptions.page(connection, own, limit=_MOST, offset=0)
        health = await endpoint_health.of_subscriptions(connection, own, rows)
        failing = await endpoint_health.failing_webhooks(connection, own, rows)
    return {
        "rows": [_shown(row, health[row.id]) for row in rows],
        "failing_webhooks": failing,
        "most_counted": MOST_COUNTED,
        "most_looked_at": MOST_LOOKED_AT,
    }


def _shown(row: SubscriptionRow, health: Health) -> dict[str, Any]:
    """What is shown of an endpoint. The host alone, since such addresses often hold a secret."""
    failing = health.failing
    failed_at = health.last_failed_at if failing is None else failing.last_failed_at
    return {
        "id": ids.show(Kind.SUBSCRIPTION, row.id),
        "name": masked(Channel.WEBHOOK, row.url),
        "state": _state(row, health),
        "failures": None if failing is None else failing.failures,
        "fails_since": None if failing is None else show(failing.first_failed_at),
        "is_told": row.disabled_at is None and not row.paused,
        "off_since": show_optional(row.disabled_at),
        "off_because": row.disabled_reason,
        "waiting": health.waiting,
        "delivered": health.delivered,
        "given_up": health.failed,
        "last_delivered_at": show_optional(health.last_delivered_at),
        "last_failed_at": show_optional(failed_at),
        "events": row.events,
        "created_at": show(row.created_at),
    }


def _state(row: SubscriptionRow, health: Health) -> str:
    if row.disabled_at is not None:
        return "off"
    if row.paused:
        return "paused"
    if health.failing is not None:
        return "failing"
    return "works" if health.last_delivered_at is not None else "new"


async def _one(call: PageCall) -> dict[str, Any]:
    row = await fetch_one(call, Kind.SUBSCRIPTION, "subscription", subscriptions.get)
    async with call.services.database.read() as connection:
        health = await endpoint_health.of_subscriptions(connection, call.workspace_id, [row])
    shown = _shown(row, health[row.id])
    query = call.query(EndpointQuery) if call.request.method == "GET" else EndpointQuery()
    state = one_of(NoticeState, "state", query.state, _STATES)
    asked = DeliveryQuery(page=page_number(query.page), limit=_ROWS, state=state)
    told = answered(await api.list_deliveries(call, asked), DeliveryList)
    possible = ("resume",) if row.paused or row.disabled_at is not None else ("pause",)
    return {
        "name": shown["name"],
        "possible": possible,
        "endpoint": shown,
        "query": query,
        "states": _STATES,
        "deliveries": told.data,
        "page": msgspec.structs.asdict(told.pagination),
        "most_looked_at": MOST_LOOKED_AT,
    }


async def _pause(call: PageCall) -> None:
    await api.patch(call, call.patching(SubscriptionPatch(paused=True)))


async def _resume(call: PageCall) -> None:
    await api.patch(call, call.patching(SubscriptionPatch(paused=False)))


_DEEDS: Final = {
    "pause": Deed(
        Words(
            "Pause the endpoint",
            "Pause this endpoint?",
            "It is told nothing until somebody lets it go on. What happens meanwhile is kept for 30 days.",
            "It is paused.",
        ),
        _pause,
    ),
    "resume": Deed(
        Words(
            "Let the endpoint go on",
            "Tell this endpoint of events again?",
            "What waits for it is sent. Where it was switched off it is switched on again.",
            "It is told of events again.",
        ),
        _resume,
    ),
}

PAGES: Final = (
    Page(_PATH, "endpoints.html", view, title="Endpoints", scope=Scope.HOOKS),
    *Thing(
        path=_PATH,
        part="subscriptionId",
        title="Endpoints",
        template="endpoint.html",
        view=_one,
        deeds=_DEEDS,
        scope=Scope.HOOKS,
        needs=Scope.HOOKS,
        query=EndpointQuery,
    ).pages(),
)
