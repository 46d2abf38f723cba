"""Signing secrets (``whsec_…``) that are made or given, kept sealed, and exchanged while both are valid."""

from typing import Any, Final

from api_shim import problems
from channels import standard_webhooks
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


def rotated(column: str, sealed: bytes, former: bytes | None) -> dict[str, Any]:
    """The columns to write so that ``sealed`` takes the place of ``former``, which stays valid for a day."""
    return {
        column: sealed,
        f"{column}_previous": former,
        f"{column}_previous_until": None if former is None else now_ms() + BOTH_VALID_MS,
    }
