"""Mailgun: one event a request, as JSON or as the form of the former webhooks.

Signed by HMAC-SHA256 over timestamp and token alone: a seen signature could come with any body. So a token is good
for one body (``token``), which the server remembers. Source: documentation.mailgun.com, "Webhooks" and "Securing
Webhooks"; help.mailgun.com, "Legacy Webhooks".
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.providers import forms, reading
from channels.providers.contract import BadSignature, HookRequest, HookSecrets
from channels.providers.proofs import check_age, same
from channels.providers.reading import Meaning
from models.events import ParsedEvent
from models.evidence import Provider
from models.vocabulary import EventType

OLDEST_S: Final = 9 * 3600
"""It repeats a request for 8 hours under the signature that the first one had."""

_LONGEST_TOKEN: Final = 200
_DAY_MS: Final = 86_400_000

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "accepted": reading.ACCEPTED,
    "stored": reading.IGNORED,
    "delivered": reading.DELIVERED,
    "failed/temporary": reading.DEFERRED,
    "failed/permanent": reading.HARD,
    "failed": reading.FAILED,
    "rejected": reading.FAILED,
    "opened": reading.OPENED,
    "clicked": reading.CLICKED,
    "complained": reading.COMPLAINED,
    "unsubscribed": reading.UNSUBSCRIBED,
    "list_member_uploaded": reading.IGNORED,
    "list_member_upload_error": reading.IGNORED,
    "list_uploaded": reading.IGNORED,
    "email_validation": reading.IGNORED,
}
_LEGACY: Final[Mapping[str, Meaning]] = {
    "delivered": reading.DELIVERED,
    "dropped": reading.FAILED,
    "bounced": reading.HARD,
    "complained": reading.COMPLAINED,
    "unsubscribed": reading.UNSUBSCRIBED,
    "opened": reading.OPENED,
    "clicked": reading.CLICKED,
}
# Addresses that Mailgun itself does not write to any more.
_SUPPRESSIONS: Final = ("suppress-", "hardfail")
_BOTS: Final = frozenset({"apple", "generic"})


class Signed(msgspec.Struct, frozen=True, rename="kebab"):
    """The fields that prove a request. ``parent_signature``: the same under the key of the account above, if any."""

    timestamp: str
    token: str
    signature: str
    parent_signature: str | None = None


class MailgunProvider:
    """Told apart by an event's id, which is unique within a day, the day and its name."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where one of the keys signed the request's token, at most nine hours ago; raises BadSignature.

        A subaccount's request is signed by its own key and by that of its primary account: either will do.
        """
        signed = _signed(request)
        check_age(signed.timestamp, now_s, most_s=OLDEST_S)
        if not 0 < len(signed.token) <= _LONGEST_TOKEN:
            raise BadSignature("no token")
        text = (signed.timestamp + signed.token).encode("utf-8", "surrogateescape")
        expected = [hmac.digest(key.encode(), text, "sha256").hex() for key in secrets.signing_keys]
        if not (same(signed.signature, expected) or same(signed.parent_signature or "", expected)):
            raise BadSignature("no key made this signature")

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The event."""
        if not forms.is_form(request):
            return reading.one(Provider.MAILGUN, request.body, _read)
        try:
            return [_read_legacy(forms.fields(request), request.body)]
        except ValueError as error:
            return [reading.unreadable(Provider.MAILGUN, request.body, error)]


def token(request: HookRequest) -> str:
    """The request's token, which is good for its body alone; raises BadSignature where there is none."""
    return _signed(request).token


def _signed(request: HookRequest) -> Signed:
    """Of a form the last of each: variables of the sender's own may stand among the first."""
    try:
        if forms.is_form(request):
            return msgspec.convert(dict(forms.fields(request)), Signed)
        given = reading.at(msgspec.json.decode(request.body), "signature")
        timestamp = reading.at(given, "timestamp")
        # Shown as a text and as a number.
        return msgspec.convert(given | {"timestamp": str(timestamp)} if type(timestamp) is int else given, Signed)
    except (ValueError, *reading.UNREADABLE):
        raise BadSignature("no signature") from None


