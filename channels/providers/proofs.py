"""What the proofs of several providers have in common: strict base64, and times that may be neither old nor new."""

import base64
import binascii
import hmac
from collections.abc import Iterable
from typing import Final

from channels.providers.contract import BadSignature

AHEAD_S: Final = 300
"""How far a provider's clock may be before ours."""

_DIGITS: Final = range(1, 13)


def same(given: str, expected: Iterable[str]) -> bool:
    """Whether ``given`` is one of those that were expected, in a time that does not tell how much of it is right."""
    ours = given.encode("utf-8", "surrogateescape")
    return sum(hmac.compare_digest(ours, each.encode()) for each in expected) > 0


def exact_base64(text: str) -> bytes:
    """What the text encodes, where it is the one way to write it (RFC 4648, section 3.5); raises BadSignature."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadSignature("the signature is no base64") from None
    if base64.b64encode(decoded).decode() != text:
        raise BadSignature("the signature is no base64 in its one form")
    return decoded


def check_age(timestamp: str, now_s: float, *, most_s: float) -> None:
    """Raises BadSignature where it is no count of seconds, older than ``most_s``, or in the future."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) in _DIGITS):
        raise BadSignature("the timestamp is no count of seconds")
    check_time(int(timestamp), now_s, most_s=most_s)


def check_time(sent_s: float, now_s: float, *, most_s: float) -> None:
    """Raises BadSignature where the request was signed more than ``most_s`` ago, or in the future."""
    if not now_s - most_s <= sent_s <= now_s + AHEAD_S:
        raise BadSignature("the request was signed too long ago, or in the future")
