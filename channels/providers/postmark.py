"""Postmark: one event a request, told by ``RecordType``; not signed.

Source: postmarkapp.com/developer/webhooks and its Bounce API, "Bounce types".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels.providers import reading
from channels.providers.contract import HookRequest
from channels.providers.reading import Meaning
from channels.providers.unsigned import Unsigned
from models.events import ParsedEvent
from models.evidence import Provider

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "Delivery": reading.DELIVERED,
    "SpamComplaint": reading.COMPLAINED,
    "Open": reading.OPENED,
    "Click": reading.CLICKED,
    "Inbound": reading.IGNORED,
}
_BOUNCES: Final[Mapping[str, Meaning]] = {
    "HardBounce": reading.HARD,
    "SoftBounce": reading.SOFT,
    "Unknown": reading.SOFT,
    "Undeliverable": reading.SOFT,
    "Transient": reading.DEFERRED,
    "DnsError": reading.DEFERRED,
    "Blocked": reading.FAILED,
    "DMARCPolicy": reading.FAILED,
    "BadEmailAddress": reading.FAILED,
    "ManuallyDeactivated": reading.SUPPRESSED,
    "Unconfirmed": reading.FAILED,
    "SMTPApiError": reading.FAILED,
    "TemplateRenderingFailed": reading.FAILED,
    "VirusNotification": reading.FAILED,
    "SpamNotification": reading.COMPLAINED,
    "SpamComplaint": reading.COMPLAINED,
    "Unsubscribe": reading.UNSUBSCRIBED,
    "Subscribe": reading.IGNORED,
    "AutoResponder": reading.IGNORED,
    "AddressChange": reading.IGNORED,
    "ChallengeVerification": reading.IGNORED,
    "OpenRelayTest": reading.IGNORED,
    "InboundError": reading.IGNORED,
}
_SUPPRESSIONS: Final[Mapping[str, Meaning]] = {
    "HardBounce": reading.HARD,
    "SpamComplaint": reading.COMPLAINED,
    "ManualSuppression": reading.UNSUBSCRIBED,
}
_TIMES: Final = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


class PostmarkProvider(Unsigned):
    """Told apart by a bounce's id, else by what the event is about."""

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The event."""
        return reading.one(Provider.POSTMARK, request.body, _read)


def _read(event: Any, raw: bytes) -> list[ParsedEvent]:
    record, detail = reading.word(event, "RecordType"), ""
    if record == "Bounce":
        detail = reading.word(event, "Type")
    elif record == "SubscriptionChange":
        detail = reading.word(event, "SuppressionReason")
    time = next((found for name in _TIMES if (found := reading.text(event, name))), None)
    message_id = reading.reference(event, "MessageID")
    recipient = reading.reference(event, "Recipient") or reading.reference(event, "Email")
    bounce_id = reading.text(event, "ID")
    is_told_apart = bounce_id is not None and record in ("Bounce", "SpamComplaint")
    about = (message_id, recipient, time, detail, reading.text(event, "OriginalLink"))
    words = [reading.text(event, name) for name in ("Description", "Details")]
    return [
        _meaning(record, detail, event).event(
            provider_event=f"{record}/{detail}" if detail else record,
            dedupe=reading.digest(Provider.POSTMARK, record, *((bounce_id,) if is_told_apart else about)),
            raw=raw,
            at=reading.moment(time),
            provider_ref=message_id,
            recipient=recipient,
            reason=" ".join([word for word in words if word]) or None,
            **reading.ours(_metadata(event)),
        )
    ]


def _meaning(record: str, detail: str, event: Any) -> Meaning:
    if record == "Bounce":
        return _BOUNCES.get(detail, reading.UNKNOWN)
    if record == "SubscriptionChange":
        is_suppressed = reading.at(event, "SuppressSending") is True
        if is_suppressed:
            return _SUPPRESSIONS.get(detail, reading.UNKNOWN)
        # What the sender's own people or Postmark's let through again says nothing of the reader's wish.
        return reading.RESUBSCRIBED if reading.word(event, "Origin") in ("Recipient", "") else reading.IGNORED
    return _MEANINGS.get(record, reading.UNKNOWN)


def _metadata(event: Any) -> str | None:
    """Our own entry, in whatever letter case the header that brought it was kept."""
    metadata = reading.at(event, "Metadata")
    names = metadata if isinstance(metadata, dict) else {}
    return next((reading.text(metadata, name) for name in names if name.lower() == reading.KEY), None)
