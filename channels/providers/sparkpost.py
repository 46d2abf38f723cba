"""SparkPost: an array of ``{"msys": {class: event}}``, where an empty ``msys`` is a ping; not signed.

Source: developers.sparkpost.com/api/webhooks, "Webhook Event Types", and "Bounce Classification Codes".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels.providers import reading
from channels.providers.contract import HookRequest
from channels.providers.reading import Meaning
from channels.providers.unsigned import Unsigned
from models.events import ParsedEvent
from models.evidence import Provider
from models.vocabulary import EventType

_BOUNCES: Final = frozenset({"bounce", "out_of_band"})
_MEANINGS: Final[Mapping[str, Meaning]] = {
    "injection": reading.ACCEPTED,
    "delivery": reading.DELIVERED,
    "delay": reading.DEFERRED,
    "spam_complaint": reading.COMPLAINED,
    "policy_rejection": reading.FAILED,
    "generation_failure": reading.FAILED,
    "generation_rejection": reading.FAILED,
    "open": reading.OPENED,
    "initial_open": reading.OPENED,
    "amp_open": reading.OPENED,
    "amp_initial_open": reading.OPENED,
    "click": reading.CLICKED,
    "amp_click": reading.CLICKED,
    "list_unsubscribe": reading.UNSUBSCRIBED,
    "link_unsubscribe": reading.UNSUBSCRIBED,
    "sms_status": reading.IGNORED,
    "relay_message": reading.IGNORED,
    "relay_injection": reading.IGNORED,
    "relay_rejection": reading.IGNORED,
    "relay_delivery": reading.IGNORED,
    "relay_tempfail": reading.IGNORED,
    "relay_permfail": reading.IGNORED,
    "ab_test_completed": reading.IGNORED,
    "ab_test_cancelled": reading.IGNORED,
    "success": reading.IGNORED,  # of what was imported, as the next
    "error": reading.IGNORED,
}
_CLASSES: Final[Mapping[str, Meaning]] = {
    "1": reading.SOFT,  # undetermined
    "10": reading.HARD,  # invalid recipient
    "20": reading.SOFT,
    "21": reading.SOFT,  # DNS
    "22": reading.SOFT,  # mailbox full
    "23": reading.SOFT,  # too large
    "24": reading.SOFT,  # time-out
    "25": reading.BLOCKED,  # the sender's own policy
    "26": reading.SUPPRESSED,
    "30": reading.HARD,  # no such recipient
    "40": reading.SOFT,
    "50": reading.BLOCKED,
    "51": reading.BLOCKED,  # spam, by the sender
    "52": reading.BLOCKED,  # spam, by its content
    "53": reading.BLOCKED,  # attachment
    "54": reading.BLOCKED,  # relaying denied
    "60": reading.IGNORED,  # an automatic answer
    "70": reading.SOFT,
    "80": reading.IGNORED,  # a request to subscribe
    "90": reading.UNSUBSCRIBED,  # a request to unsubscribe: SparkPost calls it hard, but somebody wrote it
    "100": reading.IGNORED,  # a challenge
}
# What it says of an address on its own list, under a class that has other reasons too.
_OWN_LIST: Final = "recipient address was suppressed"


class SparkPostProvider(Unsigned):
    """Told apart by ``event_id``."""

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The events in their order, none of a ping. Raises TooManyEvents where there are more than 10,000."""
        return reading.each(Provider.SPARKPOST, request.body, _read)


def _read(whole: Any, raw: bytes) -> Sequence[ParsedEvent]:
    classes = reading.at(whole, "msys")
    # Each event is kept with all that it came in: of many in one, that would be kept many times.
    if not isinstance(classes, dict) or len(classes) > 1:
        return [reading.unreadable(Provider.SPARKPOST, raw, ValueError("no msys of one event"))]
    return [_event(kind, event, raw) for kind, event in classes.items()]


def _event(kind: str, event: Any, raw: bytes) -> ParsedEvent:
    name = reading.word(event, "type") or reading.clean(kind, reading.LONGEST_WORD)
    bounce_class = reading.word(event, "bounce_class") if name in _BOUNCES else ""
    message_id = reading.reference(event, "message_id")
    recipient = reading.reference(event, "raw_rcpt_to") or reading.reference(event, "rcpt_to")
    time = reading.seconds(event, "timestamp") or reading.moment(event, "timestamp")
    event_id = reading.text(event, "event_id")
    facts = (message_id, recipient, name, time, bounce_class, reading.text(event, "target_link_url"))
    metadata = reading.text(event, "rcpt_meta", reading.KEY)
    return _meaning(name, bounce_class, event).event(
        provider_event=f"{name}/{bounce_class}" if bounce_class else name,
        dedupe=reading.digest(Provider.SPARKPOST, *((event_id,) if event_id else facts)),
        raw=raw,
        at=time,
        provider_ref=message_id,
        recipient=recipient,
        reason=reading.text(event, "raw_reason") or reading.text(event, "reason"),
        **reading.ours(metadata),
    )


def _meaning(name: str, bounce_class: str, event: Any) -> Meaning:
    if name in _BOUNCES:
        is_listed = _OWN_LIST in (reading.text(event, "raw_reason") or "").lower()
        return reading.SUPPRESSED if is_listed else _CLASSES.get(bounce_class, reading.SOFT)
    meaning = _MEANINGS.get(name, reading.UNKNOWN)
    is_machine = reading.at(event, "is_prefetched") is True
    return reading.OPENED_BY_MACHINE if meaning.type is EventType.OPENED and is_machine else meaning
