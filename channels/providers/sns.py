"""Amazon SNS: how a topic proves a message, and how it is confirmed that we want its messages.

Signed by RSA under a certificate at an address that the message names: over SHA-1 (``SignatureVersion`` 1) or SHA-256
(2). Anybody may have a topic whose messages Amazon signs: only those of the hook's own topics are taken. Source:
docs.aws.amazon.com/sns, "Verifying the signatures of Amazon SNS messages" and "Parsing Amazon SNS message formats".
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from channels.providers import reading
from channels.providers.contract import BadSignature, HookRequest
from channels.providers.proofs import check_time, exact_base64

TYPE_HEADER: Final = "x-amz-sns-message-type"
ID_HEADER: Final = "x-amz-sns-message-id"
TOPIC_HEADER: Final = "x-amz-sns-topic-arn"

NOTIFICATION: Final = "Notification"
SUBSCRIPTION: Final = "SubscriptionConfirmation"

MOST_BYTES: Final = 256 << 10
"""The longest message that SNS sends."""
# The time of publishing, which every repetition keeps.
_OLDEST_S: Final = 8 * 3600

_CONFIRMATION_FIELDS: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: _CONFIRMATION_FIELDS,
    "UnsubscribeConfirmation": _CONFIRMATION_FIELDS,
}
_HASHES: Final = {"1": hashes.SHA1, "2": hashes.SHA256}
_HOST: Final = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE_PATH: Final = re.compile(r"/SimpleNotificationService-[A-Za-z0-9_-]+\.pem")
_TOPIC_ARN: Final = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")


class SnsMessage(msgspec.Struct, frozen=True, rename="pascal"):
    """What SNS posts. ``subject`` alone may be missing from what is signed."""

    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature: str
    signature_version: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)


def check_topic(arn: str) -> None:
    """Raises ValueError where the text is no ARN of a topic."""
    if not _TOPIC_ARN.fullmatch(arn):
        raise ValueError("must be the ARN of an SNS topic, as in arn:aws:sns:eu-west-1:123456789012:mail-events")


def read(body: bytes) -> SnsMessage:
    """The message; raises BadSignature where it is none."""
    if len(body) > MOST_BYTES:
        raise BadSignature("longer than any message of SNS")
    try:
        return msgspec.json.decode(body, type=SnsMessage)
    except reading.UNREADABLE:
        raise BadSignature("no message of SNS") from None


def examine(request: HookRequest, topic_arns: Sequence[str], now_s: float) -> SnsMessage:
    """The message, once all is checked of it but its signature: what comes next costs a request; raises BadSignature.

    Its ``signing_cert_url`` is one of Amazon's own.
    """
    message = read(request.body)
    _check_frame(request, message)
    if message.topic_arn not in topic_arns:
        raise BadSignature("not a topic of this hook")
    sent = reading.moment(message.timestamp)
    if sent is None:
        raise BadSignature("no timestamp")
    check_time(sent / 1000, now_s, most_s=_OLDEST_S)
    if message.signature_version not in _HASHES:
        raise BadSignature("no version of signatures that is known")
    if not _is_amazons(message.signing_cert_url, _CERTIFICATE_PATH):
        raise BadSignature("the certificate lies elsewhere than at Amazon")
    return message


def _check_frame(request: HookRequest, message: SnsMessage) -> None:
    """Raises BadSignature where the headers name another message, or what is signed could be read in two ways."""
    if message.type not in _SIGNED:
        raise BadSignature("no type of SNS")
    headers = (request.headers.get(TYPE_HEADER), request.headers.get(ID_HEADER))
    if headers != (message.type, message.message_id):
        raise BadSignature("headers and body name different messages")
    if request.headers.get(TOPIC_HEADER, message.topic_arn) != message.topic_arn:
        raise BadSignature("headers and body name different topics")
    if "\n" in (message.subject or ""):  # SNS takes none
        raise BadSignature("a subject of several lines")


def check_signature(message: SnsMessage, certificate: bytes, now_s: float) -> None:
    """Return where the key of the certificate (PEM), valid now, signed the message; raises BadSignature."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise BadSignature("no certificate") from None
    now = datetime.fromtimestamp(now_s, UTC)
    if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
        raise BadSignature("the certificate is not valid now")
    key = found.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadSignature("the certificate holds no RSA key")
    signature = exact_base64(message.signature)
    try:
        key.verify(signature, signed_text(message), padding.PKCS1v15(), _HASHES[message.signature_version]())
    except InvalidSignature:
        raise BadSignature("the certificate's key did not make this signature") from None


def signed_text(message: SnsMessage) -> bytes:
    """What is signed: names and values in their order, each ended by a line feed."""
    values = msgspec.to_builtins(message)
    named = [(name, values[name]) for name in _SIGNED[message.type] if values[name] is not None]
    return "".join([f"{name}\n{value}\n" for name, value in named]).encode()


def confirmation_url(message: SnsMessage) -> str | None:
    """What confirms the subscription when it is read, at Amazon's own host; None where there is nothing to confirm."""
    if message.type != SUBSCRIPTION or not _is_amazons(message.subscribe_url or "", re.compile("/")):
        return None
    return message.subscribe_url


def _is_amazons(url: str, path: re.Pattern[str]) -> bool:
    if not url.isascii() or not url.isprintable() or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    # The whole authority: no user, no port.
    return parts.scheme == "https" and bool(_HOST.fullmatch(parts.netloc)) and bool(path.fullmatch(parts.path))
