"""Inbox tokens: what a page shows to read one contact's inbox, until a time.

A token is base64url: key id (4 bytes), contact id (16), the second since 1970 at which it ends (8), HMAC-SHA256 (32,
RFC 2104) under a key of its own. It is no secret of ours, but whoever has it acts as the owner of that one inbox: reads
it, marks its items as read, clicked and archived, and by an item's unsubscribeUrl can opt the owner out. It opens
nothing else.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from models.tokens import derive

_KEY_ID: Final = 4
_MAC: Final = 32
_GRANT: Final = struct.Struct(">16sQ")
_LENGTH: Final = _KEY_ID + _GRANT.size + _MAC


class Grant(msgspec.Struct, frozen=True):
    """What a token stands for. ``ends_at``: seconds since 1970."""

    contact_id: UUID
    ends_at: int


class InboxTokens:
    """Makes and reads inbox tokens under the secret keys, newest first: the newest signs, any is read."""

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        self._keys = [derive(material, "inbox token key id")[:_KEY_ID] for material in secret_keys]
        self._signers = {
            key_id: HMAC(derive(material, "inbox token"), hashes.SHA256())
            for key_id, material in zip(self._keys, secret_keys, strict=True)
        }

    def make(self, grant: Grant) -> str:
        """The token, 80 characters."""
        payload = self._keys[0] + _GRANT.pack(grant.contact_id.bytes, grant.ends_at)
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode()

    def read(self, token: str, now: float) -> Grant | None:
        """What it stands for at ``now`` (seconds since 1970); None where it is not one of ours, or has ended."""
        try:
            whole = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        payload, mac = whole[:-_MAC], whole[-_MAC:]
        if len(whole) != _LENGTH or payload[:_KEY_ID] not in self._signers:
            return None
        if not hmac.compare_digest(self._mac(payload), mac):
            return None
        contact_id, ends_at = _GRANT.unpack(payload[_KEY_ID:])
        return Grant(UUID(bytes=contact_id), ends_at) if now < ends_at else None

    def _mac(self, payload: bytes) -> bytes:
        signer = self._signers[payload[:_KEY_ID]].copy()
        signer.update(payload)
        return signer.finalize()
