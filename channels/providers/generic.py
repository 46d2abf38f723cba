"""The generic provider: any service that signs with Standard Webhooks and speaks our own format.

``{events: [{id, type, messageId, at, detail, bounceType}]}``; ``type`` is one of ``delivered opened clicked bounced
deferred complained unsubscribed failed``, ``bounceType`` is ``hard`` (default) or ``soft``.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from channels import standard_webhooks
from channels.json_arrays import TooManyItems, raw_items
from channels.providers import reading
from channels.providers.contract import BadSignature, HookRequest, HookSecrets, TooManyEvents
from models import ids
from models.events import ParsedEvent
from models.vocabulary import BounceType, EventType

_TYPES: Final = {
    word.value: word
    for word in (
        EventType.DELIVERED,
        EventType.OPENED,
        EventType.CLICKED,
        EventType.BOUNCED,
        EventType.DEFERRED,
        EventType.COMPLAINED,
        EventType.UNSUBSCRIBED,
        EventType.FAILED,
    )
}


class GenericEvent(msgspec.Struct, rename="camel"):
    """One event.

    ``type`` is one of ``delivered opened clicked bounced deferred complained unsubscribed failed``; ``at`` is
    RFC 3339; ``bounceType`` is ``hard`` (the default) or ``soft``; ``id`` tells repetitions apart.
    """

    type: str
    id: str | int | None = None
    message_id: str | None = None
    at: str | None = None
    detail: Any = None
    bounce_type: str | None = None


class GenericBody(msgspec.Struct):
    """The body of a request of the generic provider."""

    events: list[GenericEvent]


class _RawBody(msgspec.Struct):
    """The same, read one event at a time, so that a bad one spoils no other."""

    events: msgspec.Raw


_BODY: Final = msgspec.json.Decoder(_RawBody)
_EVENT: Final = msgspec.json.Decoder(GenericEvent)


class GenericProvider:
    """Standard Webhooks and our own format. Deduplicates by the event's ``id``, else by ``webhook-id`` and place."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where a signature of the request is that of one of the hook's keys; raises BadSignature."""
        try:
            standard_webhooks.verify(secrets.signing_keys, request.headers, request.body, now=now_s)
        except ValueError as error:
            raise BadSignature(str(error)) from None

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The events in their order; what cannot be read is kept as IGNORED, with the reason.

        Raises TooManyEvents where there are more than 10,000.
        """
        delivery = request.headers.get(standard_webhooks.ID_HEADER, "")
        try:
            items = raw_items(_BODY.decode(request.body).events, reading.MOST_EVENTS)
        except TooManyItems:
            raise TooManyEvents(f"at most {reading.MOST_EVENTS:,} events") from None
        except reading.UNREADABLE as error:
            return [_unreadable(request.body, f"{delivery}#", error)]
        return [_parse_one(raw, f"{delivery}#{place}") for place, raw in enumerate(items)]


def _parse_one(raw: bytes, place: str) -> ParsedEvent:
    try:
        event = _EVENT.decode(raw)
    except reading.UNREADABLE as error:
        return _unreadable(raw, place, error)
    kind = _TYPES.get(event.type)
    return ParsedEvent(
        type=EventType.IGNORED if kind is None else kind,
        provider_event=reading.clean(event.type, reading.LONGEST_WORD) if kind is None else kind,
        dedupe=_digest("place", place) if event.id is None else _digest("id", str(event.id)),
        raw=raw,
        at=None if event.at is None else reading.time_of(event.at),
        message_ref=None if event.message_id is None else ids.parse(ids.Kind.MESSAGE, event.message_id),
        bounce_type=_bounce_type(event) if kind is EventType.BOUNCED else None,
        reason=_reason(event.detail) if kind is not None else "unknown event type",
    )


def _unreadable(raw: bytes, place: str, error: Exception) -> ParsedEvent:
    reason = f"not readable: {error}"
    return reading.IGNORED.event(provider_event="", dedupe=_digest("place", place), raw=raw, at=None, reason=reason)


def _digest(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"generic|{kind}|{text}".encode("utf-8", "surrogateescape")).digest()


def _bounce_type(event: GenericEvent) -> BounceType:
    return BounceType.SOFT if event.bounce_type == BounceType.SOFT else BounceType.HARD


def _reason(detail: Any) -> str | None:
    if detail is None:
        return None
    said = detail if isinstance(detail, str) else msgspec.json.encode(detail).decode()
    return reading.clean(said, reading.LONGEST_REASON)
