"""Passwords: hashed by argon2id (RFC 9106), a few at a time, and refused where a guesser would soon find them.

The rules for a new one are those of NIST SP 800-63B, section 5.1.1.2: long enough, neither common nor expected, and
nothing said about which characters it is made of.
"""

import asyncio
import base64
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import argon2
from argon2.exceptions import VerifyMismatchError

T = TypeVar("T")

SHORTEST: Final = 12
LONGEST: Final = 1024
"""Characters of a password."""

# What OWASP's Password Storage Cheat Sheet asks for at least: 19 MiB, two passes, one lane.
_HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)
_AT_ONCE: Final = 2
_JUDGED: Final = 72  # characters: what the estimate takes grows faster than its text
_LEAST_SCORE: Final = 2  # of 0 to 4: a guesser needs a million tries


def check(password: str, email: str) -> None:
    """Raises ValueError, with a reason that does not repeat it, where ``password`` is none for the owner of ``email``.

    Takes up to half a second for one that is made to be slow: call it in a thread.
    """
    try:
        length = len(_normal(password))
    except UnicodeEncodeError:
        raise ValueError("is no text") from None
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"has {SHORTEST} to {LONGEST:,} characters")
    # Its word lists take a third of a second to load, and few processes ever judge a password.
    from zxcvbn import zxcvbn  # noqa: PLC0415 - see above

    local, _, domain = email.partition("@")
    expected = [email, local, domain, *local.split("."), *domain.split("."), "wireroom"]
    judged = zxcvbn(password[:_JUDGED], user_inputs=expected, max_length=_JUDGED)
    if judged["score"] < _LEAST_SCORE:
        raise ValueError("is easily guessed: take a few words that have nothing to do with each other")


def _normal(password: str) -> bytes:
    """The bytes that are hashed: the same for every keyboard that writes an accent in its own way (RFC 8265)."""
    return unicodedata.normalize("NFC", password).encode()


class Passwords:
    """Hashes and verifies in threads of its own, two at a time: sign-ins never take more than 38 MiB and two cores."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")

    async def check(self, password: str, email: str) -> None:
        """As ``check``, in a thread."""
        await self._run(lambda: check(password, email))

    async def hash(self, password: str) -> str:
        """The hash to store, with its parameters and its salt."""
        return await self._run(lambda: _HASHER.hash(_normal(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether ``stored`` is a hash of ``password``. None is never right, and takes as long to be wrong."""
        return await self._run(lambda: _verify(stored or _nobodys(), password)) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return _HASHER.check_needs_rehash(stored)

    def close(self) -> None:
        """Finish what has begun."""
        self._threads.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, _normal(password))
    except VerifyMismatchError:
        return False


def _nobodys() -> str:
    """A hash of no password, with the parameters of all others."""
    salt, digest = (base64.b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32))
    costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
