"""What an SMTP reply means for a message. Pure: a phase and a reply in, an outcome out.

Reply codes are those of RFC 5321, section 4.2; enhanced status codes those of RFC 3463 and the IANA registry that
RFC 5248 opened. Where a reply has both, the enhanced one decides.
"""

import re
from enum import Enum, StrEnum, auto
from typing import Final

from channels.contract import Receipt
from channels.errors import Blame, Misconfigured, Permanent, SendError, Transient, Unknown
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


_OF_SENDER: Final = frozenset({Phase.SESSION, Phase.MAIL})
"""Where the peer does not know the recipient yet."""

_REFUSED: Final = {
    Phase.SESSION: "the SMTP server refused the session or the login",
    Phase.MAIL: "the SMTP server refused us at MAIL FROM",
    Phase.RCPT: "the SMTP server refused the sender at RCPT TO",
    Phase.DATA: "the SMTP server refused the sender at DATA",
    Phase.CONTENT: "the SMTP server refused the sender after the content",
}

_DETAIL_LENGTH: Final = 200
_ENHANCED: Final = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?!\d)")
_LOCAL_PART: Final = re.compile(r"""(?:"[^"]*"|(?<![^\s<>"'(),;:\[\]@])[^\s<>"'(),;:\[\]@]+)@(?=[\w\[])""")
_ADDRESS_ITSELF: Final = re.compile(_LOCAL_PART.pattern + r"[\w.\[\]-]*")
# It begins with a set of letters, to which a search leaps: it is made for every mail.
_QUEUE_ID: Final = re.compile(r"[QqIi](?:(?<=\b[Qq])ueued as |(?<=\b[Ii])[Dd]=)([\w.-]*\w)")

# "Ok 0102018f…-000000" is what Amazon SES says: its own id of the mail, by which it reports.
_SES_ID: Final = re.compile(r"Ok ([0-9a-f]{16}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]{6})\b")

_NEEDS_AUTH: Final = frozenset({530, 534, 535, 538})
"""Authentication or encryption is asked for, or failed (RFC 4954, section 6; RFC 3207, section 4)."""

_OUR_SYNTAX: Final = frozenset({500, 501, 502, 503, 504, 555})
"""The peer did not understand us: no word about the recipient."""

_DEAD: Final = frozenset({(1, 1), (1, 2), (1, 6), (1, 10)})
"""No such mailbox, no such domain, moved without a forward, null MX: the recipient's, whatever the words."""

_NO_ADDRESS: Final = (1, 3)
"""No address at all: the recipient's only at RCPT, since later the peer reads those in the header."""

_ADDRESS: Final = (1, 0)
"""Something about an address: the recipient's, unless the words say otherwise."""

_DISABLED: Final = (2, 1)
"""The mailbox takes no mail: for good where the words say so; Gmail says it of a mailbox that gets too much, too."""

_SENDER: Final = frozenset({(1, 7), (1, 8), (4, 5)})
"""Our sender's address is wrong, its domain unknown, or its account over a limit: Postfix says so at RCPT only."""

_MAILBOX_FULL: Final = (2, 2)
_TOO_LARGE: Final = frozenset({(2, 3), (3, 4)})

