"""What a subscription is told of a message: a webhook's id and body, without any address and without what was said."""

from typing import Any, Final

import msgspec

from channels.webhook import Notice
from models import ids, timestamps
from models.ids import Kind, event_id
from models.store.status_events import Told
from models.vocabulary import Channel, Status, StatusEvent

_STATUSES: Final = {
    StatusEvent.SENT: Status.SENT,
    StatusEvent.DELIVERED: Status.DELIVERED,
    StatusEvent.OPENED: Status.OPENED,
    StatusEvent.CLICKED: Status.CLICKED,
    StatusEvent.BOUNCED: Status.BOUNCED,
    StatusEvent.FAILED: Status.FAILED,
    StatusEvent.UNSUBSCRIBED: Status.UNSUBSCRIBED,
    StatusEvent.COMPLAINED: Status.UNSUBSCRIBED,
}


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str
    workspace_id: str
    contact_id: str
    external_id: str | None
    channel: Channel
    campaign_id: str | None
    journey_id: str | None
    status: Status
    bounce_type: str | None
    failure_reason: str | None
    metadata: dict[str, Any]


class _Payload(msgspec.Struct, frozen=True):
    type: StatusEvent
    timestamp: str
    data: _Data


_ENCODER: Final = msgspec.json.Encoder()


def notice(told: Told) -> Notice:
    """The webhook. ``status`` is what the event stands for by itself: what came since may outrank it."""
    data = _Data(
        message_id=ids.show(Kind.MESSAGE, told.message_id),
        workspace_id=ids.show(Kind.WORKSPACE, told.subscription.workspace_id),
        contact_id=ids.show(Kind.CONTACT, told.contact_id),
        external_id=told.external_id,
        channel=told.channel,
        campaign_id=None if told.campaign_id is None else ids.show(Kind.CAMPAIGN, told.campaign_id),
        journey_id=None if told.journey_id is None else ids.show(Kind.JOURNEY, told.journey_id),
        status=_STATUSES[told.type],
        bounce_type=told.reason if told.type is StatusEvent.BOUNCED else None,
        failure_reason=told.reason if told.type is StatusEvent.FAILED else None,
        metadata=told.metadata,
    )
    return Notice(
        event_id(told.message_id, told.type), _ENCODER.encode(_Payload(told.type, timestamps.show(told.at), data))
    )
