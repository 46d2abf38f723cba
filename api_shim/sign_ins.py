"""Whose failed sign-ins count together, and how many may be under way."""

import base64
import binascii
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import msgspec
from starlette.requests import Request

from api_shim import networks, problems
from api_shim.problems import Problem
from api_shim.sessions import Cookies
from models.secrets import Keyring, SealBroken
from models.store.users import UserRow, normal_email

_DEVICE: Final = "device"
_DEVICE_S: Final = 365 * 86_400
_ID_BYTES: Final = 16
_NONCE_BYTES: Final = 16
_LONGEST_DEVICE: Final = 200
_MOST_UNDER_WAY: Final = 32


class Attempt(msgspec.Struct, frozen=True):
    """What a sign-in is counted under (16 bytes each), and the device cookie's value where it succeeds.

    A browser in which this very account has signed in before is counted for itself: others who keep guessing
    make the account pause for everybody but its owner, and an address that many share pauses for strangers alone.
    """

    own: bytes
    client: bytes | None
    device: str

    @property
    def subjects(self) -> list[bytes]:
        """All that a failure counts for."""
        return [self.own] if self.client is None else [self.own, self.client]


class SignIns:
    """Bounds what sign-ins take of this process."""

    def __init__(self) -> None:
        self._under_way = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One more is under way until the end of the block; raises Problem (429) where there are too many."""
        if self._under_way >= _MOST_UNDER_WAY:
            raise too_many(1000)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def too_many(wait_ms: int) -> Problem:
    """429, to be tried again after so many milliseconds."""
    return Problem(problems.TOO_MANY_SIGN_INS, headers={"Retry-After": str(-(-wait_ms // 1000))})


def attempt_of(request: Request, cookies: Cookies, keyring: Keyring, email: str, user: UserRow | None) -> Attempt:
    """What a sign-in is counted under; ``user`` is the one of that address, where there is one."""
    device = request.cookies.get(cookies.device, "")
    if user is not None and _is_device_of(device, user.id, keyring):
        return Attempt(keyring.address_digest("sign-in device", device), None, device)
    # Also where there is no such account, and nobody will get it: the same work for both.
    owner = bytes(_ID_BYTES) if user is None else user.id.bytes
    fresh = keyring.seal(owner + os.urandom(_NONCE_BYTES), _DEVICE)
    return Attempt(
        own=keyring.address_digest("sign-in account", normal_email(email)) if user is None else user.id.bytes,
        client=keyring.address_digest("sign-in client", networks.of_client(request)),
        device=base64.urlsafe_b64encode(fresh).decode(),
    )


def device_cookie(cookies: Cookies, attempt: Attempt) -> str:
    """The ``Set-Cookie`` by which the browser is known again."""
    return cookies.set(cookies.device, attempt.device, _DEVICE_S)


def _is_device_of(device: str, user_id: UUID, keyring: Keyring) -> bool:
    if not device or len(device) > _LONGEST_DEVICE:
        return False
    try:
        sealed = base64.b64decode(device, altchars=b"-_", validate=True)
        # As it was given out, to the letter: no other spelling of the same bytes is counted for itself.
        if base64.urlsafe_b64encode(sealed).decode() != device:
            return False
        return keyring.open(sealed, _DEVICE)[:_ID_BYTES] == user_id.bytes
    except (binascii.Error, ValueError, SealBroken):
        return False
