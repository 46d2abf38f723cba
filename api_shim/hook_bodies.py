"""What providers post to a hook, as the OpenAPI document tells of it: bodies by media type, and the headers of proofs.

No type of ours reads these: each provider's adapter takes what its provider writes, and keeps what it cannot read.
"""

import json
from collections.abc import Mapping
from typing import Final

from api_shim.operations import MediaBody
from channels.providers import mandrill, resend, sendgrid, sns, telegram

_TEXT: Final = {"type": "string"}
_EVENT: Final = {"type": "object", "description": "An event as its provider writes it."}

_MAILGUN: Final = {
    "type": "object",
    "description": "Mailgun, webhooks of the former kind: an event's fields and the proof.",
    "required": ["timestamp", "token", "signature"],
    "properties": dict.fromkeys(("timestamp", "token", "signature", "event", "recipient", "Message-Id"), _TEXT),
    "additionalProperties": _TEXT,
}
_MANDRILL: Final = {
    "type": "object",
    "description": "Mandrill: a JSON array of up to 1,000 events in one field.",
    "required": [mandrill.EVENTS],
    "properties": {mandrill.EVENTS: _TEXT | {"contentMediaType": "application/json"}},
    "additionalProperties": _TEXT,
}
_SNS: Final = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail-events",
    "Message": '{"eventType":"Delivery","mail":{"messageId":"0102018b"},"delivery":{"recipients":["ann@example.org"]}}',
    "Timestamp": "2026-01-15T10:00:03.000Z",
    "SignatureVersion": "2",
    "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
    "Signature": "c2lnbmF0dXJl",
}
_MAIL: Final = """\
From: MAILER-DAEMON@mx.example.org
To: b-x@bounces.example.com
Subject: Undelivered Mail
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; ann@example.org
Action: failed
Status: 5.1.1

--b--
"""
_EVENTS_OF_MANDRILL: Final = [{"event": "send", "_id": "m1", "ts": 1768471203, "msg": {"email": "ann@example.org"}}]
_PROOF_OF_MAILGUN: Final = {"timestamp": "1768471203", "token": "a8ce0edb2dd8301d", "signature": "9c2f0b44"}

BODIES: Final[Mapping[str, MediaBody]] = {
    "application/json": MediaBody(
        {
            "anyOf": [_EVENT, {"type": "array", "items": _EVENT}],
            "description": "The format of `generic`, or the event or events of another provider in its own.",
        }
    ),
    "application/x-www-form-urlencoded": MediaBody(
        {"anyOf": [_MANDRILL, _MAILGUN]}, {mandrill.EVENTS: json.dumps(_EVENTS_OF_MANDRILL)}
    ),
    "multipart/form-data": MediaBody(
        {"anyOf": [_MAILGUN, _MANDRILL]},
        {"event": "delivered", "recipient": "ann@example.org", "Message-Id": "<1@example.com>"} | _PROOF_OF_MAILGUN,
    ),
    "text/plain": MediaBody(
        _TEXT | {"contentMediaType": "application/json", "description": "Amazon SNS: a message, as JSON."},
        json.dumps(_SNS),
    ),
    "message/rfc822": MediaBody(_TEXT | {"description": "`bounce-mail`: a raw mail."}, _MAIL),
}

HEADERS: Final[Mapping[str, str]] = {
    "webhook-id": "Standard Webhooks (generic): the id of the delivery.",
    "webhook-timestamp": "Standard Webhooks (generic): seconds since 1970, at most 5 minutes ago.",
    "webhook-signature": "Standard Webhooks (generic): `v1,` and base64, several separated by spaces.",
    resend.ID_HEADER: "Svix (resend): the id of the delivery.",
    resend.TIMESTAMP_HEADER: "Svix (resend): seconds since 1970, at most 5 minutes ago.",
    resend.SIGNATURE_HEADER: "Svix (resend): `v1,` and base64, several separated by spaces.",
    sendgrid.SIGNATURE_HEADER: "SendGrid: base64 of an ECDSA signature over time and body.",
    sendgrid.TIMESTAMP_HEADER: "SendGrid: seconds since 1970, at most 25 hours ago.",
    mandrill.SIGNATURE_HEADER: "Mandrill: base64 of an HMAC-SHA1 over the hook's address and the form's fields.",
    telegram.SECRET_HEADER: "Telegram: the hook's `signingKey`, as `setWebhook` was told it.",
    sns.TYPE_HEADER: "Amazon SNS: the body's `Type`.",
    sns.ID_HEADER: "Amazon SNS: the body's `MessageId`.",
    sns.TOPIC_HEADER: "Amazon SNS: the body's `TopicArn`.",
    "Content-Encoding": "`gzip`, where the body comes compressed; a raw mail may not.",
}

NOTES: Final = (
    "Each provider proves its requests in its own way: by headers named here, by fields of the body (Mailgun, Amazon "
    "SNS), by the return path in a raw mail, or by nothing but the address. A hook with `basicAuth` needs these "
    "credentials (RFC 7617) too. What is not proved is answered 401, or 406 where the provider is Mailgun, which then "
    "does not try again. A proved body is answered 200 whatever it says: what cannot be read is kept, and counts as "
    "`unreadable`."
)
