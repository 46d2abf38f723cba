"""The JSON of subscriptions in the "workspace" dialect."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.contact_types import WebUrl
from api_shim.workspaces.paging import PageQuery, Pagination
from models.vocabulary import NoticeState, Outcome, StatusEvent

_SECRET = Annotated[str, Meta(max_length=100, description="`whsec_…`; made if absent or null.")]
_EVENTS = Annotated[list[StatusEvent], Meta(min_length=1, max_length=50)]


class SubscriptionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint for our own status events; without ``events``, for all of them.

    From then on it is told of each thing the first time that it happens to a message: `{type, timestamp, data}`, signed
    by Standard Webhooks 1.0.0. `webhook-id` is the event's id, `msg_…:delivered`, by which a receiver knows what it has
    already: the same on every attempt. `timestamp` is when it happened. `data` holds `messageId workspaceId contactId
    externalId channel campaignId journeyId status bounceType failureReason metadata`: no address, and nothing of what
    was said. Events may come in any order. While it is `paused` they are kept, for 30 days. A workspace has 20
    subscriptions at most.
    """

    url: WebUrl
    events: _EVENTS | None = None
    secret: _SECRET | None = None
    paused: bool = False


class SubscriptionPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a subscription.

    A new ``secret``, or null to have one made, leaves the old one valid beside it for 24 hours. ``url``, or ``paused``
    false, switches it on again where it was switched off.
    """

    url: WebUrl | UnsetType = UNSET
    events: _EVENTS | UnsetType = UNSET
    secret: _SECRET | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


class SubscriptionView(msgspec.Struct, rename="camel", kw_only=True):
    """A subscription. ``secret`` is shown once, when it is made or changed.

    ``disabledAt``: since when it is switched off, and told nothing: it answered 410 (``disabledReason``
    `endpoint_gone`), or failed for five days, ten times at least (`endpoint_failing`).
    """

    id: str
    url: str
    events: list[StatusEvent]
    paused: bool
    disabled_at: str | None
    disabled_reason: str | None
    created_at: str
    previous_secret_until: str | None
    secret: str | UnsetType = UNSET


class SubscriptionList(msgspec.Struct):
    """A page of subscriptions, the newest first."""

    data: list[SubscriptionView]
    pagination: Pagination


class DeliveryQuery(PageQuery, rename="camel"):
    """Filters of what a subscription was told, all ANDed."""

    state: NoticeState | None = None
    message_id: str | None = None


class DeliveryAttempt(msgspec.Struct, rename="camel"):
    """One attempt to tell it."""

    number: int
    started_at: str
    ended_at: str
    outcome: Outcome
    code: str | None
    detail: str | None


class DeliveryView(msgspec.Struct, rename="camel"):
    """One event on its way to a subscription; ``id`` is its ``webhook-id``.

    ``at``: when it happened; ``recordedAt``: when that was known here. ``nextAttemptAt`` while it is pending; what
    ended is listed for seven days.
    """

    id: str
    type: StatusEvent
    message_id: str
    at: str
    recorded_at: str
    state: NoticeState
    next_attempt_at: str | None
    ended_at: str | None
    attempts: list[DeliveryAttempt]


class DeliveryList(msgspec.Struct):
    """A page of what a subscription was told, the newest first: of the newest 10,000 that the filters let through.

    ``total`` counts no more of them.
    """

    data: list[DeliveryView]
    pagination: Pagination
