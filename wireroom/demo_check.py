"""Is what arrived what was sent? Compares the letters of the story with the bytes that the sinks kept. Pure."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from typing import Any, Final

from channels import standard_webhooks
from models.vocabulary import Channel
from wireroom import demo_story
from wireroom.demo_arrivals import Arrivals, Chat, Mail, Push
from wireroom.demo_bot import units
from wireroom.demo_http import Request
from wireroom.demo_story import Letter

_MESSAGE_ID: Final = re.compile(r"msg_[0-9a-z]{26}")
_BEACON: Final = re.compile(r"http://127\.0\.0\.1:[0-9]+/t/p/[A-Za-z0-9_.-]+")
_ITEM_FIELDS: Final = ("subject", "body", "format", "url", "icon", "metadata")


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
    arrived = _sorted(arrivals)
    found: list[str] = []
    for one in sent:
        channel = one.letter.channel
        # A chat is told no message id: it gets one message, which may come in parts.
        key = one.letter.person.chat_id if channel is Channel.TELEGRAM else one.message_id
        those = arrived[channel, key]
        if not those or (len(those) > 1 and channel is not Channel.TELEGRAM):
            found.append(f"{one.message_id} ({channel.value}) arrived {len(those)} times instead of once")
        else:
            found += _compare(one, those)
    return found


def _sorted(arrivals: Arrivals) -> dict[tuple[Channel, str | None], list[Any]]:
    """What arrived, by channel, and by message or chat."""
    arrived: dict[tuple[Channel, str | None], list[Any]] = defaultdict(list)
    for mail in arrivals.mails:
        arrived[Channel.EMAIL, message_id_of(mail)].append(mail)
    for hook in arrivals.hooks:
        arrived[Channel.WEBHOOK, hook.headers.get("webhook-id")].append(hook)
    for push in arrivals.pushes:
        arrived[Channel.PUSH, push.payload.get("messageId")].append(push)
    for chat in arrivals.chats:
        arrived[Channel.TELEGRAM, chat.chat_id].append(chat)
    for item in arrivals.items:
        arrived[Channel.ONSITE, item["id"]].append(item)
    return arrived


def _compare(sent: Sent, those: list[Any]) -> list[str]:
    match sent.letter.channel:
        case Channel.EMAIL:
            return _compare_mail(sent, those[0])
        case Channel.WEBHOOK:
            return _compare_hook(sent, those[0])
        case Channel.PUSH:
            return _compare_push(sent, those[0])
        case Channel.TELEGRAM:
            return _compare_chat(sent, those)
        case Channel.ONSITE:
            return _compare_item(sent, those[0])


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


def _compare_hook(sent: Sent, hook: Request) -> list[str]:
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


def _compare_push(sent: Sent, push: Push) -> list[str]:
    notes, letter = _Notes(sent.message_id), sent.letter
    notes.expect("browser", push.path, letter.person.browser)
    options = letter.request["options"]
    said: dict[str, object] = {"messageId": sent.message_id, "title": letter.subject, "body": letter.text}
    said |= {"url": options["url"], "icon": options["icon"], "report": ["opened", "closed", "clicked"]}
    payload = dict(push.payload)
    beacon = payload.pop("beacon", None)
    if not _BEACON.fullmatch(str(beacon)):
        notes.expect("beacon", beacon, "an address of ours")
    notes.expect("payload", payload, said)
    return notes.found


def _compare_chat(sent: Sent, parts: Sequence[Chat]) -> list[str]:
    notes, letter = _Notes(sent.message_id), sent.letter
    unsaid = [None] * (len(parts) - 1)
    if letter.html is not None:
        source = f"<b>{escape(letter.subject, quote=False)}</b>\n\n{letter.html}"
        mode, formatted = "HTML", None
    else:
        source = f"{letter.subject}\n\n{letter.text}"
        mode, formatted = None, [{"type": "bold", "offset": 0, "length": units(letter.subject)}]
    notes.expect("text", "".join(part.text for part in parts), source)
    notes.expect("parse mode", {part.parse_mode for part in parts}, {mode})
    notes.expect("formatting", [part.entities for part in parts], [formatted, *unsaid])
    notes.expect("buttons", [part.keyboard for part in parts], [*unsaid, letter.keyboard])
    return notes.found


def _compare_item(sent: Sent, item: dict[str, Any]) -> list[str]:
    notes, letter = _Notes(sent.message_id), sent.letter
    options = letter.request.get("options", {})
    said = {
        "subject": letter.subject,
        "body": letter.text if letter.html is None else letter.html,
        "format": "text" if letter.html is None else "html",
        "url": options.get("url"),
        "icon": options.get("icon"),
        "metadata": letter.request["metadata"],
    }
    notes.expect("item", {name: item.get(name) for name in _ITEM_FIELDS}, said)
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
