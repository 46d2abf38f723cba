"""Requests as the providers make them: signed by their own schemes, under keys of the tests' own."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from standardwebhooks import Webhook

from channels.providers.contract import HookRequest, HookSecrets

SECRET: Final = "key-0123456789abcdef0123456789abcdef"
WHSEC: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL: Final = "https://wireroom.example.org/hooks/mandrill/some-key"
TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:mail-events"
CERTIFICATE_URL: Final = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
SUBSCRIBE_URL: Final = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t1"
_JSON: Final = {"content-type": "application/json"}
_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_BOUNDARY: Final = "b0undary"
_LONG: Final = 5_000


@cache
def sendgrid_key() -> ec.EllipticCurvePrivateKey:
    """The key that SendGrid signs with."""
    return ec.generate_private_key(ec.SECP256R1())


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """A public key as SendGrid shows it."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(spki).decode()


@cache
def sns_key() -> rsa.RSAPrivateKey:
    """The key that SNS signs with."""
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate(begins: float, days: int = 365) -> bytes:
    """Its certificate, good from then on (Unix seconds), as PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    since = datetime.fromtimestamp(begins, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(sns_key().public_key())
        .serial_number(7)
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=days))
        .sign(sns_key(), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def sendgrid(body: bytes, now: float, key: ec.EllipticCurvePrivateKey | None = None) -> HookRequest:
    """As SendGrid signs: ECDSA over timestamp and body."""
    timestamp = str(int(now))
    signature = (key or sendgrid_key()).sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return HookRequest(
        headers=_JSON
        | {
            "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
            "x-twilio-email-event-webhook-timestamp": timestamp,
        },
        body=body,
    )


def mailgun_proof(now: float, token: str, key: str = SECRET) -> dict[str, str]:
    """The three fields by which Mailgun proves a request."""
    timestamp = str(int(now))
    signature = hmac.digest(key.encode(), (timestamp + token).encode(), "sha256").hex()
    return {"timestamp": timestamp, "token": token, "signature": signature}


def mailgun(event: Any, now: float, token: str = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0") -> HookRequest:
    """As Mailgun posts: the proof beside the event."""
    body = {"signature": mailgun_proof(now, token), "event-data": event}
    return HookRequest(headers=_JSON, body=json.dumps(body).encode())


def mailgun_form(
    fields: Mapping[str, str], now: float, token: str = "legacy-token", *, multipart: bool = False
) -> HookRequest:
    """As Mailgun posted formerly: the proof among the event's fields."""
    whole = {**fields, **mailgun_proof(now, token)}
    if not multipart:
        return HookRequest(headers=_FORM, body=urlencode(whole).encode())
    parts = [f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{whole[key]}\r\n' for key in whole]
    body = "".join([*parts, f"--{_BOUNDARY}--\r\n"]).encode()
    return HookRequest(headers={"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}, body=body)


def resend(body: bytes, now: float, delivery: str = "msg_p5jXN8AQM9LWM0D4loKWxJek") -> HookRequest:
    """As Resend signs, by the reference library of Standard Webhooks."""
    signature = Webhook(WHSEC).sign(delivery, datetime.fromtimestamp(int(now), UTC), body.decode())
    headers = {"svix-id": delivery, "svix-timestamp": str(int(now)), "svix-signature": signature}
    return HookRequest(headers=_JSON | headers, body=body)


def mandrill(events: Any, *, url: str = URL, key: str = SECRET) -> HookRequest:
    """As Mandrill signs: the address and the form's fields."""
    text = events if isinstance(events, str) else json.dumps(events)
    mac = hmac.digest(key.encode(), f"{url}mandrill_events{text}".encode(), "sha1")
    headers = _FORM | {"x-mandrill-signature": base64.b64encode(mac).decode()}
    # The library takes a microsecond for each letter.
    encoded = urlencode({"": text}) if len(text) < _LONG else f"=%{text.encode().hex('%')}"
    return HookRequest(headers=headers, body=f"mandrill_events{encoded}".encode(), urls=(URL, f"{URL}?a=1"))


def sns(message: str, now: float, *, version: str = "2", kind: str = "Notification", **changed: Any) -> HookRequest:
    """As SNS signs: named values, over SHA-1 or SHA-256. ``changed``: fields of the message, before it is signed."""
    told = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
    }
    if kind != "Notification":
        told |= {"Token": "t1", "SubscribeURL": SUBSCRIBE_URL}
    told |= changed
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    signed = "".join([f"{name}\n{told[name]}\n" for name in names if name in told])
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    told["Signature"] = base64.b64encode(sns_key().sign(signed.encode(), padding.PKCS1v15(), algorithm)).decode()
    headers = {
        "content-type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": told["Type"],
        "x-amz-sns-message-id": told["MessageId"],
        "x-amz-sns-topic-arn": told["TopicArn"],
    }
    return HookRequest(headers=headers, body=json.dumps(told).encode())


def generic(body: bytes, now: float, delivery: str, secret: str = WHSEC) -> HookRequest:
    """As whoever speaks our own format signs, by the reference library of Standard Webhooks."""
    signature = Webhook(secret).sign(delivery, datetime.fromtimestamp(int(now), UTC), body.decode())
    headers = {"webhook-id": delivery, "webhook-timestamp": str(int(now)), "webhook-signature": signature}
    return HookRequest(headers=_JSON | headers, body=body)


def telegram(update: Any) -> HookRequest:
    """As Telegram posts: the secret in a header."""
    headers = _JSON | {"x-telegram-bot-api-secret-token": SECRET}
    return HookRequest(headers=headers, body=json.dumps(update).encode())


def plain(value: Any) -> HookRequest:
    """As those post who sign nothing."""
    return HookRequest(headers=_JSON, body=json.dumps(value).encode())


@dataclass(frozen=True)
class Scheme:
    """A provider that signs: a request of it at a time, what proves it, and how long it is good (seconds).

    ``covers``: whether a changed body is noticed.
    """

    sign: Callable[[float], HookRequest]
    secrets: HookSecrets
    good_for_s: float | None
    covers: bool = True


def schemes(now: float) -> dict[str, Scheme]:
    """Every scheme that there is, by name."""
    keyed = HookSecrets(signing_keys=(SECRET,))
    at_topic = HookSecrets(topic_arns=(TOPIC,), certificate=certificate(now - 86_400))
    event = {"event": "delivered", "id": "e1", "timestamp": now}
    updates = {"update_id": 1, "message": {}}
    return {
        "sendgrid": Scheme(
            lambda at: sendgrid(b'[{"event":"open","email":"ann@example.org"}]\r\n', at),
            HookSecrets(signing_keys=(public_text(sendgrid_key()),)),
            25 * 3600,
        ),
        "mailgun": Scheme(lambda at: mailgun(event, at), keyed, 9 * 3600, covers=False),
        "mailgun form": Scheme(lambda at: mailgun_form({"event": "opened"}, at), keyed, 9 * 3600, covers=False),
        "mailgun multipart": Scheme(
            lambda at: mailgun_form({"event": "opened"}, at, multipart=True), keyed, 9 * 3600, covers=False
        ),
        "resend": Scheme(lambda at: resend(b'{"type":"email.sent"}', at), HookSecrets(signing_keys=(WHSEC,)), 300),
        "mandrill": Scheme(lambda _: mandrill([{"event": "open"}]), keyed, None),
        "ses": Scheme(lambda at: sns("{}", at), at_topic, 8 * 3600),
        "ses SHA-1": Scheme(lambda at: sns("{}", at, version="1", Subject="x"), at_topic, 8 * 3600),
        "telegram": Scheme(lambda _: telegram(updates), keyed, None, covers=False),
    }
