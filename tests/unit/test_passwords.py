import asyncio
import unicodedata
from collections.abc import AsyncIterator

import argon2
import pytest

from models import passwords
from models.passwords import Passwords
from models.store.sign_ins import FREE_FAILURES, LONGEST_PAUSE_MS, pause_after

EMAIL = "robin.reader@library.example"
GOOD = "three quiet otters waltz"


@pytest.fixture
async def hasher() -> AsyncIterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.mark.parametrize("password", [GOOD, "kX9#vbq2Lm0p", "ü" * 3 + " drei stille Otter", GOOD * 40])
def test_what_is_long_and_unexpected_is_taken(password: str) -> None:
    passwords.check(password, EMAIL)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "12 to 1,024"),
        ("kX9#vbq2Lm0", "12 to 1,024"),
        ("x" * 1025, "12 to 1,024"),
        ("\ud800" * 12, "no text"),
        (EMAIL, "guessed"),
        (EMAIL.upper(), "guessed"),
        ("Robin.Reader1", "guessed"),
        ("library.example", "guessed"),
        ("password1234", "guessed"),
        ("123456789012", "guessed"),
        ("aaaaaaaaaaaa" * 20, "guessed"),
        ("wireroomwireroom", "guessed"),
    ],
)
def test_what_is_short_or_expected_is_refused_with_a_reason(password: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        passwords.check(password, EMAIL)
    assert not password or password not in str(caught.value)


async def test_a_hash_is_argon2id_with_a_salt_of_its_own(hasher: Passwords) -> None:
    first, second = await asyncio.gather(hasher.hash(GOOD), hasher.hash(GOOD))
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(first, GOOD)
    assert not await hasher.verify(first, GOOD + " ")
    assert not hasher.is_outdated(first)


async def test_no_account_has_no_right_password(hasher: Passwords) -> None:
    assert not await hasher.verify(None, GOOD)


async def test_an_accent_is_the_same_however_it_was_typed(hasher: Passwords) -> None:
    composed = "fünf ruhige Wölfe"
    stored = await hasher.hash(composed)
    assert await hasher.verify(stored, unicodedata.normalize("NFD", composed))


def test_hashes_of_other_parameters_are_outdated() -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(GOOD)
    assert Passwords().is_outdated(old)


def test_pauses_grow_to_a_quarter_of_an_hour() -> None:
    pauses = [pause_after(failures) for failures in range(FREE_FAILURES - 1, FREE_FAILURES + 8)]
    assert pauses[:3] == [0, 10_000, 20_000]
    assert pauses == sorted(pauses)
    assert pause_after(10_000) == LONGEST_PAUSE_MS
