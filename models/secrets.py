"""Secrets: envelopes for what we store, the digest of an address, and the tokens that we hand out.

Everything derives from the secret keys (``WIREROOM_SECRET_KEY``, newest first) by HKDF-SHA256 (RFC 5869), one
key per purpose. The digest key is the exception: it is random and stored wrapped, because suppressions must
still match after every secret key was exchanged.
"""

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models.errors import InvalidSetting, WireroomError
from models.inbox_tokens import InboxTokens
from models.session import Database
from models.settings import StorageSettings
from models.store import secrets as store
from models.tokens import TokenMaker
from models.vocabulary import Channel

_VERSION: Final = b"\x01"
_KEY_ID_LENGTH: Final = 8
_NONCE_LENGTH: Final = 12  # NIST SP 800-38D, section 8.2
HEADER_LENGTH: Final = len(_VERSION) + _KEY_ID_LENGTH
"""Bytes by which an envelope tells the key that sealed it."""
_KEY_LENGTH: Final = 32
_DIGEST_LENGTH: Final = 16
_DIGEST_KEY: Final = "address-digest"
SHORT_KEY: Final = 32
"""Characters; a secret key of fewer may be guessed."""
_TOKEN_BYTES: Final = 32

log = structlog.get_logger("models.secrets")


class SealBroken(WireroomError):
    """None of the secret keys opens the envelope, or it was sealed for another purpose, or it was changed."""


class _SecretKey:
    """One secret key and what derives from it."""

    def __init__(self, material: bytes) -> None:
        self._material = material
        self.id = self._derive("key id")[:_KEY_ID_LENGTH]
        self._ciphers: dict[str, AESGCM] = {}

    def cipher(self, purpose: str) -> AESGCM:
        """The cipher of a purpose, derived once."""
        if purpose not in self._ciphers:
            self._ciphers[purpose] = AESGCM(self._derive(f"seal {purpose}"))
        return self._ciphers[purpose]

    def _derive(self, info: str) -> bytes:
        derivation = HKDF(hashes.SHA256(), _KEY_LENGTH, salt=None, info=f"wireroom 1 {info}".encode())
        return derivation.derive(self._material)


class Keyring:
    """Seals and opens what is stored, digests addresses, has ``tokens`` and ``inbox_tokens``.

    Made by ``load_keyring``.
    """

    def __init__(self, secret_keys: Sequence[bytes], digest_key: bytes) -> None:
        """``secret_keys``: at least one, newest first; the newest seals, any opens. ``digest_key``: 32 bytes."""
        self._envelopes = _Envelopes(secret_keys)
        self._digest = HMAC(digest_key, hashes.SHA256())
        self.tokens = TokenMaker(secret_keys)
        self.inbox_tokens = InboxTokens(secret_keys)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """``plain`` under AES-256-GCM: version (1 byte), key id (8), nonce (12), ciphertext and tag (16).

        The purpose, the version and the key id are authenticated: what was sealed for one opens for no other.
        """
        return self._envelopes.seal(plain, purpose)

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed for ``purpose``; raises SealBroken."""
        return self._envelopes.open(sealed, purpose)

    def open_text(self, sealed: bytes, purpose: str) -> str:
        """What was sealed for ``purpose``, as the UTF-8 text it is; raises SealBroken."""
        return self.open(sealed, purpose).decode()

    def reseal(self, sealed: bytes, purpose: str) -> bytes:
        """The same, sealed by the newest key; raises SealBroken."""
        return sealed if self._envelopes.is_newest(sealed) else self.seal(self.open(sealed, purpose), purpose)

    def alias(self, name: str) -> str:
        """32 hex digits that stand for a name outside the database: keyed, so that nobody guesses it back."""
        return self.address_digest("alias", name).hex()

    def address_digest(self, channel: str, address: str) -> bytes:
        """16 bytes that stand for an address without telling it: HMAC-SHA256, truncated, keyed.

        ``address`` as the channel's ``check_address`` normalised it. The letter case of a mail address is ignored
        on top of that: no provider in use tells two people apart by it, and who reports a bounce may change it.
        """
        normal = unicodedata.normalize("NFC", address.strip())
        if channel == Channel.EMAIL:
            normal = normal.casefold()
        digest = self._digest.copy()
        digest.update(f"{channel}\0{normal}".encode())
        return digest.finalize()[:_DIGEST_LENGTH]


class _Envelopes:
    """Sealing by the newest of the keys, opening by any."""

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        self._keys = [_SecretKey(material) for material in secret_keys]
        self._newest = self._keys[0]
        self.newest_header = _VERSION + self._newest.id

    def seal(self, plain: bytes, purpose: str) -> bytes:
        header = self.newest_header
        nonce = os.urandom(_NONCE_LENGTH)
        return header + nonce + self._newest.cipher(purpose).encrypt(nonce, plain, header + purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        header, nonce = sealed[:HEADER_LENGTH], sealed[HEADER_LENGTH : HEADER_LENGTH + _NONCE_LENGTH]
        for key in self._keys:
            if header == _VERSION + key.id:
                try:
                    ciphertext = sealed[HEADER_LENGTH + _NONCE_LENGTH :]
                    return key.cipher(purpose).decrypt(nonce, ciphertext, header + purpose.encode())
                except (InvalidTag, ValueError) as error:  # ValueError: a nonce cut short
                    raise SealBroken("the envelope was changed, or sealed for another purpose") from error
        raise SealBroken("sealed under a key that is not among the secret keys")

    def is_newest(self, sealed: bytes) -> bool:
        """Whether the newest key sealed it."""
        return sealed[:HEADER_LENGTH] == self.newest_header


async def load_keyring(database: Database, settings: StorageSettings) -> Keyring:
    """The keyring of this installation; on first start it makes the keys that are missing.

    The digest key is made by whichever process is first, and wrapped anew once a newer secret key is set; its
    value never changes. Raises InvalidSetting where no secret key opens it, StorageUnavailable without a database.
    """
    secret_keys = read_secret_keys(settings)
    envelopes = _Envelopes(secret_keys)
    digest_key = await _load(database, envelopes, _DIGEST_KEY, lambda: secrets.token_bytes(_KEY_LENGTH))
    return Keyring(secret_keys, digest_key)


async def load_own(database: Database, keyring: Keyring, name: str, make: Callable[[], bytes]) -> bytes:
    """A secret of this installation's own, kept as the digest key is: all machines have the same. ``make``: a new one.

    Raises InvalidSetting and StorageUnavailable, as ``load_keyring`` does.
    """
    return await _load(database, keyring._envelopes, name, make)


async def look_up(database: Database, secret_keys: Sequence[bytes], name: str) -> bytes | None:
    """A secret of this installation's own; None where none was made yet. Raises SealBroken and StorageUnavailable."""
    async with database.read() as connection:
        wrapped = await store.get(connection, name)
    return None if wrapped is None else _Envelopes(secret_keys).open(wrapped, name)


