"""Errors of the domain.

WireroomError
├── NotFound          the thing does not exist in this workspace
├── Conflict          the thing's state does not allow it
├── Refused           a message cannot be accepted: carries a FailureReason
├── InvalidSetting    the environment holds a value that cannot be used
└── StorageUnavailable  the database cannot be reached now
"""

from models.vocabulary import FailureReason


class WireroomError(Exception):
    """Base of all errors that we raise on purpose."""


class NotFound(WireroomError):
    """The thing does not exist in this workspace."""


class Conflict(WireroomError):
    """The thing's state does not allow it."""


class IdempotencyMismatch(WireroomError):
    """The idempotency key was used before, for another request."""


class IdempotencyInFlight(WireroomError):
    """The first request with this idempotency key has not ended yet."""


class Refused(WireroomError):
    """A message cannot be accepted; nothing was stored."""

    def __init__(self, reason: FailureReason, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.pointer = pointer


class InvalidSetting(WireroomError):
    """The environment holds a value that cannot be used."""


class StorageUnavailable(WireroomError):
    """The database cannot be reached now; nothing is known to be stored."""
