"""Identifiers: a UUIDv7 shown as a prefix, ``_`` and 26 lower-case Crockford base32 characters.

Version 7 (RFC 9562, section 5.7) begins with the time, so ids sort by age and tables can be partitioned by them.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import uuid_utils.compat

from models.vocabulary import StatusEvent

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_BASE_32: Final = "0123456789abcdefghijklmnopqrstuv"
# Crockford's digits as those that int() knows; every other byte as one that it refuses.
_TO_BASE_32: Final = bytes(
    ord(_BASE_32[_ALPHABET.index(chr(byte))]) if chr(byte) in _ALPHABET else ord("!") for byte in range(256)
)
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
_TRIPLES: Final = [pair + low for pair in _PAIRS for low in _ALPHABET]
_45_BITS: Final = (1 << 45) - 1
_LENGTH: Final = 26


class Kind(StrEnum):
    """What an id names. The value is the prefix that we show."""

    WORKSPACE = "ws"
    MESSAGE = "msg"
    CONTACT = "ct"
    CAMPAIGN = "cmp"
    JOURNEY = "jour"
    TEMPLATE = "tpl"
    PUSH_SUBSCRIPTION = "ps"
    HOOK = "hook"
    KEY = "key"
    USER = "usr"
    EVENT = "evt"
    SUPPRESSION = "sup"
    SUBSCRIPTION = "sub"
    SENDER = "snd"
    AUDIT_ENTRY = "aud"


DIALECT_B: Final = {Kind.MESSAGE: "mesg", Kind.CONTACT: "cust", Kind.CAMPAIGN: "camp"}
"""The prefixes of the "messages" dialect, where they differ; both are read everywhere."""

_SHOWN: Final = {kind: f"{kind.value}_" for kind in Kind}
_PREFIXES: Final = {kind: frozenset({kind.value, DIALECT_B.get(kind, kind.value)}) for kind in Kind}


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def since(millis: int) -> UUID:
    """No id that was made from then on (milliseconds, UTC) sorts before it."""
    return UUID(int=millis << 80)


def encode(value: UUID) -> str:
    """The 26 characters of an id, without prefix."""
    number = value.int
    triples = _TRIPLES  # this runs for every message more than once: short numbers are shifted faster than long ones
    high, middle, low = number >> 90, number >> 45 & _45_BITS, number & _45_BITS
    return (
        f"{_PAIRS[high >> 30]}{triples[high >> 15 & 32767]}{triples[high & 32767]}"
        f"{triples[middle >> 30]}{triples[middle >> 15 & 32767]}{triples[middle & 32767]}"
        f"{triples[low >> 30]}{triples[low >> 15 & 32767]}{triples[low & 32767]}"
    )


def show(kind: Kind, value: UUID) -> str:
    """The id as dialect A shows it."""
    return _SHOWN[kind] + encode(value)


def event_id(message_id: UUID, event: StatusEvent) -> str:
    """``msg_…:delivered``: a status event's id, the same for all subscriptions, attempts and runs of the message."""
    return f"{show(Kind.MESSAGE, message_id)}:{event.removeprefix('message.')}"


def parse(kind: Kind, text: str) -> UUID | None:
    """The UUID of a shown id of that kind, in either dialect's prefix; None for any other string."""
    prefix, _, digits = text.partition("_")
    if prefix not in _PREFIXES[kind] or len(digits) != _LENGTH or digits[0] > "7":
        return None
    try:
        return UUID(int=int(digits.encode("ascii").translate(_TO_BASE_32), 32))
    except ValueError:
        return None
