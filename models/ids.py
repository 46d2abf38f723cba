"""Identifiers: a UUIDv7 shown as a prefix, ``_`` and 26 lower-case Crockford base32 characters.

Version 7 (RFC 9562, section 5.7) begins with the time, so ids sort by age and tables can be partitioned by them.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import uuid_utils.compat

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
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


DIALECT_B: Final = {Kind.MESSAGE: "mesg", Kind.CONTACT: "cust", Kind.CAMPAIGN: "camp"}
"""The prefixes of the "messages" dialect, where they differ; both are read everywhere."""

_PREFIXES: Final = {kind: frozenset({kind.value, DIALECT_B.get(kind, kind.value)}) for kind in Kind}


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


def encode(value: UUID) -> str:
    """The 26 characters of an id, without prefix."""
    number = value.int
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def show(kind: Kind, value: UUID) -> str:
    """The id as dialect A shows it."""
    return f"{kind.value}_{encode(value)}"


def parse(kind: Kind, text: str) -> UUID | None:
    """The UUID of a shown id of that kind, in either dialect's prefix; None for any other string."""
    prefix, _, digits = text.partition("_")
    if prefix not in _PREFIXES[kind] or len(digits) != _LENGTH or digits[0] > "7":
        return None
    number = 0
    for digit in digits:
        value = _VALUES.get(digit)
        if value is None:
            return None
        number = number << 5 | value
    return UUID(int=number)