def header(secret_key: bytes) -> bytes:
    """What every envelope begins with that this key seals, ``HEADER_LENGTH`` bytes."""
    return _VERSION + _SecretKey(secret_key).id


async def _load(database: Database, envelopes: "_Envelopes", name: str, make: Callable[[], bytes]) -> bytes:
    async with database.read() as connection:
        wrapped = await store.get(connection, name)
    if wrapped is None:
        fresh = envelopes.seal(make(), name)
        async with database.write() as connection:
            wrapped = await store.insert(connection, name, fresh)
    try:
        plain = envelopes.open(wrapped, name)
    except SealBroken as error:
        raise InvalidSetting(
            "WIREROOM_SECRET_KEY: none of these keys is one that this database was used with; add the former key "
            "at the end, after a comma"
        ) from error
    if not envelopes.is_newest(wrapped):
        async with database.write() as connection:
            await store.rewrap(connection, name, wrapped, envelopes.seal(plain, name))
    return plain


def read_secret_keys(settings: StorageSettings) -> tuple[bytes, ...]:
    """The secret keys, newest first: those of the environment, then the one in the data directory.

    Without the former the latter is made, once, readable by its owner alone. With them it still opens what it
    sealed, so that a key can be set later on. Raises InvalidSetting where the file holds no key.
    """
    if any(len(key) < SHORT_KEY for key in settings.secret_keys):
        log.warning("WIREROOM_SECRET_KEY is short enough to be guessed; `openssl rand -base64 32` makes a good one")
    if not settings.secret_keys and not _key_file(settings).exists():
        _create_key_file(_key_file(settings))
    return present_secret_keys(settings)


def present_secret_keys(settings: StorageSettings) -> tuple[bytes, ...]:
    """The same, and none where there is none yet: nothing is made."""
    given = tuple(key.encode() for key in settings.secret_keys)
    file = _key_file(settings)
    if not file.exists():
        return given
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if len(text) < SHORT_KEY:
        raise InvalidSetting(f"{file} holds no key: restore it, or set WIREROOM_SECRET_KEY")
    return (*given, text.encode())


def _key_file(settings: StorageSettings) -> Path:
    return settings.data_dir / "secret.key"


def _create_key_file(file: Path) -> None:
    """Write a new key, whole or not at all; where another process is first, its key stays."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".secret-")  # mode 600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as output:
            output.write(secrets.token_urlsafe(_KEY_LENGTH) + "\n")
            output.flush()
            os.fsync(output.fileno())
        try:
            file.hardlink_to(draft)  # unlike a rename, never over a file that exists
        except FileExistsError:
            return
        _sync_folder(file.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_token(prefix: str) -> tuple[str, bytes]:
    """A new token and the digest to store: ``prefix``, 43 characters with 256 random bits, 6 of a checksum.

    The prefix makes leaked tokens findable, the checksum makes mistyped ones known without a look-up.
    """
    body = prefix + secrets.token_urlsafe(_TOKEN_BYTES)
    token = body + _checksum(body)
    return token, token_digest(token)


def is_token(text: str, prefix: str) -> bool:
    """Whether ``text`` has the form of a token of that prefix and its checksum is right."""
    body, checksum = text[:-6], text[-6:]
    return text.startswith(prefix) and text.isascii() and hmac.compare_digest(_checksum(body), checksum)


def token_digest(token: str) -> bytes:
    """SHA-256 (32 bytes). A token is random enough that no slower hash is needed."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    return base64.urlsafe_b64encode(zlib.crc32(body.encode()).to_bytes(4, "big")).decode()[:6]
