"""Mailjet's Event API: one event a request, or an array where the callback is of version 2; not signed.

Anything but a 200 is repeated every 30 seconds for a day. Source: dev.mailjet.com/email/guides/webhooks.
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
    "sent": reading.DELIVERED,  # it is told once the recipient's server took it
    "open": reading.OPENED,
    "click": reading.CLICKED,
    "bounce": reading.SOFT,
    "blocked": reading.FAILED,
    "spam": reading.COMPLAINED,
    "unsub": reading.UNSUBSCRIBED,
    "typofix": reading.IGNORED,
    "parseapi": reading.IGNORED,
}
_PASSING: Final = "greylisted"


class MailjetProvider(Unsigned):
    """Told apart by what an event is about."""

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The events in their order. Raises TooManyEvents where there are more than 10,000."""
        return reading.each(Provider.MAILJET, request.body, _read)


def _read(event: Any, raw: bytes) -> list[ParsedEvent]:
    name = reading.word(event, "event")
    message_id = reading.reference(event, "MessageID")
    recipient = reading.reference(event, "email")
    time = reading.seconds(event, "time")
    facts = (message_id or reading.text(event, "Message_GUID"), recipient, name, time, reading.text(event, "url"))
    words = [reading.text(event, key) for key in ("error_related_to", "error", "comment", "source")]
    return [
        _meaning(name, event).event(
            provider_event=name,
            dedupe=reading.digest(Provider.MAILJET, *facts),
            raw=raw,
            at=time,
            provider_ref=message_id,
            recipient=recipient,
            reason=" ".join([word for word in words if word]) or None,
            **reading.ours(reading.text(event, "CustomID"), reading.text(event, "Payload")),
        )
    ]


def _meaning(name: str, event: Any) -> Meaning:
    if name != "bounce":
        return _MEANINGS.get(name, reading.UNKNOWN)
    if reading.at(event, "hard_bounce") is True:
        return reading.HARD
    return reading.DEFERRED if reading.word(event, "error") == _PASSING else reading.SOFT
