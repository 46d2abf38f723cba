"""Rows as the "workspace" dialect shows them."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from api_shim.workspaces.campaign_types import CampaignView
from api_shim.workspaces.contact_types import BrowserView, ContactView
from api_shim.workspaces.setup_types import JourneyView
from api_shim.workspaces.template_types import TemplateParts, TemplateView
from api_shim.workspaces.types import AttemptView, MessageEventView, MessageView
from models import ids
from models.faults import fault_of, shown_reason
from models.ids import Kind
from models.lifecycle import BY_STATE, effective, facts_of, status_of
from models.parts import default_of, others_of
from models.sandboxes import is_sandbox
from models.store.campaigns import CampaignRow
from models.store.contacts import ContactRow
from models.store.event_views import EventRow
from models.store.exports import EventRow as ExportedEventRow
from models.store.journeys import JourneyRow
from models.store.message_views import AttemptRow, MessageEventRow, MessageRow
from models.store.push_subscriptions import PushSubscriptionRow
from models.store.templates import TemplateRow
from models.timestamps import show, show_optional
from models.vocabulary import BounceType, Channel, Fact, Lane, State, Status

_PROVIDER: Final = "wireroom"


def shown(kind: Kind, value: UUID | None) -> str | None:
    """A shown id, None for None."""
    return None if value is None else ids.show(kind, value)


def message_view(row: MessageRow, warnings: list[str] | None = None) -> MessageView:
    """A message; ``warnings`` for the answer to its creation."""
    # What has the same value in all messages just accepted is copied: a batch shows ten thousand of them.
    view = msgspec.structs.replace(
        _NOTHING_YET,
        id=ids.show(Kind.MESSAGE, row.id),
        test=is_sandbox(row.workspace_id),
        channel=row.channel,
        status=BY_STATE[row.state],
        subject=row.subject,
        step=row.step,
        lane=row.lane,
        contact_id=ids.show(Kind.CONTACT, row.contact_id),
        campaign_id=shown(Kind.CAMPAIGN, row.campaign_id),
        journey_id=shown(Kind.JOURNEY, row.journey_id),
        template_id=shown(Kind.TEMPLATE, row.template_id),
        metadata=row.metadata,
        topic=row.topic,
        essential=row.essential,
        held=row.state is State.HELD,
        send_at=show(row.due_at) if row.state is State.QUEUED else None,
        expires_at=show_optional(row.expires_at),
        queued_at=show(row.queued_at),
        warnings=UNSET if warnings is None else warnings,
    )
    return view if row.is_new else msgspec.structs.replace(view, **_what_became_of_it(row))


def message_fields(row: MessageRow) -> dict[str, Any]:
    """The fields that a message has in every answer."""
    return msgspec.structs.asdict(message_view(row))


_NOTHING_YET: Final = MessageView(
    id="",
    test=False,
    channel=Channel.EMAIL,
    status=Status.QUEUED,
    subject=None,
    step=1,
    lane=Lane.BULK,
    contact_id="",
    campaign_id=None,
    journey_id=None,
    template_id=None,
    metadata={},
    topic=None,
    essential=False,
    held=False,
    failure_reason=None,
    fault=None,
    bounce_type=None,
    send_at=None,
    expires_at=None,
    queued_at="",
    sending_at=None,
    sent_at=None,
    delivered_at=None,
    opened_at=None,
    clicked_at=None,
    bounced_at=None,
    failed_at=None,
    unsubscribed_at=None,
    complained_at=None,
    machine_opened_at=None,
    machine_clicked_at=None,
)


def _what_became_of_it(row: MessageRow) -> dict[str, Any]:
    facts = row.facts
    status = status_of(facts, row.state)
    return {
        "status": status,
        "failure_reason": shown_reason(status, row.failure_reason),
        "fault": fault_of(status, row.failure_reason),
        "bounce_type": _bounce_type(row),
        "sending_at": show_optional(row.sending_at),
        "sent_at": show_optional(effective(facts, Fact.SENT)),
        "delivered_at": show_optional(effective(facts, Fact.DELIVERED)),
        "opened_at": show_optional(effective(facts, Fact.OPENED)),
        "clicked_at": show_optional(row.clicked_at),
        "bounced_at": show_optional(bounced_at(row)),
        "failed_at": show_optional(_failed_at(row, status)),
        "unsubscribed_at": show_optional(row.unsubscribed_at),
        "complained_at": show_optional(row.complained_at),
        "machine_opened_at": show_optional(row.machine_opened_at),
        "machine_clicked_at": show_optional(row.machine_clicked_at),
    }


def bounced_at(row: MessageRow) -> int | None:
    """The first bounce, of either kind."""
    return min((at for at in (row.hard_bounced_at, row.soft_bounced_at) if at is not None), default=None)


def _bounce_type(row: MessageRow) -> BounceType | None:
    if row.hard_bounced_at is not None:
        return BounceType.HARD
    return None if row.soft_bounced_at is None else BounceType.SOFT


def _failed_at(row: MessageRow, status: Status) -> int | None:
    """The provider's word that it failed, else the time at which we gave it up."""
    if row.failed_at is not None:
        return row.failed_at
    return row.ended_at if status is Status.FAILED else None


