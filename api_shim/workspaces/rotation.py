"""Signing secrets (``whsec_…``) that are made or given, kept sealed, and exchanged while both are valid."""

from typing import Any, Final

from api_shim import problems
from channels import standard_webhooks
from models.secrets import Keyring, SealBroken
from models.session import now_ms

BOTH_VALID_MS: Final = 24 * 3600 * 1000
"""How long the former secret stays valid beside a new one."""


def given_or_new(secret: str | None, pointer: str) -> str:
    """The secret, or a fresh one for None; raises Problem (400) where it is malformed."""
    if secret is None:
        return standard_webhooks.new_secret()
    try:
        standard_webhooks.decode_secret(secret)
    except ValueError as error:
        raise problems.invalid(str(error), pointer) from None
    return secret


def rotated(keyring: Keyring, purpose: str, column: str, secret: str, former: bytes | None) -> dict[str, Any]:
    """The columns to write so that ``secret`` takes the place of ``former``, which stays valid for a day.

    Both are sealed for ``purpose``. None where they are the same, so that a request can be repeated; and a former one
    that no key opens any more is given up.
    """
    known = None if former is None else _opened(keyring, purpose, former)
    if known == secret:
        return {}
    return {
        column: keyring.seal(secret.encode(), purpose),
        f"{column}_previous": None if known is None else former,
        f"{column}_previous_until": None if known is None else now_ms() + BOTH_VALID_MS,
    }


def _opened(keyring: Keyring, purpose: str, sealed: bytes) -> str | None:
    try:
        return keyring.open_text(sealed, purpose)
    except SealBroken:
        return None
