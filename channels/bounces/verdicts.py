"""What a report of failure says: the reason, and whether the address is dead. Pure.

The replies that servers gave are judged as if they had been given to us (``smtp_replies``); what a report adds to that
are the reasons of the server that wrote it: it has tried for too long, knows no way, or takes no mail for others.
"""

import re
from typing import Final, NamedTuple

from channels.bounces.phrases import reason_in
from channels.bounces.report import Action, Recipient
from channels.errors import Misconfigured, Permanent
from channels.smtp_replies import Phase, refusal, speaks_of_sender
from models.evidence import BounceReason
from models.vocabulary import BounceType, FailureReason

_LONGEST: Final = 1_000
_STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
# A number alone may be anything; a reply is followed by its text, and begins a line or stands behind a mark.
_REPLY: Final = re.compile(
    r"(?:(?<=[:;('\"<=\[#])|(?<=<<< )|(?<=<-- )|(?<=\] )|(?<=\bcode )|(?<=\berror )|(?<=[:;] )|(?<=\breply )"
    r"|(?<=(?:said|rror|eply|swer): )|^)"
    r"([245][0-5]\d)(?=[ \-](?!hours?|days?|min|sec|bytes|[KM]B)|[)\]:,]|$)",
    re.MULTILINE | re.IGNORECASE,
)

_BY_REFUSAL: Final = {
    FailureReason.ADDRESS_DEAD: BounceReason.ADDRESS_DEAD,
    FailureReason.MAILBOX_FULL: BounceReason.MAILBOX_FULL,
    FailureReason.TOO_LARGE: BounceReason.TOO_LARGE,
    FailureReason.POLICY: BounceReason.POLICY,
}
_BY_STATUS: Final = {
    (1, 2): BounceReason.DNS,
    (1, 10): BounceReason.ADDRESS_DEAD,
    (2, 2): BounceReason.MAILBOX_FULL,
    (2, 3): BounceReason.TOO_LARGE,
    (3, 4): BounceReason.TOO_LARGE,
    (4, 3): BounceReason.DNS,
    (4, 6): BounceReason.LOOP,
    (4, 7): BounceReason.EXPIRED,
}
_NO_USER: Final = 67
"""EX_NOUSER of sysexits.h, as Sendmail's ``X-Unix`` diagnostics have it."""


class Said(NamedTuple):
    """What a report has of one recipient: its status field, the reply in its words, and its words."""

    status: str | None
    reply_code: int | None
    text: str


def said_in(text: str, status: str | None = None) -> Said:
    """The codes in a report's words; ``status``: what a field of its own said, unless it says nothing (``5.0.0``)."""
    text = " ".join(text[:_LONGEST].split(" "))
    found = _STATUS.search(text)
    own = None if found is None else found[0]
    reply = _REPLY.search(text)
    if status is None or (status.endswith(".0.0") and own is not None and own[0] == status[0]):
        status = own
    return Said(status, None if reply is None else int(reply[1]), " ".join(text.split()))


def failed(address: str, said: Said, *, unix: int | None = None) -> Recipient:
    """A recipient whom the mail will not reach. ``unix``: the exit code of a program that should have delivered it."""
    reason = BounceReason.ADDRESS_DEAD if unix == _NO_USER else _reason(address, said)
    is_dead = reason is BounceReason.ADDRESS_DEAD or (reason is BounceReason.DNS and _subject(said) == (1, 2))
    hard = is_dead and not _is_passing(said)
    return Recipient(
        address,
        Action.FAILED,
        said.status,
        said.reply_code,
        reason,
        BounceType.HARD if hard else BounceType.SOFT,
        said.text,
    )


def other(address: str, action: Action, said: Said) -> Recipient:
    """A recipient for whom the mail is under way still, or has arrived."""
    reason = None
    if action is Action.DELAYED:
        reason = _reason(address, said) if tells(said) else BounceReason.EXPIRED
    return Recipient(address, action, said.status, said.reply_code, reason, None, said.text)


def _is_passing(said: Said) -> bool:
    """Whether the peer itself calls it temporary; a status that says so decides, whatever reply stands beside it."""
    if said.status is not None:
        return said.status.startswith("4")
    return said.reply_code is not None and said.reply_code < 500


def _subject(said: Said) -> tuple[int, int] | None:
    if said.status is None:
        return None
    _, subject, detail = said.status.split(".")
    return int(subject), int(detail)


def _reason(address: str, said: Said) -> BounceReason:
    if _is_passing(said):
        return _passing(said)
    return _by_reply(address, said)


def _passing(said: Said) -> BounceReason:
    """Why it was put off for so long, or is."""
    by_status = _BY_STATUS.get(_subject(said) or (0, 0))
    if by_status is not None:
        return by_status
    by_words = reason_in(said.text)
    if by_words is not None and by_words is not BounceReason.ADDRESS_DEAD:
        return by_words
    subject = _subject(said)
    return BounceReason.POLICY if subject is not None and subject[0] == 7 else BounceReason.EXPIRED


def _by_reply(address: str, said: Said) -> BounceReason:
    subject = _subject(said)
    by_words = reason_in(said.text)
    by_status = _BY_STATUS.get(subject or (0, 0))
    if by_status is not None:
        return by_status
    if by_words is BounceReason.RELAY_DENIED:
        return by_words
    if subject is not None and subject[0] == 4:
        return _of_route(subject[1], by_words)
    judged = _judged(address, said, subject, by_words)
    if judged is BounceReason.POLICY and by_words is BounceReason.SPAM:
        return BounceReason.SPAM
    if judged is None or (subject in (None, (0, 0)) and judged is BounceReason.POLICY):
        return by_words or judged or BounceReason.REJECTED
    return judged


def _of_route(detail: int, by_words: BounceReason | None) -> BounceReason:
    """The reason of a 5.4.x, which is of the way there and never of the address."""
    if by_words is None or by_words is BounceReason.ADDRESS_DEAD:
        return BounceReason.DNS if detail == 4 else BounceReason.EXPIRED
    return by_words


def _judged(
    address: str, said: Said, subject: tuple[int, int] | None, by_words: BounceReason | None
) -> BounceReason | None:
    """The verdict of a reply as if it had been given to us at RCPT; None where it has none."""
    code = said.reply_code or 550
    if code < 500:  # its status is 5.x.y
        code = 550
    status = f"5.{subject[0]}.{subject[1]} " if subject is not None and subject != (0, 0) else ""
    outcome = refusal(Phase.RCPT, code, status + _STATUS.sub(" ", said.text), recipient=address)
    if isinstance(outcome, Misconfigured):
        return BounceReason.POLICY
    reason = _BY_REFUSAL.get(outcome.reason) if isinstance(outcome, Permanent) else None
    vague = subject in (None, (0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (5, 0))
    if reason is not None or not vague or (by_words is BounceReason.ADDRESS_DEAD and speaks_of_sender(said.text)):
        return reason
    return by_words


def tells(said: Said) -> bool:
    """Whether it names a cause."""
    return said.status is not None or said.reply_code is not None or reason_in(said.text) is not None
