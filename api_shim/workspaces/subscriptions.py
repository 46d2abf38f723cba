"""Subscriptions in the "workspace" dialect: endpoints that want our own status events."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import UNSET

from api_shim import problems
from api_shim.audit import changing
from api_shim.operations import Call, Reply
from api_shim.problems import Problem
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.rotation import given_or_new, rotated
from api_shim.workspaces.stored import change_one, fetch_one, remove_one
from api_shim.workspaces.subscription_types import (
    DeliveryAttempt,
    DeliveryList,
    DeliveryQuery,
    DeliveryView,
    SubscriptionList,
    SubscriptionPatch,
    SubscriptionRequest,
    SubscriptionView,
)
from channels.guard import normal_url
from models import ids
from models.audit import Action
from models.ids import Kind, event_id
from models.sealing import SealedFor
from models.store import status_event_views, subscriptions
from models.store.status_event_views import Notice
from models.store.subscriptions import SubscriptionRow
from models.timestamps import show, show_optional
from models.vocabulary import NoticeState, StatusEvent

_MOST: Final = 20
"""Whatever happens to a message is written down for each of them, in the transaction in which it happens."""


def _view(row: SubscriptionRow, secret: str | None = None) -> SubscriptionView:
    return SubscriptionView(
        id=ids.show(Kind.SUBSCRIPTION, row.id),
        url=row.url,
        events=row.events,
        paused=row.paused,
        disabled_at=show_optional(row.disabled_at),
        disabled_reason=row.disabled_reason,
        created_at=show(row.created_at),
        previous_secret_until=show_optional(row.secret_previous_until),
        secret=UNSET if secret is None else secret,
    )


def _url(text: str) -> str:
    try:
        return normal_url(text)
    except ValueError as error:
        raise problems.invalid(str(error), "#/url") from None


def _sorted(events: Iterable[StatusEvent]) -> list[StatusEvent]:
    wanted = set(events)
    return [event for event in StatusEvent if event in wanted]


async def create(call: Call, request: SubscriptionRequest) -> Reply:
    """Make a subscription; its secret is shown in this answer alone."""
    url = _url(request.url)
    secret = given_or_new(request.secret, "#/secret")
    keyring = await call.services.keyring()
    async with changing(call, Action.SUBSCRIPTION_CREATE) as change:
        if await subscriptions.lock(change.connection, call.workspace_id) >= _MOST:
            raise Problem(problems.CONFLICT, f"A workspace has at most {_MOST} subscriptions.")
        row = await subscriptions.create(
            change.connection,
            call.workspace_id,
            url=url,
            events=_sorted(request.events or StatusEvent),
            secret=keyring.seal(secret.encode(), SealedFor.SUBSCRIPTION),
            paused=request.paused,
        )
        change.of(Kind.SUBSCRIPTION, row.id)
    return Reply(_view(row, secret))


async def list_all(call: Call, query: PageQuery) -> Reply:
    """A page of subscriptions, the newest first."""
    async with call.services.database.read() as connection:
        rows, total = await subscriptions.page(connection, call.workspace_id, limit=query.limit, offset=query.offset)
    return Reply(SubscriptionList(data=[_view(row) for row in rows], pagination=Pagination.of(query, total)))


async def get(call: Call) -> Reply:
    """One subscription."""
    return Reply(_view(await fetch_one(call, Kind.SUBSCRIPTION, "subscription", subscriptions.get)))


async def patch(call: Call, request: SubscriptionPatch) -> Reply:
    """Change a subscription; a secret that is new is shown in this answer alone."""
    changed: dict[str, Any] = {}
    if request.url is not UNSET:
        changed["url"] = _url(request.url)
    if request.events is not UNSET:
        changed["events"] = [event.value for event in _sorted(request.events)]
    if request.paused is not UNSET:
        changed["paused"] = request.paused
    if "url" in changed or changed.get("paused") is False:
        changed |= subscriptions.switched_on()
    secret = None if request.secret is UNSET else given_or_new(request.secret, "#/secret")
    keyring = await call.services.keyring()

    def values(old: SubscriptionRow) -> Mapping[str, Any]:
        return (
            changed
            if secret is None
            else changed | rotated(keyring, SealedFor.SUBSCRIPTION, "secret", secret, old.secret)
        )

    row = await change_one(
        call, Kind.SUBSCRIPTION, "subscription", Action.SUBSCRIPTION_CHANGE, subscriptions.change, values
    )
    return Reply(_view(row, secret))


async def remove(call: Call) -> Reply:
    """Remove a subscription."""
    await remove_one(call, Kind.SUBSCRIPTION, "subscription", Action.SUBSCRIPTION_REMOVE, subscriptions.remove)
    return Reply()


async def list_deliveries(call: Call, query: DeliveryQuery) -> Reply:
    """A page of what a subscription was told or is to be, the newest first."""
    subscription = await fetch_one(call, Kind.SUBSCRIPTION, "subscription", subscriptions.get)
    message_id = None if query.message_id is None else ids.parse(Kind.MESSAGE, query.message_id)
    if message_id is None and query.message_id is not None:
        return Reply(DeliveryList(data=[], pagination=Pagination.of(query, 0)))
    async with call.services.database.read() as connection:
        rows, total = await status_event_views.page(
            connection,
            call.workspace_id,
            subscription.id,
            state=query.state,
            message_id=message_id,
            limit=query.limit,
            offset=query.offset,
        )
    return Reply(DeliveryList(data=[_delivery_view(row) for row in rows], pagination=Pagination.of(query, total)))


def _delivery_view(row: Notice) -> DeliveryView:
    return DeliveryView(
        id=event_id(row.message_id, row.type),
        type=row.type,
        message_id=ids.show(Kind.MESSAGE, row.message_id),
        at=show(row.at),
        recorded_at=show(row.created_at),
        state=row.state,
        next_attempt_at=show(row.due_at) if row.state is NoticeState.PENDING else None,
        ended_at=show_optional(row.ended_at),
        attempts=[
            DeliveryAttempt(
                number=number,
                started_at=show(each.started_at),
                ended_at=show(each.ended_at),
                outcome=each.outcome,
                code=each.code,
                detail=each.detail,
            )
            for number, each in enumerate(row.attempts or (), start=1)
        ],
    )