def event_views(row: MessageRow, reported: Sequence[MessageEventRow]) -> list[MessageEventView]:
    """Our own transitions and all that was reported, in the order of their times."""
    facts = row.facts
    ours = [
        (row.queued_at, Status.QUEUED),
        (row.sending_at, Status.SENDING),
        (effective(facts, Fact.SENT), Status.SENT),
        (row.ended_at if BY_STATE[row.state] is Status.FAILED else None, Status.FAILED),
    ]
    transitions = [
        (at, MessageEventView(type=status.value.lower(), status=status, at=show(at), provider=_PROVIDER))
        for at, status in ours
        if at is not None
    ]
    events = [(event.at, _event_view(event)) for event in reported]
    return [view for _, view in sorted([*transitions, *events], key=lambda timed: timed[0])]


def _event_view(event: MessageEventRow) -> MessageEventView:
    return MessageEventView(
        id=ids.show(Kind.EVENT, event.id),
        type=event.type.value,
        status=_status_told(event),
        at=show(event.at),
        provider=event.provider,
        provider_event=event.provider_event,
        received_at=show(event.received_at),
        bounce_type=event.bounce_type,
        reason=event.reason,
        machine=event.machine,
    )


def _status_told(event: MessageEventRow) -> Status | None:
    """The status that the event alone would give a queued message; None where it tells no more than that it exists."""
    established = facts_of(event.type, bounce_type=event.bounce_type, machine=event.machine)
    told = status_of(dict.fromkeys(established - {Fact.SENT}, event.at), State.QUEUED)
    return None if told is Status.QUEUED else told


def event_fields(row: EventRow | ExportedEventRow) -> dict[str, Any]:
    """The fields that what came in has wherever it is shown."""
    return {
        "id": ids.show(Kind.EVENT, row.id),
        "type": row.type,
        "provider": row.provider,
        "provider_event": row.provider_event,
        "recipient": row.recipient,
        "at": show(row.at),
        "received_at": show(row.received_at),
        "bounce_type": row.bounce_type,
        "reason": row.reason,
        "machine": row.machine,
        "raw": row.raw.decode("utf-8", "replace"),
    }


def attempt_views(rows: Sequence[AttemptRow]) -> list[AttemptView]:
    """The attempts, numbered from 1."""
    return [
        AttemptView(
            number=number,
            started_at=show(row.started_at),
            ended_at=show(row.ended_at),
            outcome=row.outcome,
            code=row.code,
            detail=row.detail,
            settled_at=show_optional(row.settled_at),
        )
        for number, row in enumerate(rows, start=1)
    ]


def contact_view(row: ContactRow, *, new_secret: str | None = None) -> ContactView:
    """A contact; ``new_secret`` is shown when it was made just now."""
    return ContactView(
        id=ids.show(Kind.CONTACT, row.id),
        external_id=row.external_id,
        email=row.email,
        phone=row.phone,
        first_name=row.first_name,
        last_name=row.last_name,
        timezone=row.timezone,
        locale=row.locale,
        attributes=row.attributes,
        tags=row.tags,
        telegram_chat_id=row.telegram_chat_id,
        webhook_url=row.webhook_url,
        created_at=show(row.created_at),
        updated_at=show(row.updated_at),
        erased_at=UNSET if row.erased_at is None else show(row.erased_at),
        webhook_secret=UNSET if new_secret is None else new_secret,
        webhook_secret_previous_until=show_optional(row.webhook_secret_previous_until),
    )


def browser_view(row: PushSubscriptionRow) -> BrowserView:
    """A browser of a contact."""
    return BrowserView(
        id=ids.show(Kind.PUSH_SUBSCRIPTION, row.id),
        contact_id=ids.show(Kind.CONTACT, row.contact_id),
        endpoint=row.endpoint,
        topic=row.topic,
        created_at=show(row.created_at),
    )


def template_view(row: TemplateRow) -> TemplateView:
    """A template: the part for all that have none of their own, and the others."""
    part = default_of(row.parts)
    return TemplateView(
        id=ids.show(Kind.TEMPLATE, row.id),
        name=row.name,
        version=row.version,
        subject=part.get("subject"),
        body=part.get("body"),
        format=part.get("format"),
        parts=msgspec.convert(others_of(row.parts), TemplateParts),
        created_at=show(row.created_at),
        updated_at=show(row.changed_at),
    )


def campaign_view(row: CampaignRow) -> CampaignView:
    """A campaign."""
    return CampaignView(
        id=ids.show(Kind.CAMPAIGN, row.id), name=row.name, state=row.state, created_at=show(row.created_at)
    )


def journey_view(row: JourneyRow) -> JourneyView:
    """A journey."""
    return JourneyView(id=ids.show(Kind.JOURNEY, row.id), name=row.name, created_at=show(row.created_at))
