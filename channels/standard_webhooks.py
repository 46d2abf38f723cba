"""Standard Webhooks 1.0.0: signing what we send and proving what we receive (symmetric keys, ``v1``).

The source is ``spec/standard-webhooks.md`` of standardwebhooks.com. Signed are the bytes ``id.timestamp.body``.
"""

import base64
import binascii
import hmac
import secrets as randomness
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

TOLERANCE_S: Final = 300
"""How far a signed time may lie from our clock, both ways. The specification leaves it open; its libraries use this."""

_PREFIX: Final = "whsec_"
_VERSION_PREFIX: Final = "v1,"
_NEW_KEY_BYTES: Final = 32
_KEY_BYTES: Final = range(24, 65)
_TIMESTAMP_DIGITS: Final = range(1, 13)
# A sender that rotates its secrets has two or three; what comes after these is not read.
_MOST_SIGNATURES: Final = 10


class BadSignature(ValueError):
    """The request is not proved to come from who knows the secret. Its text is fit for a log, not for the sender."""


def new_secret() -> str:
    """A fresh secret: ``whsec_`` and the base64 of 32 random bytes."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(_NEW_KEY_BYTES)).decode("ascii")


def decode_secret(secret: str) -> bytes:
    """The 24 to 64 bytes of a ``whsec_…`` secret, its base64 padded or not; raises ValueError for any other string."""
    if not secret.startswith(_PREFIX):
        raise ValueError("a webhook secret begins with whsec_")
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        # The cause would show the secret in a traceback.
        raise ValueError("a webhook secret is whsec_ and base64") from None
    if len(key) not in _KEY_BYTES:
        raise ValueError("a webhook secret holds 24 to 64 bytes")
    return key


def sign(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one signature per secret, so that two are valid while they rotate.

    ``timestamp`` is the time of this attempt in Unix seconds. Raises ValueError for a malformed secret.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join([_VERSION_PREFIX + _signature(secret, signed) for secret in secrets])


def verify(secrets: Iterable[str], headers: Mapping[str, str], body: bytes, *, now: float) -> None:
    """Return if any signature in the headers is that of any secret; raise BadSignature if not.

    ``headers`` is looked up by lower-case names; ``now`` is in Unix seconds. The first ten signatures are read; those
    of versions that we do not know are passed over. Raises ValueError for a malformed secret.
    """
    message_id, timestamp = headers.get(ID_HEADER), headers.get(TIMESTAMP_HEADER)
    signatures = headers.get(SIGNATURE_HEADER)
    if not message_id or not timestamp or not signatures:
        raise BadSignature("a webhook header is missing")
    if "." in message_id:
        # It separates what is signed: the id "a.1" at the time 2 would have the signature of "a" at 1 and "2.body".
        raise BadSignature("webhook-id holds a full stop")
    _check_time(timestamp, now)
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    read = signatures.split(" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]
    given = [_given(signature) for signature in read if signature.startswith(_VERSION_PREFIX)]
    expected = [_signature(secret, signed).encode() for secret in secrets]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    if not any(matches):
        raise BadSignature("no signature matches")


def _given(signature: str) -> bytes:
    return signature.removeprefix(_VERSION_PREFIX).encode("utf-8", "surrogateescape")


def _check_time(timestamp: str, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) in _TIMESTAMP_DIGITS):
        raise BadSignature("webhook-timestamp is no count of seconds")
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise BadSignature("webhook-timestamp lies more than five minutes from our clock")


@lru_cache(maxsize=4096)
def _keyed(secret: str) -> HMAC:
    """An HMAC that has read its key: copying it costs half of what keying another does."""
    return HMAC(decode_secret(secret), hashes.SHA256())


def _signature(secret: str, signed: bytes) -> str:
    digest = _keyed(secret).copy()
    digest.update(signed)
    return base64.b64encode(digest.finalize()).decode("ascii")
