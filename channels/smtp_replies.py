"""What an SMTP reply means for a message. Pure: a phase and a reply in, an outcome out.

Reply codes are those of RFC 5321, section 4.2; enhanced status codes those of RFC 3463 and the IANA registry that
RFC 5248 opened. Where a reply has both, the enhanced one decides.
"""

import re
from enum import StrEnum
from typing import Final

from channels.contract import Receipt
from channels.errors import Misconfigured, Permanent, SendError, Transient, Unknown
from models.vocabulary import FailureReason


class Phase(StrEnum):
    """How far an SMTP session was when a reply came."""

    SESSION = "session"
    """Banner, EHLO, STARTTLS or AUTH: no message is under way yet."""
    MAIL = "mail"
    """MAIL FROM: the peer knows our sender address and the size."""
    RCPT = "rcpt"
    """RCPT TO: the peer knows the recipient as well."""
    DATA = "data"
    """The DATA command: not a byte of the content was sent."""
    CONTENT = "content"
    """After the final dot: the peer may have accepted."""


_DETAIL_LENGTH: Final = 200
_ENHANCED: Final = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?!\d)")
_LOCAL_PART: Final = re.compile(r"""(?:"[^"]*"|(?<![^\s<>"'(),;:\[\]@])[^\s<>"'(),;:\[\]@]+)@(?=[\w\[])""")
# It begins with a set of letters, to which a search leaps: it is made for every mail.
_QUEUE_ID: Final = re.compile(r"[QqIi](?:(?<=\b[Qq])ueued as |(?<=\b[Ii])[Dd]=)([\w.-]*\w)")

_NEEDS_AUTH: Final = frozenset({530, 534, 535, 538})
"""Authentication or encryption is asked for, or failed (RFC 4954, section 6; RFC 3207, section 4)."""

_OUR_SYNTAX: Final = frozenset({500, 501, 502, 503, 504, 555})
"""The peer did not understand us: no word about the recipient."""

_DEAD: Final = frozenset({(1, 1), (1, 2), (1, 3), (1, 6), (1, 10)})
"""No such mailbox, no such domain, no address at all, moved without a forward, null MX."""

_ADDRESS: Final = (1, 0)
"""Something about an address: the recipient's, unless the words say otherwise."""

_DISABLED: Final = (2, 1)
"""The mailbox takes no mail: for good where the words say so; Gmail says it of a mailbox that gets too much, too."""

_SENDER: Final = frozenset({(1, 7), (1, 8), (4, 5)})
"""Our sender's address is wrong, its domain unknown, or its account over a limit: Postfix says so at RCPT only."""

_MAILBOX_FULL: Final = (2, 2)
_TOO_LARGE: Final = frozenset({(2, 3), (3, 4)})

_SAYS_DEAD: Final = re.compile(
    r"\b(?:no such|unknown|invalid|non-?existent) (?:local )?(?:user|recipient|mailbox|address|account|part)\b"
    r"|\bunrouteable address\b"
    r"|\b(?:user|recipient|mailbox|address|account)\b.{0,80}"
    r"\b(?:unknown|not found|does(?: not|n't) exist|doesn't have|no longer exists)",
    re.IGNORECASE | re.DOTALL,
)
_SAYS_DISABLED: Final = re.compile(
    r"\b(?:user|recipient|mailbox|address|account)\b.{0,80}\b(?:disabled|inactive|deactivated|discontinued|closed)\b",
    re.IGNORECASE | re.DOTALL,
)
_SAYS_SENDER: Final = re.compile(r"\b(?:sender|from address|authenticat\w+)\b", re.IGNORECASE)
_SAYS_MAILBOX: Final = re.compile(r"\bmailbox unavailable\b", re.IGNORECASE)
_SAYS_FULL: Final = re.compile(r"quota|mailbox (?:is )?full|storage|insufficient space", re.IGNORECASE)
_SAYS_POLICY: Final = re.compile(
    r"\b(?:spam|policy|dmarc|spf|dkim|blocked|block list|blocklist(?:ed)?|blacklist(?:ed)?|reputation)\b", re.IGNORECASE
)


def is_success(code: int) -> bool:
    """Whether the peer did what it was asked."""
    return 200 <= code <= 299


def show_code(code: int, text: str) -> str:
    """The reply's code as we show it: ``550 5.1.1``, or ``550`` where there is no enhanced one."""
    found = _ENHANCED.match(text)
    return f"{code} {found[0].lstrip()}" if found else str(code)


