"""Whose fault it is that a message did not arrive: a pure function of why it did not."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from models.vocabulary import FailureReason, Status


class Fault(StrEnum):
    """Whose fault it is that a message did not arrive: who can do something about it."""

    RECEIVER = "receiver"
    """The recipient's: the address, the mailbox, the endpoint, or their own word."""
    SENDER = "sender"
    """Of whoever asked for it: what was to be sent, to whom, or until when."""
    OURS = "ours"
    """This installation's and its operator's: settings, reputation, the provider's account, the house itself."""


FAULTS: Final[Mapping[FailureReason, Fault]] = {
    FailureReason.NO_ADDRESS: Fault.SENDER,
    FailureReason.INVALID_ADDRESS: Fault.SENDER,
    FailureReason.OPTED_OUT: Fault.RECEIVER,
    FailureReason.SUPPRESSED: Fault.RECEIVER,
    FailureReason.CHANNEL_NOT_CONFIGURED: Fault.OURS,
    FailureReason.UNKNOWN_TEMPLATE: Fault.SENDER,
    FailureReason.UNKNOWN_CAMPAIGN: Fault.SENDER,
    FailureReason.UNKNOWN_JOURNEY: Fault.SENDER,
    FailureReason.RENDER_ERROR: Fault.SENDER,
    FailureReason.HEADER_INJECTION: Fault.SENDER,
    FailureReason.CANCELLED: Fault.SENDER,
    FailureReason.EXPIRED: Fault.SENDER,
    FailureReason.ERASED: Fault.SENDER,
    FailureReason.EXHAUSTED: Fault.RECEIVER,
    FailureReason.UNREACHABLE: Fault.OURS,
    FailureReason.POISON: Fault.OURS,
    FailureReason.ADDRESS_DEAD: Fault.RECEIVER,
    FailureReason.MAILBOX_FULL: Fault.RECEIVER,
    FailureReason.POLICY: Fault.OURS,
    FailureReason.TOO_LARGE: Fault.SENDER,
    FailureReason.REJECTED: Fault.RECEIVER,
    FailureReason.FORBIDDEN_DESTINATION: Fault.SENDER,
    FailureReason.ENDPOINT_GONE: Fault.RECEIVER,
    FailureReason.BLOCKED: Fault.RECEIVER,
    FailureReason.GIVEN_UP: Fault.SENDER,
    FailureReason.PROVIDER_FAILED: Fault.OURS,
}

REPORTED: Final[Mapping[Status, FailureReason]] = {
    Status.BOUNCED: FailureReason.REJECTED,
    Status.FAILED: FailureReason.PROVIDER_FAILED,
}
"""The statuses of a message that did not arrive, and the reason of one that a provider alone told us about."""


def reason_of(status: Status, given: FailureReason | None) -> FailureReason | None:
    """Why a message did not arrive, ``given`` where we noted a reason ourselves; None for any other status."""
    return (given or REPORTED[status]) if status in REPORTED else None


def shown_reason(status: Status, given: FailureReason | None) -> FailureReason | None:
    """What a message says in ``failureReason``: ``given``, else of one that FAILED by a report alone that it did so."""
    return given or (REPORTED[status] if status is Status.FAILED else None)


def fault_of(status: Status, given: FailureReason | None) -> Fault | None:
    """Whose fault it is; None for a message that arrived, or still may."""
    reason = reason_of(status, given)
    return None if reason is None else FAULTS[reason]
