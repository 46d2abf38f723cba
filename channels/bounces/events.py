"""What a mail that came back means for the message that it is about: one event. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Final

from channels.bounces import addresses
from channels.bounces.report import Action, Recipient, Report
from channels.providers.reading import LONGEST_REASON, LONGEST_WORD, clean
from models.events import ParsedEvent
from models.evidence import MailKind
from models.tokens import Ref
from models.vocabulary import BounceType, EventType

KEPT_BYTES: Final = 64 << 10
"""So much of a mail is kept for the record."""
_NO_COMPLAINTS: Final = frozenset({"not-spam", "auth-failure", "dkim"})
_OPT_OUTS: Final = frozenset({"opt-out", "opt-out-list", "unsubscribe"})
_ARRIVED: Final = frozenset({Action.DELIVERED, Action.RELAYED, Action.EXPANDED})


def event_of(report: Report, raw: bytes, ref: Ref | None) -> ParsedEvent:
    """The event; ``ref`` is what a token proved that it is about. Without one it is kept and changes nothing."""
    kind, bounce_type = (EventType.IGNORED, None) if ref is None else _meaning(report)
    first = report.recipients[0] if report.recipients else None
    return ParsedEvent(
        type=kind,
        provider_event=_name(report),
        dedupe=_digest(raw, ref),
        raw=raw[:KEPT_BYTES],
        at=None,
        message_ref=None if ref is None else ref.message_id,
        run=None if ref is None else ref.run,
        recipient=None if first is None or not first.address else clean(first.address, addresses.LONGEST),
        bounce_type=bounce_type,
        reason="no token of ours" if ref is None else _reason(first),
    )


def _meaning(report: Report) -> tuple[EventType, BounceType | None]:
    if report.kind is MailKind.ARF:
        return _of_feedback(report.feedback or ""), None
    if report.kind is not MailKind.DSN:
        return EventType.IGNORED, None
    return _of_delivery(report.recipients)


def _of_feedback(kind: str) -> EventType:
    if kind in _NO_COMPLAINTS:
        return EventType.IGNORED
    return EventType.UNSUBSCRIBED if kind in _OPT_OUTS else EventType.COMPLAINED


def _of_delivery(recipients: Sequence[Recipient]) -> tuple[EventType, BounceType | None]:
    """A message has one recipient: several in a report are whom their address led to, and the best of it counts."""
    actions = {each.action for each in recipients}
    if actions & _ARRIVED:
        return EventType.DELIVERED, None
    if Action.DELAYED in actions:
        return EventType.DEFERRED, None
    is_hard = all(each.bounce_type is BounceType.HARD for each in recipients)
    return EventType.BOUNCED, BounceType.HARD if is_hard else BounceType.SOFT


def _name(report: Report) -> str:
    """The report's own word for it, as ``dsn failed`` or ``arf abuse``."""
    own = report.feedback or (report.recipients[0].action.value if report.kind is MailKind.DSN else "")
    return clean(f"{report.kind.value} {own}".strip(), LONGEST_WORD)


def _reason(first: Recipient | None) -> str | None:
    if first is None or first.reason is None:
        return None
    return clean(f"{first.reason.value}: {first.said}".removesuffix(": "), LONGEST_REASON)


def _digest(raw: bytes, ref: Ref | None) -> bytes:
    """The same for a mail that a mail server hands over again, since it did not hear our answer."""
    about = "" if ref is None else f"{ref.message_id}|{ref.run}"
    return hashlib.sha256(f"bounce-mail|{about}|".encode() + raw).digest()
