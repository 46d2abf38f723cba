"""Subscriptions in the "workspace" dialect: endpoints that want our own status events."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import UNSET

from api_shim import problems
from api_shim.operations import Call, Reply
from api_shim.workspaces.paging import PageQuery, Pagination
from api_shim.workspaces.rotation import given_or_new, rotated
from api_shim.workspaces.stored import change_one, fetch_one, remove_one
from api_shim.workspaces.subscription_types import (
    SubscriptionList,
    SubscriptionPatch,
    SubscriptionRequest,
    SubscriptionView,
)
from channels.guard import normal_url
from models import ids
from models.ids import Kind
from models.store import subscriptions
from models.store.subscriptions import SubscriptionRow
from models.timestamps import show, show_optional
from models.vocabulary import StatusEvent

SECRET: Final = "subscription-secret"
"""What a subscription's secret is sealed for."""


def _view(row: SubscriptionRow, secret: str | None = None) -> SubscriptionView:
    return SubscriptionView(
        id=ids.show(Kind.SUBSCRIPTION, row.id),
        url=row.url,
        events=row.events,
        paused=row.paused,
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
    async with call.services.database.write() as connection:
        row = await subscriptions.create(
            connection,
            call.workspace_id,
            url=url,
            events=_sorted(request.events or StatusEvent),
            secret=keyring.seal(secret.encode(), SECRET),
            paused=request.paused,
        )
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
    secret = None if request.secret is UNSET else given_or_new(request.secret, "#/secret")
    keyring = await call.services.keyring()

    def values(old: SubscriptionRow) -> Mapping[str, Any]:
        return changed if secret is None else changed | rotated(keyring, SECRET, "secret", secret, old.secret)

    row = await change_one(call, Kind.SUBSCRIPTION, "subscription", subscriptions.change, values)
    return Reply(_view(row, secret))


async def remove(call: Call) -> Reply:
    """Remove a subscription."""
    await remove_one(call, Kind.SUBSCRIPTION, "subscription", subscriptions.remove)
    return Reply()
