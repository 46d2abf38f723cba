"""Amazon SES: one event of one mail a request, by way of a topic of Amazon SNS (``sns``).

Both forms are read: the notifications of an identity (``notificationType``) and the events of a configuration set
(``eventType``). Source: docs.aws.amazon.com/ses, "Contents of event data that Amazon SES publishes to Amazon SNS".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from channels.providers import reading, sns
from channels.providers.contract import BadSignature, HookRequest, HookSecrets
from channels.providers.reading import Meaning
from models.events import ParsedEvent
from models.evidence import Provider

_MEANINGS: Final[Mapping[str, Meaning]] = {
    "Send": reading.ACCEPTED,
    "Delivery": reading.DELIVERED,
    "DeliveryDelay": reading.DEFERRED,
    "Reject": reading.FAILED,
    "Rendering Failure": reading.FAILED,
    "Open": reading.OPENED,
    "Click": reading.CLICKED,
}
# The object that tells of an event, and where it lists the recipients that the event is about.
_OBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "Bounce": ("bounce", "bouncedRecipients"),
    "Complaint": ("complaint", "complainedRecipients"),
    "Delivery": ("delivery", "recipients"),
    "DeliveryDelay": ("deliveryDelay", "delayedRecipients"),
    "Send": ("send", ""),
    "Reject": ("reject", ""),
    "Rendering Failure": ("failure", ""),
    "Open": ("open", ""),
    "Click": ("click", ""),
    "Subscription": ("subscription", ""),
}
_OWN_LIST: Final = frozenset({"Suppressed", "OnAccountSuppressionList", "OnTenantSuppressionList"})
# No such host: no try will do better.
_DEAD_STATUS: Final = "5.4.4"
_NO_COMPLAINT: Final = frozenset({"not-spam", "auth-failure"})
_WORDS: Final = ("bounceSubType", "complaintFeedbackType", "complaintSubType", "delayType", "reason", "errorMessage")
_OUR_HEADERS: Final = ("x-wireroom-message", "message-id")
# So many may a mail of SES have.
_MOST_RECIPIENTS: Final = 50


class SesProvider:
    """Told apart by SNS's id of the message, and the recipient."""

    def verify(self, request: HookRequest, secrets: HookSecrets, now_s: float) -> None:
        """Return where the certificate's key signed a message of one of the topics; raises BadSignature."""
        message = sns.examine(request, secrets.topic_arns, now_s)
        if secrets.certificate is None:
            raise BadSignature("no certificate")
        sns.check_signature(message, secrets.certificate, now_s)

    def parse(self, request: HookRequest) -> Sequence[ParsedEvent]:
        """The event, once for each recipient that it names."""
        try:
            message = sns.read(request.body)
        except BadSignature as error:
            return [reading.unreadable(Provider.SES, request.body, error)]
        if message.type != sns.NOTIFICATION:
            return [_other(message, request.body, f"of the topic: {message.type}")]
        try:
            event = msgspec.json.decode(message.message)
        except reading.UNREADABLE:
            return [_other(message, request.body, "not of SES")]
        return _read(event, message.message_id, request.body)


def _other(message: sns.SnsMessage, raw: bytes, reason: str) -> ParsedEvent:
    return reading.IGNORED.event(
        provider_event=reading.clean(message.type, reading.LONGEST_WORD),
        dedupe=reading.digest(Provider.SES, message.message_id, None),
        raw=raw,
        at=reading.moment(message.timestamp),
        reason=reason,
    )


def _read(event: Any, sns_id: str, raw: bytes) -> list[ParsedEvent]:
    name = reading.word(event, "eventType") or reading.word(event, "notificationType")
    key, list_name = _OBJECTS.get(name, ("", ""))
    told = reading.at(event, key)
    mail = reading.at(event, "mail")
    details = [reading.word(told, each) for each in ("bounceType", "bounceSubType", "complaintSubType")]
    listed = reading.at(told, list_name)
    recipients = listed[:_MOST_RECIPIENTS] if isinstance(listed, list) and listed else _only(mail)
    return [
        _meaning(name, told, recipient).event(
            provider_event="/".join([word for word in (name, *details) if word]),
            dedupe=reading.digest(Provider.SES, sns_id, _address(recipient)),
            raw=raw,
            at=reading.moment(told, "timestamp") or reading.moment(mail, "timestamp"),
            provider_ref=reading.reference(mail, "messageId"),
            recipient=_address(recipient),
            reason=_reason(told, recipient),
            **reading.ours(*_names(mail)),
        )
        for recipient in recipients
    ]


def _only(mail: Any) -> list[Any]:
    """The recipient of an event that names none: nobody, where the mail had several."""
    destination = reading.at(mail, "destination")
    return destination if isinstance(destination, list) and len(destination) == 1 else [None]


def _address(recipient: Any) -> str | None:
    return reading.reference(recipient) or reading.reference(recipient, "emailAddress")


def _names(mail: Any) -> list[str | None]:
    """Where the mail may have our id: in its tags, in its headers, and in those that SES lists apart."""
    headers = reading.headers(mail, "headers")
    return [
        reading.text(mail, "tags", reading.KEY, 0),
        *(headers.get(name) for name in _OUR_HEADERS),
        reading.text(mail, "commonHeaders", "messageId"),
    ]


def _meaning(name: str, told: Any, recipient: Any) -> Meaning:
    if name == "Bounce":
        return _bounce(told, recipient)
    if name == "Complaint":
        if reading.word(told, "complaintSubType") in _OWN_LIST:
            return reading.SUPPRESSED
        is_none = reading.word(told, "complaintFeedbackType") in _NO_COMPLAINT
        return reading.IGNORED if is_none else reading.COMPLAINED
    if name == "Subscription":
        return reading.UNSUBSCRIBED if _has_left(reading.at(told, "newTopicPreferences")) else reading.RESUBSCRIBED
    return _MEANINGS.get(name, reading.UNKNOWN)


def _bounce(told: Any, recipient: Any) -> Meaning:
    if reading.word(told, "bounceType") == "Permanent":
        return reading.SUPPRESSED if reading.word(told, "bounceSubType") in _OWN_LIST else reading.HARD
    return reading.HARD if reading.word(recipient, "status") == _DEAD_STATUS else reading.SOFT


def _has_left(preferences: Any) -> bool:
    if reading.at(preferences, "unsubscribeAll") is True:
        return True
    topics = reading.at(preferences, "topicSubscriptionStatus")
    statuses = [reading.word(topic, "subscriptionStatus") for topic in topics] if isinstance(topics, list) else []
    return any(status.lower() == "optout" for status in statuses)


def _reason(told: Any, recipient: Any) -> str | None:
    words = [reading.text(told, name) for name in _WORDS]
    words += [reading.text(recipient, "status"), reading.text(recipient, "diagnosticCode")]
    return " ".join([word for word in words if word]) or None