_SAYS_DEAD: Final = re.compile(
    r"\b(?:no such|unknown|invalid|non-?existent) (?:local[ -])?"
    r"(?:user|recipient|mailbox|address|account|person|part)\b"
    r"|\bunrouteable address\b"
    r"|\bno mailbox (?:here )?by that name\b"
    r"|\b(?:user|recipient|mailbox|address|account)\b.{0,80}"
    r"\b(?:unknown|not found|does(?: not|n't) exist|doesn't have|no longer exists)",
    re.IGNORECASE | re.DOTALL,
)
_SAYS_DISABLED: Final = re.compile(
    r"\b(?:user|recipient|mailbox|address|account)\b.{0,80}\b(?:disabled|inactive|deactivated|discontinued|closed)\b",
    re.IGNORECASE | re.DOTALL,
)
# "Verification failed for <…>" is how Exim begins what it says of a sender that it could not verify.
_SAYS_SENDER: Final = re.compile(
    r"\b(?:senders?|headers?|sending (?:account|address|domain|user)|(?:return|reverse)[ -]?path|helo|ehlo|ptr)\b"
    r"|\bfrom[: ]+(?:address|field|line|domain)\b|\b(?:envelope|invalid|bad) from\b|\bmail from:|\bauthenticat\w+"
    r"|\byour (?:e-?mail |mail |user )?(?:account|address(?! book)|domain|mailbox)\b"
    r"|\b(?:ip|client|source) address\b|\breverse dns\b"
    r"|(?<!recipient )\b(?:verification failed (?:for|while)|callback setup failed)\b",
    re.IGNORECASE,
)
_SAYS_RECIPIENT: Final = re.compile(r"\brecipient\b(?! table)|\btried to reach\b", re.IGNORECASE)
_SAYS_MAILBOX: Final = re.compile(r"\bmailbox unavailable\b", re.IGNORECASE)
_SAYS_FULL: Final = re.compile(r"quota|mailbox (?:is )?full|storage|insufficient space", re.IGNORECASE)
_SAYS_SIZE: Final = re.compile(r"\bsize\b|\btoo (?:large|big|long)\b|\bexceed", re.IGNORECASE)
_SAYS_POLICY: Final = re.compile(
    r"\b(?:spam|policy|dmarc|spf|dkim|blocked|block list|blocklist(?:ed)?|blacklist(?:ed)?|reputation"
    r"|virus(?:es)?|malware|infected)\b",
    re.IGNORECASE,
)
_SAYS_REJECTED: Final = re.compile(r"\b(?:rejected|refused|denied|not (?:accept(?:ed)?|allowed))\b", re.IGNORECASE)


class _Whose(Enum):
    """Whose address or account a reply calls dead."""

    RECIPIENT = auto()
    SENDER = auto()
    UNSAID = auto()
    """It speaks of both, and says of neither that it is the one."""


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
    queued = _SES_ID.match(text) or _QUEUE_ID.search(text)
    return Receipt(
        code=show_code(code, text),
        detail=show_text(text) or None,
        provider_id=queued.group(1)[:200] if queued else None,
    )


def refusal(phase: Phase, code: int, text: str, sender: str = "", recipient: str = "") -> SendError:
    """The outcome of a reply that is no success; ``sender`` and ``recipient``: the envelope's, as far as there is one.

    4xx is Transient wherever it comes. What is neither 4xx nor 5xx is no answer that RFC 5321 knows: Unknown after
    the final dot, Transient before it. Who is answered to RCPT, or later, has a sender that works.
    """
    if 500 <= code <= 599:
        return _refused_for_good(phase, code, text, _whose(text, sender, recipient))
    if phase is Phase.CONTENT and not 400 <= code <= 499:
        return Unknown(show_text(text), code=show_code(code, text))
    blame = Blame.SENDER if phase in _OF_SENDER else Blame.RECIPIENT
    return Transient(show_text(text), code=show_code(code, text), blame=blame)


def _refused_for_good(phase: Phase, code: int, text: str, whose: _Whose) -> SendError:
    """The outcome of a 5xx reply.

    Before RCPT the peer knows nothing of the recipient: what it refuses there, short of the size, is us.
    """
    shown, detail = show_code(code, text), show_text(text)
    reason = _reason(code, text)
    is_sender_dead = reason is FailureReason.ADDRESS_DEAD and whose is _Whose.SENDER
    ours = Misconfigured(detail, code=shown, summary=_REFUSED[phase])
    if phase is Phase.SESSION or code in _NEEDS_AUTH or _enhanced(text) in _SENDER:
        return ours
    if is_sender_dead and phase is not Phase.CONTENT:
        return ours
    if reason is FailureReason.ADDRESS_DEAD and not _is_recipient_dead(phase, text, whose):
        reason = FailureReason.REJECTED
    if reason is FailureReason.TOO_LARGE:
        return Permanent(detail, reason=reason, code=shown)
    if phase is Phase.MAIL:
        return ours
    return Permanent(
        detail,
        reason=reason,
        code=shown,
        hard=reason is FailureReason.ADDRESS_DEAD,
        bounced=reason is not FailureReason.REJECTED or not (is_sender_dead or _is_our_fault(code, text)),
    )


