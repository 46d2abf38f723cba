"""The JSON of subscriptions in the "workspace" dialect."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.workspaces.contact_types import WebUrl
from api_shim.workspaces.paging import Pagination
from models.vocabulary import StatusEvent

_SECRET = Annotated[str, Meta(max_length=100, description="`whsec_…`; made if absent or null.")]
_EVENTS = Annotated[list[StatusEvent], Meta(min_length=1, max_length=50)]


class SubscriptionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint for our own status events; without ``events``, for all of them.

    It is kept, and nothing else: this version sends nothing to it yet. Until it does, ask `GET …/messages/{messageId}`.
    """

    url: WebUrl
    events: _EVENTS | None = None
    secret: _SECRET | None = None
    paused: bool = False


class SubscriptionPatch(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a subscription.

    A new ``secret``, or null to have one made, leaves the old one valid beside it for 24 hours.
    """

    url: WebUrl | UnsetType = UNSET
    events: _EVENTS | UnsetType = UNSET
    secret: _SECRET | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


class SubscriptionView(msgspec.Struct, rename="camel", kw_only=True):
    """A subscription. ``secret`` is shown once, when it is made or changed."""

    id: str
    url: str
    events: list[StatusEvent]
    paused: bool
    created_at: str
    previous_secret_until: str | None
    secret: str | UnsetType = UNSET


class SubscriptionList(msgspec.Struct):
    """A page of subscriptions, the newest first."""

    data: list[SubscriptionView]
    pagination: Pagination
