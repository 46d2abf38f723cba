"""Resend: one event a request, signed as Svix does, which is Standard Webhooks under names of its own.

Source: resend.com/docs/webhooks, "Event Types" and "Verify Webhooks Requests".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from channels import standard_webhooks
from channels.providers import reading
from channels.providers.contract import BadSignature, HookRequest, HookSecrets
from channels.providers.reading import Meaning
from models.events import ParsedEvent
from models.evidence import Provider

ID_HEADER: Final = "svix-id"
TIMESTAMP_HEADER: Final = "svix-timestamp"
SIGNATURE_HEADER: Final = "svix-signature"

_NAMES: Final = {
    standard_webhooks.ID_HEADER: ID_HEADER,
    standard_webhooks.TIMESTAMP_HEADER: TIMESTAMP_HEADER,
    standard_webhooks.SIGNATURE_HEADER: SIGNATURE_HEADER,
}
_MEANINGS: Final[Mapping[str, Meaning]] = {
    "email.sent": reading.ACCEPTED,
    "email.scheduled": reading.ACCEPTED,
    "email.delivered": reading.DELIVERED,
    "email.delivery_delayed": reading.DEFERRED,
    "email.bounced": reading.HARD,
    "email.complained": reading.COMPLAINED,
    "email.opened": reading.OPENED,
    "email.clicked": reading.CLICKED,
    "email.failed": reading.FAILED,
    "email.suppressed": reading.SUPPRESSED,
    "email.received": reading.IGNORED,
    "contact.created": reading.IGNORED,
    "contact.updated": reading.IGNORED,
    "contact.deleted": reading.IGNORED,
    "domain.created": reading.IGNORED,
    "domain.updated": reading.IGNORED,
    "domain.deleted": reading.IGNORED,
    "suppression.added": reading.IGNORED,
    "suppression.removed": reading.IGNORED,
}
_OUR_HEADERS: Final = ("x-wireroom-message", "message-id")


class ResendProvider:
    """Told apart by ``svix-id``, which every repetition has."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where a signature of the request is that of one of the keys; raises BadSignature."""
        named = {ours: request.headers.get(theirs, "") for ours, theirs in _NAMES.items()}
        try:
            standard_webhooks.verify(secrets.signing_keys, named, request.body, now=now_s)
        except ValueError as error:
            raise BadSignature(str(error)) from None

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The event."""
        delivery = request.headers.get(ID_HEADER, "")
        return reading.one(Provider.RESEND, request.body, lambda event, raw: [_read(event, raw, delivery)])


def _read(event: Any, raw: bytes, delivery: str) -> ParsedEvent:
    name = reading.word(event, "type")
    data = reading.at(event, "data")
    headers = reading.headers(data, "headers")
    cause = reading.at(data, "bounce") or reading.at(data, "failed") or reading.at(data, "suppressed")
    words = [reading.text(cause, key) for key in ("type", "subType", "message", "reason")]
    return _meaning(name, cause).event(
        provider_event=name,
        dedupe=reading.digest(Provider.RESEND, delivery),
        raw=raw,
        at=reading.moment(event, "created_at"),
        provider_ref=reading.reference(data, "email_id"),
        # Of several nobody says whom it is about.
        recipient=reading.reference(data, "to", 0) if reading.at(data, "to", 1) is None else None,
        reason=" ".join([word for word in words if word]) or None,
        **reading.ours(_tag(data), *(headers.get(each) for each in _OUR_HEADERS), reading.text(data, "message_id")),
    )


def _meaning(name: str, cause: Any) -> Meaning:
    meaning = _MEANINGS.get(name, reading.UNKNOWN)
    if meaning is not reading.HARD:
        return meaning
    if "suppress" in (reading.text(cause, "subType") or reading.text(cause, "message") or "").lower():
        return reading.SUPPRESSED
    is_passing = reading.word(cause, "type").lower() in ("transient", "undetermined")
    return reading.SOFT if is_passing else meaning


def _tag(data: Any) -> str | None:
    """Our own tag, from an object or from a list of names and values."""
    return reading.text(data, "tags", reading.KEY) or reading.headers(data, "tags").get(reading.KEY)
