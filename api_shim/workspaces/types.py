"""The JSON of messages in the "workspace" dialect. These types validate what comes in and make the document."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_shim.problems import ProblemBody
from api_shim.text_forms import CONTENT_ID, MEDIA_TYPE, NO_CONTROLS, VISIBLE_ASCII
from api_shim.workspaces.campaign_types import CampaignView
from api_shim.workspaces.contact_types import ContactView
from api_shim.workspaces.paging import Moment, PageQuery, Pagination, Word
from api_shim.workspaces.setup_types import JourneyView
from api_shim.workspaces.template_types import TemplateView
from models.content import Attachment
from models.faults import Fault
from models.vocabulary import BounceType, Channel, FailureReason, Lane, OnUnknown, Outcome, Status


class MessageQuery(PageQuery, rename="camel"):
    """Filters of the message list, all ANDed."""

    channel: Channel | None = None
    status: Status | None = None
    contact_id: str | None = None
    campaign_id: str | None = None
    held: bool | None = None
    fault: Fault | None = None


class AttachmentRequest(Attachment, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A file of a mail; ``content`` is base64, ``contentId`` makes it an inline image."""

    filename: Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_CONTROLS)]
    content_type: Annotated[str, Meta(max_length=127, pattern=MEDIA_TYPE)]
    content: bytes
    content_id: Annotated[str, Meta(max_length=200, pattern=CONTENT_ID)] | None = None


class Tracking(msgspec.Struct, forbid_unknown_fields=True):
    """Whether opens and clicks are followed; what is left out is as the workspace has it."""

    opens: bool | None = None
    clicks: bool | None = None


_TELEGRAM_FILE: Final = "An http or https URL, or a file id; the text is its caption where it fits. Either of the two."


class TelegramButton(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A button under a Telegram message: it has either ``url``, and opens it, or ``callbackData`` for the bot.

    An http or https address is led through us where clicks are followed. ``callbackData`` is at most 64 bytes.
    """

    text: Annotated[str, Meta(min_length=1, max_length=64)]
    url: Annotated[str, Meta(max_length=2048)] | None = None
    callback_data: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class Options(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What one channel alone knows.

    PUSH ``ttl urgency icon url``, TELEGRAM ``buttons photo document silent``, ONSITE ``url icon``.
    """

    ttl: Annotated[int, Meta(ge=0, le=2_419_200, description="Seconds a push service keeps it (RFC 8030).")] | None = (
        None
    )
    urgency: Literal["very-low", "low", "normal", "high"] | None = None
    icon: Annotated[str, Meta(max_length=2048)] | None = None
    url: Annotated[str, Meta(max_length=2048)] | None = None
    buttons: (
        Annotated[
            list[TelegramButton | Annotated[list[TelegramButton], Meta(max_length=8)]],
            Meta(max_length=100, description="Rows of buttons; a button that is in no row is a row of its own."),
        ]
        | None
    ) = None
    photo: Annotated[str, Meta(max_length=2048, description=_TELEGRAM_FILE)] | None = None
    document: Annotated[str, Meta(max_length=2048, description=_TELEGRAM_FILE)] | None = None
    silent: Annotated[bool, Meta(description="Telegram rings no bell.")] | None = None


class MessageRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """One message to one contact. Either ``body`` or ``templateId`` is needed."""

    contact_id: Annotated[str, Meta(description="Target contact ID.")]
    channel: Annotated[Channel, Meta(description="One that nobody configured a sender for is refused: 422.")]
    subject: Annotated[str, Meta(max_length=1000, description="May hold {{name}}.")] | None = None
    body: (
        Annotated[
            str,
            Meta(
                description="May hold {{name}}, {{unsubscribeUrl}} for the page to unsubscribe on and "
                "{{preferencesUrl}} for the one to choose on; HTML where it begins with <."
            ),
        ]
        | None
    ) = None
    template_id: str | None = None
    campaign_id: str | None = None
    journey_id: str | None = None
    metadata: dict[str, Any] | None = None
    step: Annotated[int, Meta(ge=1, le=2_147_483_647)] = 1
    send_at: Moment | None = None
    expires_at: Moment | None = None
    lane: Lane | None = None
    topic: Word | None = None
    essential: bool = False
    tracking: Tracking | None = None
    on_unknown: OnUnknown = OnUnknown.RETRY
    to: Annotated[str, Meta(min_length=1, max_length=320)] | None = None
    format: Literal["html", "text", "markdownv2"] | None = None
    attachments: Annotated[tuple[AttachmentRequest, ...], Meta(max_length=100)] = ()
    headers: dict[str, str] = {}
    options: Options | None = None


class BatchMessageRequest(MessageRequest, rename="camel", forbid_unknown_fields=True):
    """One message of a batch. ``idempotencyKey``: as the header of a single message, before the batch's own."""

    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255, pattern=VISIBLE_ASCII)] | UnsetType = UNSET


class MessageView(msgspec.Struct, rename="camel", kw_only=True):
    """A message. Every time is null until it happened; ``warnings`` are on the answer to its creation alone.

    ``sendAt`` is when it is due, while it waits. ``held``: nobody knows whether the last attempt arrived. ``fault``:
    of one that did not arrive, who can do something about it. ``test``: a test key sent it; it stays in the house.
    """

    id: str
    test: bool
    channel: Channel
    status: Status
    subject: str | None
    step: int
    lane: Lane
    contact_id: str
    campaign_id: str | None
    journey_id: str | None
    template_id: str | None
    metadata: dict[str, Any]
    topic: str | None
    essential: bool
    held: bool
    failure_reason: FailureReason | None
    fault: Fault | None
    bounce_type: BounceType | None
    send_at: str | None
    expires_at: str | None
    queued_at: str
    sending_at: str | None
    sent_at: str | None
    delivered_at: str | None
    opened_at: str | None
    clicked_at: str | None
    bounced_at: str | None
    failed_at: str | None
    unsubscribed_at: str | None
    complained_at: str | None
    machine_opened_at: str | None
    machine_clicked_at: str | None
    warnings: list[str] | UnsetType = UNSET


class MessageEventView(msgspec.Struct, rename="camel", kw_only=True):
    """One thing that happened to a message: our own transition, or what a provider or a reader reported.

    ``status`` is the status it stands for, null where it changes none.
    """

    type: str
    status: Status | None
    at: str
    provider: str
    id: str | None = None
    provider_event: str | None = None
    received_at: str | None = None
    bounce_type: BounceType | None = None
    reason: str | None = None
    machine: bool = False


class AttemptView(msgspec.Struct, rename="camel"):
    """One attempt to send.

    ``settledAt``: when a report came that proves that it arrived, where its end was ``unknown`` or ``ambiguous``.
    """

    number: int
    started_at: str
    ended_at: str
    outcome: Outcome
    code: str | None
    detail: str | None
    settled_at: str | None


class MessageDetailView(MessageView, rename="camel", kw_only=True):
    """A message with all that belongs to it."""

    contact: ContactView | None
    template: TemplateView | None
    campaign: CampaignView | None
    journey: JourneyView | None
    events: list[MessageEventView]
    attempts: list[AttemptView]


class MessageList(msgspec.Struct):
    """A page of messages, the newest first."""

    data: list[MessageView]
    pagination: Pagination


class BatchItem(msgspec.Struct, kw_only=True):
    """What became of one item: 200 and its ``message``, or its ``problem``; then nothing of it was stored."""

    status: int
    message: MessageView | UnsetType = UNSET
    problem: ProblemBody | UnsetType = UNSET


class BatchReply(msgspec.Struct):
    """One entry per item of the batch, in its order."""

    data: list[BatchItem]
