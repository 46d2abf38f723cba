"""Addresses in reports: as a field of a delivery status has them, and in a text."""

import re
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 254
# What may follow an address in a text without being a part of it is left out; both runs are bounded, and so is time.
_DOMAIN: Final = r"\w[\w-]{0,62}(?:\.\w[\w-]{0,62}){0,9}"
_ADDRESS: Final = re.compile(
    r"(?<![\w.!#$%&*+/=?^`{|}~@-])[\w!#$%&*+/=?^`{|}~-][\w.!#$%&'*+/=?^`{|}~-]{0,63}@" + _DOMAIN + r"(?![\w@-])"
)
_QUOTED: Final = re.compile(r'"[^"\n]{1,64}"@' + _DOMAIN)
_UNICODE: Final = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_HIGHEST: Final = 0x10FFFF


def in_field(value: str) -> str:
    r"""The address of ``Final-Recipient`` and its like: ``rfc822; ann@example.org``; empty where it has none.

    Of ``utf-8`` both forms are read, written out and with ``\x{…}`` (RFC 6533, section 3).
    """
    kind, semicolon, rest = value.partition(";")
    text = rest if semicolon else value
    if semicolon and kind.strip().lower() in ("utf-8", "utf8"):
        text = _UNICODE.sub(_character, text)
    return first_in(text)


def _character(code: re.Match[str]) -> str:
    number = int(code[1], 16)
    return chr(number) if number <= _HIGHEST and not 0xD800 <= number <= 0xDFFF else "?"


def first_in(text: str) -> str:
    """The first address of a text; empty where it has none."""
    return next(all_in(text), "")


def all_in(text: str) -> Iterator[str]:
    """The addresses of a text in their order, each as it is written."""
    places = [(found.start(), found[0]) for pattern in (_QUOTED, _ADDRESS) for found in pattern.finditer(text)]
    for _, address in sorted(places):
        if len(address) <= LONGEST:
            yield address
