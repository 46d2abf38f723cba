"""Brevo: one event a request, or up to 500 in an array where its webhook is ``batched``; not signed.

``id`` is the webhook's, and names no event. Source: developers.brevo.com/docs/transactional-webhooks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels.providers import reading
from channels.providers.contract import HookRequest
from channels.providers.reading import Meaning
from channels.providers.unsigned import Unsigned
from models.events import ParsedEvent
from models.evidence import Provider
from models.vocabulary import BounceType, EventType

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "request": reading.ACCEPTED,
    "sent": reading.ACCEPTED,
    "delivered": reading.DELIVERED,
    "deferred": reading.DEFERRED,
    "soft_bounce": reading.SOFT,
    "hard_bounce": reading.HARD,
    "invalid_email": Meaning(EventType.BOUNCED, BounceType.HARD, reason="invalid_address"),
    "blocked": reading.FAILED,
    "error": reading.FAILED,
    "spam": reading.COMPLAINED,
    "complaint": reading.COMPLAINED,
    "unsubscribed": reading.UNSUBSCRIBED,
    "unsubscribe": reading.UNSUBSCRIBED,
    "opened": reading.OPENED,
    "open": reading.OPENED,
    "unique_opened": reading.OPENED,
    "proxy_open": reading.OPENED_BY_MACHINE,
    "unique_proxy_open": reading.OPENED_BY_MACHINE,
    "click": reading.CLICKED,
    "list_addition": reading.IGNORED,
    "contact_updated": reading.IGNORED,
    "contact_deleted": reading.IGNORED,
    "inbound_email_processed": reading.IGNORED,
}


class BrevoProvider(Unsigned):
    """Told apart by what an event is about."""

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The events in their order. Raises TooManyEvents where there are more than 10,000."""
        return reading.each(Provider.BREVO, request.body, _read)


def _read(event: Any, raw: bytes) -> list[ParsedEvent]:
    name = reading.word(event, "event")
    message_id = reading.message_id(event, "message-id")
    recipient = reading.reference(event, "email")
    # ``ts`` is when the message was sent, ``ts_epoch`` in milliseconds or, in its documentation's examples, seconds.
    time = reading.seconds(event, "ts_event") or reading.seconds(event, "ts")
    facts = (message_id, recipient, name, time, reading.text(event, "link"), reading.text(event, "reason"))
    return [
        _MEANINGS.get(name, reading.UNKNOWN).event(
            provider_event=name,
            dedupe=reading.digest(Provider.BREVO, *facts),
            raw=raw,
            at=time,
            provider_ref=message_id,
            recipient=recipient,
            reason=reading.text(event, "reason"),
            **reading.ours(reading.text(event, "X-Mailin-custom"), message_id),
        )
    ]
