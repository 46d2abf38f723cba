"""VAPID: how a push service knows who sends (RFC 8292). One P-256 key for the whole installation."""

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from models.errors import InvalidSetting

KEY_VARIABLE: Final = "WIREROOM_VAPID_PRIVATE_KEY_FILE"
SUBJECT_VARIABLE: Final = "WIREROOM_VAPID_SUBJECT"

_SCALAR: Final = 32
_NAME: Final = "vapid"
_LIFETIME_S: Final = 12 * 3600
_LEFT_S: Final = 3600
"""A token is made anew when less than this is left of it: requests are under way, and clocks differ."""
_MOST_AUDIENCES: Final = 1024
"""Endpoints are what strangers say, and so are their origins."""

Keeper = Callable[[str, Callable[[], bytes]], Awaitable[bytes]]
"""``keep(name, make)``: the secret that is kept under this name; made, once for all machines, where there is none."""


class Vapid:
    """Signs for push services. ``subject``: whom they write to when something is wrong, ``mailto:`` or ``https:``."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, subject: str) -> None:
        self._key = key
        self._subject = subject
        self._made: OrderedDict[str, tuple[int, str]] = OrderedDict()
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        self.public_key: Final = _encode(point)
        """What a page subscribes with (``applicationServerKey``): the uncompressed point, base64url, 87 characters."""

    def authorization(self, audience: str, now: float) -> str:
        """The ``Authorization`` header (RFC 8292, section 3) for an origin at ``now`` (Unix seconds).

        A token lives for 12 hours, of 24 at most (section 2), and serves all requests to its origin.
        """
        made_at, header = self._made.get(audience, (0, ""))
        # After the clock was set back, a token may seem to live for too long.
        if not 0 <= now - made_at < _LIFETIME_S - _LEFT_S:
            made_at = int(now)
            header = f"vapid t={self._token(audience, made_at)},k={self.public_key}"
            self._made[audience] = made_at, header
            if len(self._made) > _MOST_AUDIENCES:
                self._made.popitem(last=False)
        self._made.move_to_end(audience)
        return header

    def _token(self, audience: str, now: int) -> str:
        """A JSON Web Token (RFC 7519), signed with ES256 (RFC 7518, section 3.4)."""
        claims = {"aud": audience, "exp": now + _LIFETIME_S, "sub": self._subject}
        signed = ".".join([_encode(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ES256"}, claims)])
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(r.to_bytes(_SCALAR, 'big') + s.to_bytes(_SCALAR, 'big'))}"


def new_key() -> bytes:
    """A new private key: its scalar, 32 bytes."""
    return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(_SCALAR, "big")


def parse_key(text: bytes) -> ec.EllipticCurvePrivateKey:
    """A private key on P-256 as PEM (PKCS #8 or SEC 1, not encrypted), or its scalar's 32 bytes in base64url.

    Raises ValueError with a reason that tells nothing of the key.
    """
    text = text.strip()
    if not text.startswith(b"-----BEGIN"):
        return _from_scalar(_decode(text))
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # TypeError: it is encrypted. The causes quote what they could not read.
        raise ValueError("holds PEM, but no private key that can be read without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("holds a key that is not on the curve P-256, as `openssl ecparam -name prime256v1` makes it")
    return key


def read_key_file(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file; raises InvalidSetting, naming the variable."""
    try:
        return parse_key(path.read_bytes())
    except OSError as error:
        raise InvalidSetting(f"{KEY_VARIABLE}: cannot read the file: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSetting(f"{KEY_VARIABLE}: {error}") from None


async def load(key_file: Path | None, subject: str, keep: Keeper) -> Vapid:
    """The installation's own: the key of the file, else the kept one, which is made on first start.

    Raises InvalidSetting, and whatever ``keep`` raises.
    """
    if key_file is not None:
        return Vapid(read_key_file(key_file), subject)
    return Vapid(_from_scalar(await keep(_NAME, new_key)), subject)


def check_subject(text: str) -> str:
    """A subject as RFC 8292 (section 2.1) wants it; raises InvalidSetting, naming the variable."""
    scheme, _, rest = text.partition(":")
    mail = scheme == "mailto" and "@" in rest
    page = scheme == "https" and rest.startswith("//") and len(rest) > len("//")
    if not (mail or page) or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidSetting(f"{SUBJECT_VARIABLE}: must be an address, as in mailto:push@example.org or https://…")
    return text


def default_subject(public_url: str) -> str:
    """Where nobody says whom to write to: our own page, or the postmaster of its host (RFC 2142) without TLS."""
    if public_url.startswith("https://"):
        return public_url
    host = urlsplit(public_url).hostname or "localhost"
    return f"mailto:postmaster@{host}"


def _from_scalar(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    if len(scalar) != _SCALAR:
        raise ValueError("holds neither PEM nor the base64url of 32 bytes")
    try:
        return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    except ValueError:
        raise ValueError("holds 32 bytes that are no private key on P-256") from None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: bytes) -> bytes:
    """The bytes of base64url; none where it is not."""
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
