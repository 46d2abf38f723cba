"""SendGrid's Event Webhook: an array of events, signed by ECDSA on P-256 with SHA-256 over timestamp and body.

Source: twilio.com/docs/sendgrid/for-developers/tracking-events, "Event Webhook Reference" and "Security Features".
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from channels.providers import reading
from channels.providers.contract import BadSignature, HookRequest, HookSecrets
from channels.providers.proofs import check_age, exact_base64
from channels.providers.reading import Meaning
from models.events import ParsedEvent
from models.evidence import Provider
from models.vocabulary import EventType

SIGNATURE_HEADER: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP_HEADER: Final = "x-twilio-email-event-webhook-timestamp"

# It repeats a request for 24 hours; whether it then signs anew is said nowhere.
_OLDEST_S: Final = 25 * 3600

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "processed": reading.ACCEPTED,
    "deferred": reading.DEFERRED,
    "delivered": reading.DELIVERED,
    "bounce": reading.HARD,
    "blocked": reading.BLOCKED,
    "dropped": reading.FAILED,
    "open": reading.OPENED,
    "click": reading.CLICKED,
    "spamreport": reading.COMPLAINED,
    "unsubscribe": reading.UNSUBSCRIBED,
    "group_unsubscribe": reading.UNSUBSCRIBED,
    "group_resubscribe": reading.RESUBSCRIBED,
    "account_status_change": reading.IGNORED,
}
# By the classification of a bounce; what is not here is as the event says.
_PASSING: Final = frozenset({"technical", "content", "reputation", "frequency or volume", "mailbox unavailable"})
# What a drop says of an address that SendGrid itself does not write to any more.
_SUPPRESSED: Final = frozenset({"bounced address", "unsubscribed address", "spam reporting address", "invalid"})


def read_key(text: str) -> ec.EllipticCurvePublicKey:
    """The verification key: base64 of a SubjectPublicKeyInfo, without a PEM's frame. Raises ValueError."""
    try:
        key = serialization.load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise ValueError("must be SendGrid's verification key: base64 without a frame, as its page shows it") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("must be SendGrid's verification key: a public key on the curve P-256")
    return key


class SendGridProvider:
    """Told apart by what an event is about: its own id may change when it is repeated."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where one of the keys signed timestamp and body; raises BadSignature."""
        signature = exact_base64(request.headers.get(SIGNATURE_HEADER, ""))
        timestamp = request.headers.get(TIMESTAMP_HEADER, "")
        check_age(timestamp, now_s, most_s=_OLDEST_S)
        for key in secrets.signing_keys:
            try:
                read_key(key).verify(signature, timestamp.encode() + request.body, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                continue
            return
        raise BadSignature("no key made this signature")

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The events in their order. Raises TooManyEvents where there are more than 10,000."""
        return reading.each(Provider.SENDGRID, request.body, _read)


def _read(event: Any, raw: bytes) -> list[ParsedEvent]:
    name = reading.word(event, "event")
    # It is the message's id at the relay, to which a part for each recipient was added behind a full stop.
    own_id = reading.reference(event, "sg_message_id")
    facts = [reading.text(event, key) for key in ("email", "event", "type", "timestamp", "url")]
    repeated = reading.digest(Provider.SENDGRID, own_id, *facts)
    event_id = reading.text(event, "sg_event_id")
    return [
        _meaning(name, event).event(
            provider_event=name,
            dedupe=repeated if own_id or not event_id else reading.digest(Provider.SENDGRID, event_id),
            raw=raw,
            at=reading.seconds(event, "timestamp"),
            provider_ref=None if own_id is None else own_id.partition(".")[0],
            recipient=reading.reference(event, "email"),
            reason=reading.text(event, "reason") or reading.text(event, "response"),
            **reading.ours(reading.text(event, reading.KEY), reading.text(event, "smtp-id")),
        )
    ]


def _meaning(name: str, event: Any) -> Meaning:
    meaning = _MEANINGS.get(name, reading.UNKNOWN)
    if name == "bounce" and reading.word(event, "type").lower() == "blocked":
        return reading.BLOCKED
    if name == "bounce" and reading.word(event, "bounce_classification").lower() in _PASSING:
        return reading.SOFT
    if name == "dropped" and reading.word(event, "reason").lower() in _SUPPRESSED:
        return reading.SUPPRESSED
    if meaning.type is EventType.OPENED and reading.at(event, "sg_machine_open") is True:
        return reading.OPENED_BY_MACHINE
    return meaning
