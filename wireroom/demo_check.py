"""Is what arrived what was sent? Compares the letters of the story with the bytes that the sinks kept. Pure."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final

from channels import standard_webhooks
from models.vocabulary import Channel
from wireroom import demo_story
from wireroom.demo_sinks import Arrivals, Hook, Mail
from wireroom.demo_story import Letter

_MESSAGE_ID: Final = re.compile(r"msg_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter that the API accepted, the ids that it gave, and the receiver's signing secret."""

    letter: Letter
    message_id: str
    contact_id: str
    secret: str


class _Notes:
    """Collects what is not as it should be, each with the message's id."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self.found: list[str] = []

    def expect(self, what: str, received: object, sent: object) -> None:
        """Note a difference, where there is one."""
        if received != sent:
            self.found.append(f"{self._message_id} {what}: sent {sent!r}, received {received!r}")


def parse(mail: Mail) -> EmailMessage:
    """The mail as the standard library reads it (RFC 5322, RFC 2047)."""
    return message_from_bytes(mail.raw, policy=policy.default)


def message_id_of(mail: Mail) -> str | None:
    """Our id in a mail's Message-ID."""
    found = _MESSAGE_ID.search(str(parse(mail)["Message-ID"] or ""))
    return found.group() if found else None


def differences(sent: Iterable[Sent], arrivals: Arrivals) -> list[str]:
    """One line for each way in which the arrivals are not exactly what was sent, once each."""
    mails: dict[str | None, list[Mail]] = defaultdict(list)
    hooks: dict[str | None, list[Hook]] = defaultdict(list)
    for mail in arrivals.mails:
        mails[message_id_of(mail)].append(mail)
    for hook in arrivals.hooks:
        hooks[hook.headers.get("webhook-id")].append(hook)
    found: list[str] = []
    for one in sent:
        times = len((mails if one.letter.channel is Channel.EMAIL else hooks)[one.message_id])
        if times != 1:
            found.append(f"{one.message_id} arrived {times} times instead of once")
        elif one.letter.channel is Channel.EMAIL:
            found += _compare_mail(one, mails[one.message_id][0])
        else:
            found += _compare_hook(one, hooks[one.message_id][0])
    return found


def _compare_mail(sent: Sent, mail: Mail) -> list[str]:
    notes, letter, parsed = _Notes(sent.message_id), sent.letter, parse(mail)
    notes.expect("recipients", mail.recipients, (letter.person.email,))
    notes.expect("To", _header(parsed, "To"), letter.person.email)
    notes.expect("From", _header(parsed, "From"), demo_story.SENDER)
    notes.expect("Subject", _header(parsed, "Subject"), letter.subject)
    for name, value in letter.headers.items():
        notes.expect(name, _header(parsed, name), value)
    notes.expect("text part", _part(parsed, "plain"), _ending(letter.text))
    notes.expect("HTML part", _part(parsed, "html"), _ending(letter.html))
    attached = [part.get_payload(decode=True) for part in parsed.iter_attachments()]
    notes.expect("attachments", attached, [] if letter.attachment is None else [letter.attachment])
    return notes.found


def _compare_hook(sent: Sent, hook: Hook) -> list[str]:
    notes, letter = _Notes(sent.message_id), sent.letter
    notes.expect("path", hook.path, f"/{letter.person.external_id}")
    try:
        standard_webhooks.verify([sent.secret], hook.headers, hook.body, now=hook.received_at)
    except standard_webhooks.BadSignature as error:
        notes.expect("signature", str(error), "one that verifies")
    try:
        body = json.loads(hook.body)
        body.pop("timestamp")
    except (ValueError, AttributeError, KeyError):
        notes.expect("body", hook.body[:200], "a JSON object with a timestamp")
        return notes.found
    data = {"messageId": sent.message_id, "contactId": sent.contact_id, "subject": letter.subject, "body": letter.text}
    notes.expect("body", body, {"type": "message", "data": data | {"metadata": letter.request["metadata"]}})
    return notes.found


def _header(mail: EmailMessage, name: str) -> str | None:
    """The header's value; all of them, where there is more than one."""
    return ", ".join(str(value) for value in mail.get_all(name, [])) or None


def _part(mail: EmailMessage, kind: str) -> str | None:
    body = mail.get_body((kind,))
    return None if body is None else _ending(body.get_content())


def _ending(text: str | None) -> str | None:
    """``text`` with the line ends of this machine (a mail's are CRLF), without the one that closes the last line."""
    return None if text is None else text.replace("\r\n", "\n").rstrip("\n")
