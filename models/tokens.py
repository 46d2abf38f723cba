"""Tokens in our own links: which message, which run, which link of it, for one purpose alone.

A token is one segment of base64url: key id (4 bytes), message id (16), run (2), link (2), HMAC-SHA256 cut to 16 bytes
(RFC 2104, section 5), under a key per purpose. It says nothing of its target or its reader. A return path is made of
the same bytes without a link and with 10 bytes of the HMAC, in base32, since a mail address has 64 characters before
the ``@`` and its letter case may be lost on the way (RFC 5321, sections 2.4 and 4.5.3.1.1).
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_ID: Final = 4
_MAC: Final = 16
_SHORT_MAC: Final = 10
_REF: Final = struct.Struct(">16sHH")
_SHORT_REF: Final = struct.Struct(">16sH")
_HIGHEST: Final = 0xFFFF


class Purpose(StrEnum):
    """What a token is for; none opens another's door."""

    OPEN = "open"
    """The pixel of a mail."""
    CLICK = "click"
    """A link that is followed through us."""
    BEACON = "beacon"
    """What a service worker reports of a push message."""
    OPT_OUT = "opt-out"
    """To unsubscribe from what the message was about, and to take that back: a mail is forwarded with its links."""
    PREFERENCES = "preferences"
    """All that the reader gets, and to unsubscribe too."""
    RETURN_PATH = "return-path"
    """Where a mail's bounces come back to."""


class Ref(msgspec.Struct, frozen=True):
    """What a token stands for. ``link``: the how-manieth of the message, from 0."""

    message_id: UUID
    run: int
    link: int = 0


class TokenMaker:
    """Makes and reads tokens under the secret keys, newest first: the newest signs, any is read."""

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        self._keys = [derive(material, "token key id")[:_KEY_ID] for material in secret_keys]
        self._signers = {
            (purpose, key_id): HMAC(derive(material, f"token {purpose}"), hashes.SHA256())
            for material, key_id in zip(secret_keys, self._keys, strict=True)
            for purpose in Purpose
        }

    def make(self, purpose: Purpose, ref: Ref) -> str:
        """The token, 54 characters."""
        payload = self._keys[0] + _REF.pack(ref.message_id.bytes, min(ref.run, _HIGHEST), ref.link)
        return base64.urlsafe_b64encode(payload + self._mac(purpose, payload)[:_MAC]).rstrip(b"=").decode()

    def read(self, purpose: Purpose, token: str) -> Ref | None:
        """What it stands for; None where it is not one of ours for this purpose."""
        try:
            whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        payload, mac = whole[:-_MAC], whole[-_MAC:]
        if len(payload) != _KEY_ID + _REF.size or not self._is_right(purpose, payload, mac):
            return None
        message_id, run, link = _REF.unpack(payload[_KEY_ID:])
        return Ref(UUID(bytes=message_id), run, link)

    def return_path(self, ref: Ref) -> str:
        """The local part of the address that bounces of this run of the message come back to, 54 characters."""
        payload = self._keys[0] + _SHORT_REF.pack(ref.message_id.bytes, min(ref.run, _HIGHEST))
        mac = self._mac(Purpose.RETURN_PATH, payload)[:_SHORT_MAC]
        return "b-" + base64.b32encode(payload + mac).rstrip(b"=").decode().lower()

    def read_return_path(self, local_part: str) -> Ref | None:
        """What such a local part stands for, in any letter case; None where it is not one of ours."""
        prefix, _, text = local_part.lower().partition("-")
        try:
            whole = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            return None
        payload, mac = whole[:-_SHORT_MAC], whole[-_SHORT_MAC:]
        wanted = _KEY_ID + _SHORT_REF.size
        if prefix != "b" or len(payload) != wanted or not self._is_right(Purpose.RETURN_PATH, payload, mac):
            return None
        message_id, run = _SHORT_REF.unpack(payload[_KEY_ID:])
        return Ref(UUID(bytes=message_id), run)

    def _mac(self, purpose: Purpose, payload: bytes) -> bytes:
        signer = self._signers[purpose, payload[:_KEY_ID]].copy()
        signer.update(payload[_KEY_ID:])
        return signer.finalize()

    def _is_right(self, purpose: Purpose, payload: bytes, mac: bytes) -> bool:
        if (purpose, payload[:_KEY_ID]) not in self._signers:
            return False
        return hmac.compare_digest(self._mac(purpose, payload)[: len(mac)], mac)


class Links:
    """Our own links in one run of one message. ``public_url`` has no slash at its end."""

    __slots__ = ("_maker", "_message_id", "_public_url", "_run")

    def __init__(self, maker: TokenMaker, public_url: str, message_id: UUID, run: int) -> None:
        self._maker = maker
        self._public_url = public_url
        self._message_id = message_id
        self._run = run

    def opt_out(self) -> str:
        """The page to unsubscribe on, which takes the one-click POST too (RFC 8058)."""
        return self._link("u", Purpose.OPT_OUT)

    def reader(self) -> str:
        """The same page, for the reader alone: it leads to all that they get."""
        return self._link("u", Purpose.PREFERENCES)

    def preferences(self) -> str:
        """The page on which a reader chooses what to get."""
        return f"{self.reader()}/preferences"

    def pixel(self) -> str:
        """The picture that says that a mail was opened."""
        return self._link("t/o", Purpose.OPEN)

    def beacon(self) -> str:
        """Where a service worker reports to."""
        return self._link("t/p", Purpose.BEACON)

    def click(self, number: int) -> str:
        """What leads to the message's link of that number, from 0."""
        return self._link("t/c", Purpose.CLICK, number)

    def return_path(self) -> str:
        """The local part of the mail's return path."""
        return self._maker.return_path(Ref(self._message_id, self._run))

    def _link(self, path: str, purpose: Purpose, number: int = 0) -> str:
        return f"{self._public_url}/{path}/{self._maker.make(purpose, Ref(self._message_id, self._run, number))}"


def derive(material: bytes, info: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=f"wireroom 1 {info}".encode()).derive(material)