def _is_recipient_dead(phase: Phase, text: str, whose: _Whose) -> bool:
    """Whether it is the recipient that a reply calls dead."""
    return whose is _Whose.RECIPIENT and (phase is Phase.RCPT or _enhanced(text) != _NO_ADDRESS)


def _whose(text: str, sender: str, recipient: str) -> _Whose:
    """Whose address or account a reply means if it calls one dead.

    It means the sender's if it names that alone. An address wrongly held for dead is never written to again, and a
    sender wrongly held for refused rests for all recipients: what may be either is neither.
    """
    names_recipient = _names(text, recipient)
    if _names(text, sender) and not names_recipient:
        return _Whose.SENDER
    words = _ADDRESS_ITSELF.sub(" ", text)
    if _enhanced(text) in _DEAD or not _SAYS_SENDER.search(words):
        return _Whose.RECIPIENT
    return _Whose.UNSAID if names_recipient or _SAYS_RECIPIENT.search(words) else _Whose.SENDER


def speaks_of_sender(text: str) -> bool:
    """Whether a reply's words, its addresses left out, speak of whoever sent the mail."""
    return _SAYS_SENDER.search(_ADDRESS_ITSELF.sub(" ", text)) is not None


def _names(text: str, address: str) -> bool:
    """Whether the text holds this e-mail address, and not just a part of another."""
    found = rf"(?<![\w.+=-]){re.escape(address)}(?![\w-]|\.\w)"
    return bool(address) and re.search(found, text, re.IGNORECASE) is not None


def _reason(code: int, text: str) -> FailureReason:
    """What a 5xx reply names as its cause; whose address it is that is dead, ``_whose`` tells."""
    status = _enhanced(text)
    if status is None:
        return _reason_without_status(code, text)
    subject, _ = status
    if status in _DEAD or status == _NO_ADDRESS or _is_dead_by_its_words(status, text):
        return FailureReason.ADDRESS_DEAD
    if status == _MAILBOX_FULL:
        return FailureReason.MAILBOX_FULL
    if status in _TOO_LARGE:
        return FailureReason.TOO_LARGE
    return FailureReason.POLICY if subject == 7 else FailureReason.REJECTED


def _is_dead_by_its_words(status: tuple[int, int], text: str) -> bool:
    """What a status says that peers use for dead addresses and for others."""
    if status == _ADDRESS:
        return _SAYS_POLICY.search(text) is None
    return status == _DISABLED and _SAYS_DISABLED.search(text) is not None


def _reason_without_status(code: int, text: str) -> FailureReason:
    """What a 5xx reply names as its cause, where only its words can tell.

    Policy is looked for first: a blocked sender is often told that the mailbox is unknown *to it*, and an address
    wrongly held for dead is never written to again. 552 is of a size, unless the words say otherwise.
    """
    if code == 552 and _SAYS_FULL.search(text):
        return FailureReason.MAILBOX_FULL
    if code == 552 and _SAYS_SIZE.search(text):
        return FailureReason.TOO_LARGE
    if _SAYS_POLICY.search(text):
        return FailureReason.POLICY
    if code == 556 or _SAYS_DEAD.search(text) or _SAYS_DISABLED.search(text):
        return FailureReason.ADDRESS_DEAD
    if code == 552 and not _SAYS_REJECTED.search(text):
        return FailureReason.TOO_LARGE
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
