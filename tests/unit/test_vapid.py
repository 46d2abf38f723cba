"""VAPID: tokens as push services check them, and keys in every form that they are kept in."""

import asyncio
import base64
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from py_vapid import Vapid02

from channels import registry
from channels.settings import ChannelSettings
from channels.vapid import Vapid, default_subject, load, new_key, parse_key
from models import migrate
from models.errors import InvalidSetting
from models.secrets import load_keyring, load_own
from models.session import Database
from models.settings import StorageSettings
from tests.support.push_service import check_vapid, decode, encode, point

SUBJECT = "mailto:push@example.org"
AUDIENCE = "https://push.example.net"
NOW = 1_768_471_200.0
HOUR = 3600
KEY = new_key()
TEXT = encode(KEY).encode()


def vapid() -> Vapid:
    return Vapid(parse_key(TEXT), SUBJECT)


def claims(authorization: str) -> dict[str, Any]:
    found = re.fullmatch(r"vapid t=[^.]+\.([^.]+)\.[^.]+,k=.+", authorization)
    assert found is not None
    return msgspec.json.decode(decode(found[1]), type=dict[str, Any])


def pem(key: Any, form: serialization.PrivateFormat, password: bytes | None = None) -> bytes:
    algorithm = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, algorithm))


def test_a_token_is_what_a_push_service_takes() -> None:
    ours = vapid()
    authorization = ours.authorization(AUDIENCE, time.time())
    assert check_vapid(authorization, AUDIENCE) == ours.public_key
    assert Vapid02.verify(authorization)
    assert Vapid02.from_string(TEXT.decode()).public_key == parse_key(TEXT).public_key()


def test_what_a_token_says() -> None:
    said = claims(vapid().authorization(AUDIENCE, NOW))
    assert said == {"aud": AUDIENCE, "exp": int(NOW) + 12 * HOUR, "sub": SUBJECT}


def test_one_token_serves_its_audience_until_an_hour_is_left() -> None:
    ours = vapid()
    first = ours.authorization(AUDIENCE, NOW)
    assert ours.authorization(AUDIENCE, NOW + 11 * HOUR - 1) == first
    assert ours.authorization("https://other.example.net", NOW) != first
    later = ours.authorization(AUDIENCE, NOW + 11 * HOUR)
    assert claims(later)["exp"] == int(NOW) + 23 * HOUR


def test_a_clock_set_back_never_makes_a_token_live_for_over_a_day() -> None:
    ours = vapid()
    ours.authorization(AUDIENCE, NOW)
    assert claims(ours.authorization(AUDIENCE, NOW - 20 * HOUR))["exp"] == int(NOW) - 8 * HOUR


def test_tokens_of_strangers_origins_are_not_kept_without_end() -> None:
    ours = vapid()
    first = ours.authorization(AUDIENCE, NOW)
    for number in range(1023):
        ours.authorization(f"https://{number}.example.net", NOW)
    assert ours.authorization(AUDIENCE, NOW) == first  # used, so it stays
    for number in range(1024):
        ours.authorization(f"https://{number}.example.com", NOW)
    assert ours.authorization(AUDIENCE, NOW) != first  # ES256 never signs alike twice


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_a_key_may_be_pem_or_base64url(form: serialization.PrivateFormat) -> None:
    key = parse_key(TEXT)
    expected = encode(point(key.public_key()))
    assert Vapid(parse_key(b"\n" + pem(key, form)), SUBJECT).public_key == expected
    assert Vapid(parse_key(TEXT + b"\n"), SUBJECT).public_key == expected
    assert Vapid(parse_key(base64.urlsafe_b64encode(KEY)), SUBJECT).public_key == expected
    assert len(expected) == 87


def test_a_key_that_openssl_made_is_read(tmp_path: Path) -> None:
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", str(tmp_path / "key.pem")]
    subprocess.run(command, check=True, capture_output=True)
    assert parse_key((tmp_path / "key.pem").read_bytes()).key_size == 256


PKCS8 = serialization.PrivateFormat.PKCS8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"canary",
        encode(b"canary" * 5).encode(),
        encode(bytes(32)).encode(),
        encode(b"\xff" * 32).encode(),
        b"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",  # pragma: allowlist secret
        pem(ec.generate_private_key(ec.SECP384R1()), PKCS8),
        pem(ed25519.Ed25519PrivateKey.generate(), PKCS8),
        pem(parse_key(TEXT), PKCS8, password=b"secret"),
    ],
)
def test_what_is_no_key_is_said_at_the_start_and_names_the_variable(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "vapid.key"
    file.write_bytes(content)
    settings = ChannelSettings.read({"WIREROOM_VAPID_PRIVATE_KEY_FILE": str(file)})
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_VAPID_PRIVATE_KEY_FILE: ") as refused:
        registry.configured(settings)
    assert "canary" not in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    settings = ChannelSettings.read({"WIREROOM_VAPID_PRIVATE_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(InvalidSetting, match=r"^WIREROOM_VAPID_PRIVATE_KEY_FILE: cannot read"):
        registry.configured(settings)


@pytest.mark.parametrize("subject", ["push@example.org", "mailto:nobody", "http://example.org", "https://", "https:x"])
def test_a_subject_is_an_address(subject: str) -> None:
    with pytest.raises(InvalidSetting, match="WIREROOM_VAPID_SUBJECT"):
        ChannelSettings.read({"WIREROOM_VAPID_SUBJECT": subject})


@pytest.mark.parametrize(
    ("url", "subject"),
    [
        ("https://mail.example.org", "https://mail.example.org"),
        ("http://mail.example.org:8080", "mailto:postmaster@mail.example.org"),
        ("http://127.0.0.1:8080", "mailto:postmaster@127.0.0.1"),
    ],
)
def test_without_a_subject_it_is_our_own_address(url: str, subject: str) -> None:
    assert default_subject(url) == subject
    assert ChannelSettings.read({"WIREROOM_PUBLIC_URL": url}).vapid_subject == subject


async def test_a_given_key_asks_nobody(tmp_path: Path) -> None:
    async def keep(_name: str, _make: Callable[[], bytes]) -> bytes:
        raise AssertionError("nothing is kept")

    file = tmp_path / "vapid.key"
    file.write_bytes(TEXT)
    assert (await load(file, SUBJECT, keep)).public_key == vapid().public_key


async def test_without_a_file_the_key_is_made_once_and_shared(tmp_path: Path) -> None:
    storage = StorageSettings.read({"WIREROOM_DATA_DIR": str(tmp_path)})
    await asyncio.to_thread(migrate.upgrade, storage.database_url)
    database = Database.connect(storage.database_url)
    try:

        async def process() -> str:
            keyring = await load_keyring(database, storage)
            return (await load(None, SUBJECT, lambda name, make: load_own(database, keyring, name, make))).public_key

        keys = set(await asyncio.gather(*(process() for _ in range(3))))
        assert keys == {await process()}
    finally:
        await database.close()