def show_text(text: str) -> str:
    """The reply's text as we show it: one line, 200 characters, every e-mail address without its local part."""
    line = " ".join((text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")).split())
    if not line.isprintable():
        line = "".join([letter if letter.isprintable() else "?" for letter in line])
    if "@" in line:
        line = _LOCAL_PART.sub("***@", line)
    return line[:_DETAIL_LENGTH]


def receipt(code: int, text: str) -> Receipt:
    """What a positive answer to the final dot says; ``provider_id`` is the peer's queue id where it names one."""
    queued = _QUEUE_ID.search(text)
    return Receipt(
        code=show_code(code, text),
        detail=show_text(text) or None,
        provider_id=queued.group(1)[:200] if queued else None,
    )


def refusal(phase: Phase, code: int, text: str) -> SendError:
    """The outcome of a reply that is no success.

    4xx is Transient wherever it comes. What is neither 4xx nor 5xx is no answer that RFC 5321 knows: Unknown after
    the final dot, Transient before it.
    """
    if 500 <= code <= 599:
        return _refused_for_good(phase, code, text)
    if phase is Phase.CONTENT and not 400 <= code <= 499:
        return Unknown(show_text(text), code=show_code(code, text))
    return Transient(show_text(text), code=show_code(code, text))


def _refused_for_good(phase: Phase, code: int, text: str) -> SendError:
    """The outcome of a 5xx reply.

    Before RCPT the peer knows nothing of the recipient: what it refuses there, short of the size, is us.
    """
    shown, detail = show_code(code, text), show_text(text)
    reason = _reason(code, text)
    if phase is Phase.SESSION or code in _NEEDS_AUTH or _enhanced(text) in _SENDER:
        return Misconfigured(detail, code=shown)
    if reason is FailureReason.TOO_LARGE:
        return Permanent(detail, reason=reason, code=shown)
    if phase is Phase.MAIL:
        return Misconfigured(detail, code=shown)
    return Permanent(
        detail,
        reason=reason,
        code=shown,
        hard=reason is FailureReason.ADDRESS_DEAD,
        bounced=reason is not FailureReason.REJECTED or not _is_our_fault(code, text),
    )


def _reason(code: int, text: str) -> FailureReason:
    """What a 5xx reply names as its cause."""
    status = _enhanced(text)
    if status is None:
        return _reason_without_status(code, text)
    subject, _ = status
    if status in _DEAD or _is_dead_by_its_words(status, text):
        return FailureReason.ADDRESS_DEAD
    if status == _MAILBOX_FULL:
        return FailureReason.MAILBOX_FULL
    if status in _TOO_LARGE:
        return FailureReason.TOO_LARGE
    return FailureReason.POLICY if subject == 7 else FailureReason.REJECTED


def _is_dead_by_its_words(status: tuple[int, int], text: str) -> bool:
    """What a status says that peers use for dead addresses and for others."""
    if status == _ADDRESS:
        return not (_SAYS_SENDER.search(text) or _SAYS_POLICY.search(text))
    return status == _DISABLED and _SAYS_DISABLED.search(text) is not None


def _reason_without_status(code: int, text: str) -> FailureReason:
    """What a 5xx reply names as its cause, where only its words can tell.

    Policy is looked for first: a blocked sender is often told that the mailbox is unknown *to it*, and an address
    wrongly held for dead is never written to again.
    """
    if code == 552:
        return FailureReason.MAILBOX_FULL if _SAYS_FULL.search(text) else FailureReason.TOO_LARGE
    if _SAYS_POLICY.search(text):
        return FailureReason.POLICY
    if code == 556 or _SAYS_DEAD.search(text) or _SAYS_DISABLED.search(text):
        return FailureReason.ADDRESS_DEAD
    return FailureReason.REJECTED


def _is_our_fault(code: int, text: str) -> bool:
    """Whether the peer complains of our protocol (5.5.x) or our content's form (5.6.x), not of the recipient.

    Outlook.com gives 5.5.0 to a mailbox that it does not have, or has not for us.
    """
    status = _enhanced(text)
    if status == (5, 0) and _SAYS_MAILBOX.search(text):
        return False
    return code in _OUR_SYNTAX if status is None else status[0] in (5, 6)


def _enhanced(text: str) -> tuple[int, int] | None:
    """Subject and detail of a 5.x.y status; None where there is none, or one that says nothing (5.0.y)."""
    found = _ENHANCED.match(text)
    if found is None or found.group(1) != "5" or found.group(2) == "0":
        return None
    return int(found.group(2)), int(found.group(3))