def _read(whole: Any, raw: bytes) -> list[ParsedEvent]:
    event = reading.at(whole, "event-data")
    name = reading.word(event, "event")
    severity = reading.word(event, "severity")
    shown = f"{name}/{severity}" if severity else name
    at = reading.seconds(event, "timestamp")
    own_id = reading.text(event, "id")
    message_id = reading.message_id(event, "message", "headers", "message-id")
    signature = reading.text(whole, "signature", "token")
    return [
        _meaning(shown, name, event).event(
            provider_event=shown,
            dedupe=reading.digest(Provider.MAILGUN, own_id, None if at is None else at // _DAY_MS, name)
            if own_id
            else reading.digest(Provider.MAILGUN, signature),
            raw=raw,
            at=at,
            provider_ref=message_id,
            recipient=reading.reference(event, "recipient"),
            reason=_reason(event),
            **reading.ours(reading.text(event, "user-variables", reading.KEY), message_id),
        )
    ]


def _meaning(shown: str, name: str, event: Any) -> Meaning:
    meaning = _MEANINGS.get(shown, _MEANINGS.get(name, reading.UNKNOWN))
    if meaning is reading.HARD and reading.word(event, "reason").startswith(_SUPPRESSIONS):
        return reading.SUPPRESSED
    if reading.word(event, "client-info", "bot") not in _BOTS:
        return meaning
    if meaning.type is EventType.OPENED:
        return reading.OPENED_BY_MACHINE
    return reading.CLICKED_BY_MACHINE if meaning.type is EventType.CLICKED else meaning


def _reason(event: Any) -> str | None:
    status = ("delivery-status",)
    words = [
        reading.text(event, "reason"),
        reading.text(event, *status, "code"),
        reading.text(event, *status, "description") or reading.text(event, *status, "message"),
        reading.text(event, "reject", "reason"),
    ]
    return " ".join([word for word in words if word]) or None


def _read_legacy(pairs: list[tuple[str, str]], raw: bytes) -> ParsedEvent:
    """A form's event. Of two fields of a name the first is Mailgun's, but the signature's are the last."""
    last = dict(pairs)
    event = dict(reversed(pairs))
    name = reading.word(event, "event")
    message_id = reading.message_id(event, "Message-Id") or reading.message_id(event, "message-id")
    words = [reading.text(event, key) for key in ("reason", "code", "description", "error", "notification")]
    variables = reading.text(event, reading.KEY) or _variables(event)
    return _legacy_meaning(name, event).event(
        provider_event=name,
        dedupe=reading.digest(Provider.MAILGUN, reading.text(last, "token")),
        raw=raw,
        at=reading.seconds(last, "timestamp"),
        provider_ref=message_id,
        recipient=reading.reference(event, "recipient"),
        reason=" ".join([word for word in words if word]) or None,
        **reading.ours(variables, message_id),
    )


def _legacy_meaning(name: str, event: Mapping[str, str]) -> Meaning:
    meaning = _LEGACY.get(name, reading.UNKNOWN)
    if name == "dropped" and reading.word(event, "reason").startswith(_SUPPRESSIONS):
        return reading.SUPPRESSED
    # A status of 4xx, also as an enhanced one (RFC 3463), passes.
    if meaning is reading.HARD and reading.word(event, "code").startswith("4"):
        return reading.SOFT
    return meaning


def _variables(event: Mapping[str, str]) -> str | None:
    """What X-Mailgun-Variables of the mail said, where the event lists the mail's headers."""
    try:
        listed = msgspec.json.decode(event.get("message-headers", "[]"))
    except reading.UNREADABLE:
        return None
    return reading.headers(listed).get("x-mailgun-variables")
