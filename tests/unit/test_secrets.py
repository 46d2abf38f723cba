"""Envelopes, address digests, the key file and tokens."""

import asyncio
import hashlib
import multiprocessing
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import migrate
from models.errors import InvalidSetting
from models.secrets import (
    Keyring,
    SealBroken,
    is_token,
    load_keyring,
    new_token,
    read_secret_keys,
    token_digest,
)
from models.session import Database
from models.settings import StorageSettings
from models.vocabulary import Channel

OLD, NEW = b"an older secret key, long enough", b"a newer secret key, long enough."
DIGEST_KEY = bytes(range(32))


def settings_in(folder: Path, *secret_keys: str) -> StorageSettings:
    settings = StorageSettings.read({"WIREROOM_DATA_DIR": str(folder)})
    return replace(settings, secret_keys=secret_keys)


@given(plain=st.binary(), purpose=st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_is_sealed_opens_and_tells_nothing(plain: bytes, purpose: str) -> None:
    keyring = Keyring([NEW], DIGEST_KEY)
    sealed = keyring.seal(plain, purpose)
    assert keyring.open(sealed, purpose) == plain
    assert len(sealed) == 1 + 8 + 12 + len(plain) + 16
    assert keyring.seal(plain, purpose) != sealed
    if len(plain) > 3:
        assert plain not in sealed


def test_a_changed_byte_a_cut_or_another_purpose_does_not_open() -> None:
    keyring = Keyring([NEW], DIGEST_KEY)
    sealed = keyring.seal(b"whsec_value", "webhook-secret")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SealBroken):
            keyring.open(bytes(changed), "webhook-secret")
        with pytest.raises(SealBroken):
            keyring.open(sealed[:position], "webhook-secret")
    with pytest.raises(SealBroken):
        keyring.open(sealed, "hook-key")


def test_every_key_opens_and_the_newest_seals() -> None:
    before, after = Keyring([OLD], DIGEST_KEY), Keyring([NEW, OLD], DIGEST_KEY)
    assert after.open(before.seal(b"x", "p"), "p") == b"x"
    assert Keyring([NEW], DIGEST_KEY).open(after.seal(b"x", "p"), "p") == b"x"
    with pytest.raises(SealBroken):
        before.open(after.seal(b"x", "p"), "p")


def test_text_comes_back_as_text() -> None:
    keyring = Keyring([NEW], DIGEST_KEY)
    assert keyring.open_text(keyring.seal("ключ".encode(), "p"), "p") == "ключ"


def test_an_address_digest_depends_on_channel_address_and_key() -> None:
    keyring = Keyring([NEW], DIGEST_KEY)
    digest = keyring.address_digest(Channel.EMAIL, "someone@example.com")
    assert len(digest) == 16
    assert digest == keyring.address_digest("EMAIL", " Someone@EXAMPLE.com ")
    assert digest == Keyring([OLD], DIGEST_KEY).address_digest(Channel.EMAIL, "someone@example.com")
    others = [
        keyring.address_digest(Channel.TELEGRAM, "someone@example.com"),
        keyring.address_digest(Channel.EMAIL, "someone2@example.com"),
        Keyring([NEW], bytes(32)).address_digest(Channel.EMAIL, "someone@example.com"),
    ]
    assert digest not in others


def test_letter_case_of_an_url_tells_two_endpoints_apart() -> None:
    keyring = Keyring([NEW], DIGEST_KEY)
    upper = keyring.address_digest(Channel.WEBHOOK, "https://example.com/A")
    assert upper != keyring.address_digest(Channel.WEBHOOK, "https://example.com/a")


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "not yet there"
    settings = settings_in(folder)
    keys = read_secret_keys(settings)
    assert read_secret_keys(settings) == keys
    assert len(keys[0]) == 43
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == ["secret.key"]


def test_processes_that_start_together_agree_on_the_key_file(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(read_secret_keys, [settings_in(tmp_path / "var")] * 16, chunksize=1)
    assert len(set(keys)) == 1
    assert [file.name for file in (tmp_path / "var").iterdir()] == ["secret.key"]


def test_keys_of_the_environment_come_first_and_need_no_file(tmp_path: Path) -> None:
    assert read_secret_keys(settings_in(tmp_path, "b" * 32, "a" * 32)) == (b"b" * 32, b"a" * 32)
    assert list(tmp_path.iterdir()) == []
    (made,) = read_secret_keys(settings_in(tmp_path))
    assert read_secret_keys(settings_in(tmp_path, "b" * 32)) == (b"b" * 32, made)


def test_a_key_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("\n")
    with pytest.raises(InvalidSetting, match=r"secret\.key"):
        read_secret_keys(settings_in(tmp_path))


async def test_the_digest_key_survives_the_exchange_of_every_secret_key(database: Database, tmp_path: Path) -> None:
    old, middle, new = "o" * 32, "m" * 32, "n" * 32
    digests = []
    for keys in [(old,), (middle, old), (new, middle), (new,)]:
        keyring = await load_keyring(database, settings_in(tmp_path, *keys))
        digests.append(keyring.address_digest(Channel.EMAIL, "someone@example.com"))
    assert len(set(digests)) == 1
    with pytest.raises(InvalidSetting, match="WIREROOM_SECRET_KEY"):
        await load_keyring(database, settings_in(tmp_path, old))


async def test_processes_that_start_together_agree_on_the_digest_key(database: Database, tmp_path: Path) -> None:
    keyrings = await asyncio.gather(*(load_keyring(database, settings_in(tmp_path)) for _ in range(8)))
    assert len({keyring.address_digest(Channel.EMAIL, "someone@example.com") for keyring in keyrings}) == 1


async def test_two_installations_digest_differently(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        url = f"sqlite:///{tmp_path / name}.db"
        await asyncio.to_thread(migrate.upgrade, url)
        database = Database.connect(url)
        keyring = await load_keyring(database, settings_in(tmp_path, "k" * 32))
        digests.add(keyring.address_digest(Channel.EMAIL, "someone@example.com"))
        await database.close()
    assert len(digests) == 2


def test_a_token_carries_its_prefix_and_a_checksum() -> None:
    token, digest = new_token("wr_live_")
    assert len(token) == len("wr_live_") + 43 + 6
    assert digest == token_digest(token) == hashlib.sha256(token.encode()).digest()
    assert is_token(token, "wr_live_")
    assert new_token("wr_live_")[0] != token


@given(position=st.integers(0, 56), letter=st.characters(codec="utf-8"))
def test_a_mistyped_token_is_known_without_a_look_up(position: int, letter: str) -> None:
    token, _ = new_token("wr_live_")
    mistyped = token[:position] + letter + token[position + 1 :]
    assert is_token(mistyped, "wr_live_") == (mistyped == token)


@pytest.mark.parametrize("text", ["", "wr_live_", "wr_test_" + "a" * 49, "é" * 60, "wr_live_" + "\ud800" * 49])
def test_garbage_is_no_token(text: str) -> None:
    assert not is_token(text, "wr_live_")
