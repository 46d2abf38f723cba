"""Reading a mail that came back: what it is, whom it is about, and which mail of ours it answers.

Pure, and bounded in time: of whatever mail at most 512 KiB are read, and of those what a report may need.
"""

import re
from collections.abc import Iterator
from typing import Final

from channels.bounces import arf, autoreply, dsn, notices
from channels.bounces.mime import MailPart, decoded, field, read, walk
from channels.bounces.report import Action, Recipient, Report
from models.evidence import MailKind

_MOST_TOKENS: Final = 20
# What stands before it is anybody's: forwarders put marks of their own there (SRS, BATV).
_TOKEN: Final = re.compile(r"[bB]-[A-Za-z2-7]{52}(?=@)")
_MESSAGE_ID: Final = re.compile(r"^[ \t>]*message-id:[ \t]*\n?[ \t]*(<[^<>\s]{1,500}>)", re.IGNORECASE | re.MULTILINE)
_ID: Final = re.compile(r"<[^<>\s]{1,500}>")
_RETURNED: Final = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
)
_REJECTED_BY_MDN: Final = re.compile(r"\b(?:automatically )?rejected\b", re.IGNORECASE)


def parse(raw: bytes) -> Report:
    """What a raw mail (RFC 5322) says; raises nothing, whatever it is given."""
    mail = read(raw)
    tokens, message_id = _tokens(mail), _message_id(mail)
    complaint = arf.feedback(mail)
    if complaint is not None:
        people = tuple(Recipient(address, Action.DELIVERED) for address in complaint.recipients)
        return Report(MailKind.ARF, people, tokens, message_id, complaint.kind)
    people = _recipients(mail)
    if people:
        return Report(MailKind.DSN, people, tokens, message_id)
    is_reply = autoreply.is_vacation(mail) or autoreply.is_automatic(mail)
    return Report(MailKind.AUTOREPLY if is_reply else MailKind.OTHER, (), tokens, message_id)


def _recipients(mail: MailPart) -> tuple[Recipient, ...]:
    """Whom a report on delivery is about; none where the mail is none."""
    status = dsn.status_part(mail)
    if status is not None and (people := dsn.recipients(status, notices.text_of(mail))):
        return people
    if _is_receipt(mail):
        return notices.recipients(mail) if _REJECTED_BY_MDN.search(notices.text_of(mail)) else ()
    if autoreply.is_vacation(mail) or not notices.is_from_mail_system(mail):
        return ()
    return notices.recipients(mail)


def _is_receipt(mail: MailPart) -> bool:
    """A notification on disposition (RFC 8098), by which Dovecot once told of full mailboxes."""
    return any(part.get_content_type() == "message/disposition-notification" for part in walk(mail))


def _texts(mail: MailPart) -> Iterator[str]:
    """All headers and all texts, those of returned mails included, in the order of the mail."""
    for part in walk(mail, into_mails=True):
        yield from (str(value) for _, value in part.items())
        if not isinstance(part.get_payload(), list):
            yield decoded(part)


def _tokens(mail: MailPart) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in _texts(mail):
        for each in _TOKEN.finditer(text):
            found.setdefault(each[0].lower())
            if len(found) == _MOST_TOKENS:
                return tuple(found)
    return tuple(found)


def _message_id(mail: MailPart) -> str | None:
    """That of the returned mail, as a part of its own or quoted in a text; else what the report says it answers."""
    for part in walk(mail, into_mails=True):
        if part is not mail and (returned := _ID.search(field(part, "message-id"))):
            return returned[0]
        if part.get_content_type() in _RETURNED[2:] and (in_headers := _MESSAGE_ID.search(decoded(part))):
            return in_headers[0].partition(":")[2].strip()
    for part in walk(mail):
        if part.get_content_maintype() == "text" and (quoted := _MESSAGE_ID.search(decoded(part))):
            return quoted[1]
    for name in ("in-reply-to", "references"):
        answered = _ID.findall(field(mail, name))
        if answered:
            return str(answered[-1])
    return None
