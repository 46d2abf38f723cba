"""E-mail addresses: the shape that an address must have before it may go on an SMTP command line."""

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

import idna

MAX_OCTETS: Final = 254
"""The longest address that fits in a path, without its angle brackets (RFC 5321, section 4.5.3.1.3)."""

_MAX_LOCAL_OCTETS: Final = 64
_MAX_DOMAIN_OCTETS: Final = 253

# Beyond ASCII anything (RFC 6531, section 3.3) that can be printed. Said by what it is not: a range up to the last
# character there is would take 50 ms to compile, in every process that starts.
_ATEXT: Final = r'[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+'
_QUOTED: Final = r'"(?:[^\x00-\x1f"\\\x7f]|\\[\x20-\x7e])*"'
_LOCAL: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*|{_QUOTED}")
_ENCODED_WORD: Final = re.compile(r"=\?.*\?=")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

_MOST_MAILBOXES: Final = 100
_DOMAINS_KEPT: Final = 1024
_COMMA: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[,"]')
_NAMED: Final = re.compile(r'(?:"((?:[^"\\]|\\.)*+)" *|([^"<>()\[\]:;@\\,]*+))<([^<>]*+)>')


class Mailbox(NamedTuple):
    """An address and the name that stands before it, which may be empty."""

    name: str
    address: str


def check_address(address: str) -> str:
    """The address as it is used: its domain in lower case, an international one as A-labels (RFC 5890).

    The shape is the ``Mailbox`` of RFC 5321, section 4.1.2, as RFC 6531, section 3.3, extends it, without address
    literals (``user@[192.0.2.1]``), and holds nothing that a reader could decode as an encoded word (RFC 2047). A local
    part beyond ASCII is in NFC and holds no control, format or space character there. Raises ValueError with a reason
    that does not repeat the address.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        raise ValueError("an e-mail address needs an @")
    if not local.isascii():
        local = _check_international(local)
    if len(local.encode()) > _MAX_LOCAL_OCTETS or not _LOCAL.fullmatch(local):
        raise ValueError("the part before the @ is malformed")
    if _ENCODED_WORD.search(local) or (local.startswith('"') and "=?" in local):
        raise ValueError("the part before the @ looks like an encoded word")
    checked = f"{local}@{check_domain(domain)}"
    if len(checked.encode()) > MAX_OCTETS:
        raise ValueError(f"an e-mail address has at most {MAX_OCTETS} octets")
    return checked


def _check_international(local: str) -> str:
    """The local part in NFC (RFC 6532, section 3.1); raises ValueError."""
    if len(local) > _MAX_LOCAL_OCTETS or not local.isprintable():
        raise ValueError("the part before the @ is malformed")
    return unicodedata.normalize("NFC", local)


@lru_cache(_DOMAINS_KEPT)
def check_domain(domain: str) -> str:
    """The domain in lower case, as A-labels; raises ValueError."""
    if len(domain) > _MAX_DOMAIN_OCTETS:
        raise ValueError("the part after the @ is no domain name")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError("the part after the @ is no domain name") from None
    domain = domain.lower()
    if len(domain) > _MAX_DOMAIN_OCTETS or not _DOMAIN.fullmatch(domain):
        raise ValueError("the part after the @ is no domain name")
    return domain


def parse_mailboxes(text: str) -> list[Mailbox]:
    """Read ``user@example.org, Name <user@example.org>``, as in RFC 5322, section 3.4, without groups and comments.

    ``text`` holds no control characters. A name may hold any character, in quotes if it is a comma or the like; an
    address is ASCII before its @. Raises ValueError with a reason that repeats nothing of the text.
    """
    starts, ends = [0], []
    for found in _COMMA.finditer(text):
        if found[0] == '"':
            raise ValueError("a quotation mark is not closed")
        if found[0] == ",":
            ends.append(found.start())
            starts.append(found.end())
        if len(starts) > _MOST_MAILBOXES:
            raise ValueError(f"more than {_MOST_MAILBOXES} addresses")
    ends.append(len(text))
    return [_parse_mailbox(text[start:end].strip(" ")) for start, end in zip(starts, ends, strict=True)]


def _parse_mailbox(text: str) -> Mailbox:
    named = _NAMED.fullmatch(text)
    if named is None:
        return Mailbox("", _check_ascii(text))
    quoted, bare, address = named.groups()
    name = " ".join((bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)).split())
    if "=?" in name:
        raise ValueError("a name looks like an encoded word: write the name itself")
    return Mailbox(name, _check_ascii(address))


def _check_ascii(address: str) -> str:
    # With any other address in its header a mail could go to no server but those that offer SMTPUTF8.
    checked = check_address(address)
    if not checked.isascii():
        raise ValueError("the part before the @ may hold ASCII characters only")
    return checked
