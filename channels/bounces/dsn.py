"""Reports on delivery as RFC 3464 and RFC 6533 have them: message/delivery-status, field by field."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from channels.bounces import addresses, verdicts
from channels.bounces.mime import MailPart, decoded, walk
from channels.bounces.report import Action, Recipient
from channels.bounces.verdicts import Said

_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status", "text/delivery-status"})
_MOST_RECIPIENTS: Final = 100
_LONGEST_FIELD: Final = 2_000
_FIELD: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*:[ \t]*(.*)")
_STATUS: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\d)")
_UNIX: Final = re.compile(r"\s*x-unix\s*;\s*(\d{1,3})\b", re.IGNORECASE)
_OF_RECIPIENT: Final = ("final-recipient", "original-recipient", "x-actual-recipient")
_ACTIONS: Final[Sequence[tuple[str, Action]]] = (
    ("fail", Action.FAILED),
    ("error", Action.FAILED),
    ("delayed", Action.DELAYED),
    ("deliverable", Action.DELIVERED),
    ("delivered", Action.DELIVERED),
    ("relayed", Action.RELAYED),
    ("expanded", Action.EXPANDED),
)

Fields = Mapping[str, str]


def status_part(mail: MailPart) -> MailPart | None:
    """The part that holds the fields."""
    return next((part for part in walk(mail) if part.get_content_type() in _TYPES), None)


def recipients(part: MailPart, text: str) -> tuple[Recipient, ...]:
    """The recipients of a delivery status. ``text``: what the report tells a person, for what the fields leave out."""
    found = [_recipient(group, text) for group in _groups(decoded(part))]
    return tuple(each for each in found if each is not None)


def _groups(text: str) -> list[Fields]:
    """The fields of each recipient; the first group, which is of the mail, has none of theirs."""
    groups: list[dict[str, str]] = [{}]
    name = ""
    for line in text.split("\n"):
        if not line.strip():
            groups.append({})
            name = ""
        elif line[0] in " \t":
            if name and len(groups[-1][name]) < _LONGEST_FIELD:
                groups[-1][name] += " " + line.strip()
        elif (field := _FIELD.fullmatch(line.rstrip())) is not None:
            name = field[1].lower()
            if name == "final-recipient" and name in groups[-1]:  # servers that leave out the line between two
                groups.append({})
            groups[-1].setdefault(name, field[2])
        if len(groups) > 4 * _MOST_RECIPIENTS:
            break
    return [group for group in _joined(groups) if any(each in group for each in _OF_RECIPIENT)][:_MOST_RECIPIENTS]


def _joined(groups: Sequence[dict[str, str]]) -> list[Fields]:
    """Some servers break a recipient's fields by an empty line: what names no recipient belongs to the one before."""
    whole: list[dict[str, str]] = []
    for group in groups:
        apart = any(each in group for each in ("final-recipient", "original-recipient", "reporting-mta"))
        if whole and not apart:
            whole[-1].update((name, value) for name, value in group.items() if name not in whole[-1])
        elif group:
            whole.append(dict(group))
    return list(whole)


def _recipient(fields: Fields, text: str) -> Recipient | None:
    named = [addresses.in_field(fields.get(each, "")) for each in ("original-recipient", "x-actual-recipient")]
    final = fields.get("final-recipient", "")
    address = next(filter(None, [*named, addresses.in_field(final)]), "")
    action = _action(fields)
    if action is None:
        return None
    diagnostic = fields.get("diagnostic-code", "")
    kind, semicolon, words = diagnostic.partition(";")
    said = verdicts.said_in((words if semicolon else kind).strip(), _status(fields))
    if not said.text or (said.reply_code is None and said.status is None):
        said = _with_context(said, address, text)
    if action is not Action.FAILED:
        return verdicts.other(address, action, said)
    unix = _UNIX.match(diagnostic)
    return verdicts.failed(address, said, unix=None if unix is None else int(unix[1]))


def _with_context(said: Said, address: str, text: str) -> Said:
    """What the text tells of the recipient, where the fields tell too little."""
    around = verdicts.said_in(about(address, text), said.status)
    return around if around.text else said


def about(address: str, text: str) -> str:
    """The paragraph that names the address, from there on, and the next where that one tells nothing."""
    place = text.lower().find(address.lower()) if address else -1
    if place < 0:
        return text
    rest = text[place + len(address) :].lstrip(">):'\"* \t")
    paragraphs = [each.strip() for each in rest.split("\n\n") if each.strip()]
    enough = paragraphs and verdicts.tells(verdicts.said_in(paragraphs[0]))
    return "\n".join(paragraphs[: 1 if enough else 2])


def _status(fields: Fields) -> str | None:
    found = _STATUS.match(fields.get("status", ""))
    return None if found is None else found[1]


def _action(fields: Fields) -> Action | None:
    """What became of it; a server that does not say so has failed, as its status says."""
    word = fields.get("action", "").strip().lower()
    for begin, action in _ACTIONS:
        if word.startswith(begin):
            return action
    status = _status(fields)
    if word or status is None:
        return None
    return Action.DELIVERED if status.startswith("2") else Action.FAILED
