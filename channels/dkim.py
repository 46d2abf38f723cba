"""DKIM: how a recipient's server knows that a mail is our domain's and unchanged (RFC 6376, RFC 8301, RFC 8463).

Header and body are canonicalised "relaxed". Each header that is signed is named once more than the mail has it, and
those that readers and their programs go by also where the mail has none, so that none can be added (RFC 6376, section
5.4.2).
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from models.errors import InvalidSetting

KEY_VARIABLE: Final = "WIREROOM_DKIM_KEY_FILE"
SELECTOR_VARIABLE: Final = "WIREROOM_DKIM_SELECTOR"

SHORT_RSA: Final = 2048
"""Bits; receivers must take shorter keys, and senders should have none (RFC 8301, section 3.2)."""
_LEAST_RSA: Final = 1024

_ALWAYS: Final = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "reply-to",
    "cc",
    "sender",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
"""Signed even where the mail has none of that name: none can be added, by which a copy of it would mislead.

What servers add on the way (Return-Path, Received, ARC, Authentication-Results) and the rest of RFC 2369 is not here.
"""
_SIGNED: Final = frozenset(
    {
        *_ALWAYS,
        "content-transfer-encoding",
        "in-reply-to",
        "list-id",
        "references",
    }
)
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_SELECTOR: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_LINE_LENGTH: Final = 72
_CRLF: Final = b"\r\n"
_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key, and the selector under whose name the DNS has its public half."""

    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The signature's ``a=``."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def bits(self) -> int:
        """The key's length."""
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else 256

    @property
    def is_short(self) -> bool:
        """Whether receivers may come to refuse it."""
        return isinstance(self.private, RSAPrivateKey) and self.private.key_size < SHORT_RSA

    def record(self) -> str:
        """The TXT record that has to stand at ``<selector>._domainkey.<domain>`` (RFC 6376, 3.6.1; RFC 8463, 4)."""
        public = self.private.public_key()
        if isinstance(self.private, RSAPrivateKey):
            form = serialization.PublicFormat.SubjectPublicKeyInfo
            return f"v=DKIM1; k=rsa; p={_text(public.public_bytes(serialization.Encoding.DER, form))}"
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={_text(raw)}"

    def sign(self, signed: bytes) -> bytes:
        """The signature of these bytes. Ed25519 signs their SHA-256 (RFC 8463, section 3)."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(hashlib.sha256(signed).digest())


class Signer:
    """Signs the mails of one domain, with every key."""

    def __init__(self, domain: str, keys: Sequence[DkimKey]) -> None:
        """``domain``: that of the From, as A-labels."""
        self.domain: Final = domain
        self.keys: Final = tuple(keys)

    def sign(self, head: bytes, body_hash: str, now: int) -> bytes:
        """A DKIM-Signature field per key, each ended by CRLF, to stand before ``head``.

        ``head``: all header fields, each ended by CRLF. ``body_hash``: this module's. ``now``: Unix seconds.
        """
        fields = [field for field in _canonical(head) if field[0] in _SIGNED]
        names = tuple([name for name, _ in fields])
        # From the last of a name to the first (RFC 6376, section 5.4.2): a mail of ours has each once.
        signed = b"".join([b"%b:%b\r\n" % (name.encode(), value) for name, value in fields])
        signatures = []
        for key in self.keys:
            unsigned = (
                f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed; t={now};\r\n"
                f" d={self.domain}; s={key.selector};\r\n"
                f" {_names(names)};\r\n"
                f" bh={body_hash};\r\n"
                f" b="
            ).encode("ascii")
            ((_, value),) = _canonical(unsigned + _CRLF)
            signature = _text(key.sign(signed + b"dkim-signature:" + value))
            signatures.append(unsigned + "\r\n ".join(_pieces(signature)).encode("ascii") + _CRLF)
        return b"".join(signatures)


def body_hash(body: bytes) -> str:
    """The SHA-256 of a body whose lines end with CRLF, in base64 (RFC 6376, section 3.4.4)."""
    lines = _single_spaced(body).replace(b" \r\n", _CRLF).rstrip(b" \r\n")
    return _text(hashlib.sha256(lines + _CRLF if lines else b"").digest())


def _canonical(head: bytes) -> list[tuple[str, bytes]]:
    """Names and values of the fields (RFC 6376, section 3.4.2)."""
    unfolded = _single_spaced(head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" "))
    fields = [line.partition(b":") for line in unfolded.removesuffix(_CRLF).split(_CRLF)]
    return [(name.strip().lower().decode("ascii"), value.strip(b" ")) for name, _, value in fields]


def _single_spaced(text: bytes) -> bytes:
    # Halving runs of spaces is many times quicker than a regular expression.
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


@lru_cache(_KEPT)
def _names(present: tuple[str, ...]) -> str:
    """The signature's ``h=``, in lines."""
    named = [*present, *dict.fromkeys([*_ALWAYS, *present])]
    lines = [f"h={named[0]}"]
    for name in named[1:]:
        if len(lines[-1]) + len(name) < _LINE_LENGTH:
            lines[-1] += f":{name}"
        else:
            lines.append(f":{name}")
    return "\r\n ".join(lines)


def _pieces(text: str) -> list[str]:
    return [text[start : start + _LINE_LENGTH] for start in range(0, len(text), _LINE_LENGTH)]


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def check_selectors(text: str) -> tuple[str, ...]:
    """Read ``name`` or, for several keys, ``name,name``; raises InvalidSetting, naming the variable."""
    selectors = tuple(each.strip().lower() for each in text.split(","))
    if not all(map(_SELECTOR.fullmatch, selectors)):
        raise InvalidSetting(f"{SELECTOR_VARIABLE}: a selector is letters, digits and hyphens, as in wr2026")
    if len(set(selectors)) < len(selectors):
        raise InvalidSetting(f"{SELECTOR_VARIABLE}: names a selector twice; the DNS has one key under each")
    return selectors


def read_keys(path: Path, selectors: Sequence[str]) -> list[DkimKey]:
    """The private keys of a PEM file, RSA or Ed25519, not encrypted, each with the selector in its place.

    Raises InvalidSetting, naming the variable, with a reason that tells nothing of a key.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidSetting(f"{KEY_VARIABLE}: cannot read {path}: {error.strerror}") from None
    return parse_keys(content, selectors, str(path))


def parse_keys(content: bytes, selectors: Sequence[str], named: str) -> list[DkimKey]:
    """As ``read_keys``, of what the file holds; ``named``: what an error calls it."""
    blocks = [found[0] for found in _PEM.finditer(content)]
    if not blocks:
        raise InvalidSetting(f"{KEY_VARIABLE}: {named} holds no private key in PEM")
    if len(blocks) != len(selectors):
        raise InvalidSetting(
            f"{SELECTOR_VARIABLE}: names {len(selectors)} selectors, and {named} holds {len(blocks)} keys; "
            "each key has one of its own"
        )
    return [DkimKey(selector, _read_key(named, block)) for selector, block in zip(selectors, blocks, strict=True)]


def _read_key(named: str, block: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(block, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise InvalidSetting(f"{KEY_VARIABLE}: {named} holds a key that is encrypted or cannot be read") from None
    if isinstance(key, RSAPrivateKey) and key.key_size < _LEAST_RSA:
        raise InvalidSetting(f"{KEY_VARIABLE}: {named} holds an RSA key of less than {_LEAST_RSA} bits")
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise InvalidSetting(f"{KEY_VARIABLE}: {named} holds a key that is neither RSA nor Ed25519")
    return key
