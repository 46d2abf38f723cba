"""What is read out of a mail that came back."""

from enum import StrEnum

import msgspec

from models.evidence import BounceReason, MailKind
from models.vocabulary import BounceType


class Action(StrEnum):
    """What became of the mail for one recipient (RFC 3464, section 2.3.3)."""

    FAILED = "failed"
    """It will not be delivered."""
    DELAYED = "delayed"
    """It is tried further."""
    DELIVERED = "delivered"
    """It was delivered."""
    RELAYED = "relayed"
    """It went on to a server that reports nothing."""
    EXPANDED = "expanded"
    """It went on to several addresses."""


class Recipient(msgspec.Struct, frozen=True):
    """One recipient of a report.

    ``address``: empty where the report names none. ``status``: enhanced, as ``5.1.1`` (RFC 3463). ``reply_code``: that
    of SMTP, from 200 to 599. ``bounce_type``: None for whatever is no bounce. ``said``: the words of the report.
    """

    address: str
    action: Action
    status: str | None = None
    reply_code: int | None = None
    reason: BounceReason | None = None
    bounce_type: BounceType | None = None
    said: str = ""


class Report(msgspec.Struct, frozen=True):
    """A mail, as far as it matters to the one that it answers.

    ``tokens``: what may be the local part of a return path of ours, in the order of the mail. ``message_id``: that of
    the mail that it is about, with its angle brackets. ``feedback``: the type of a report of abuse, in lower case.
    """

    kind: MailKind
    recipients: tuple[Recipient, ...] = ()
    tokens: tuple[str, ...] = ()
    message_id: str | None = None
    feedback: str | None = None
