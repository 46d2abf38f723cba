"""Reports on delivery in a server's own words: whom they are about, by flufl.bounce first and then by rules of ours.

They are looked for in mails of a mail system only, since anybody may quote one.
"""

import re
from collections.abc import Iterable, Sequence
from email.message import Message
from email.policy import compat32
from email.utils import getaddresses
from typing import Final

from flufl.bounce import all_failures

from channels.bounces import addresses, verdicts
from channels.bounces.dsn import about
from channels.bounces.mime import MailPart, field, walk, words
from channels.bounces.report import Action, Recipient

_MOST_RECIPIENTS: Final = 50
# The library looks at each line by some hundred patterns: short lines, and not too many, bound its time.
_SCANNED_CHARACTERS: Final = 6_000
_LINE_CHARACTERS: Final = 200
_SCANNED_LINES: Final = 300

_SYSTEMS: Final = (
    r"mailer[-_. ]?daemon",
    r"mail[-_. ]?daemon",
    r"mdaemon",
    r"daemon",
    r"post[-_]?master",
    r"bounces?",
    r"mmdf",
    r"uucp",
    r"smtp",
    r"mail[-_]?(?:server|system|delivery|admin)\w*",
    r"system[-_]?administrator",
    r"exchange\w*",
    r"microsoftexchange\w*",
    r"mail[ _-]?delivery[\w -]*",
    r"internet mail delivery",
    r"mail router",
    r"lotus",
    r"mailgateway",
    r"groupwise",
    r"ndr",
)
_SYSTEM: Final = re.compile(r"(?:^|[<\"\s])(?:" + "|".join(_SYSTEMS) + r")(?:[@>\"\s(-]|$)", re.IGNORECASE)
_SUBJECTS: Final = (
    r"undelivered",
    r"un-?deliverable",
    r"returned? (?:mail|to sender)",
    r"mail returned",
    r"deliver(?:y|ing) (?:status|fail\w*|notification|report|error|problem|has failed|delayed|warning)",
    r"failure notice",
    r"failed mail",
    r"mail (?:delivery|system) (?:fail\w*|error|problem|status|system)",
    r"message (?:status|delivery|undeliver\w*|delayed|not delivered)",
    r"non-?deliver\w*",
    r"mail status report",
    r"could not be delivered",
    r"not delivered",
    r"warning: (?:message|could)",
    r"permanent (?:delivery )?fail\w*",
    r"nicht zustellbar",
    r"unzustellbar",
    r"mailbox (?:is )?full",
    r"bounced? (?:mail|message)",
    r"rejected: ",
    r"mail failure",
    r"user unknown",
    r"недоставленное",
    r"automatically rejected mail",
)
_SUBJECT: Final = re.compile(rf"\b(?:{'|'.join(_SUBJECTS)})", re.IGNORECASE)
_RULE: Final = r"-{2,}[ =*]*"
_OUR_COPIES: Final = (
    _RULE + r"(?:this is a copy|below this line|original message|the header|returned mail)",
    _RULE + r"message (?:header|text|content|follows)",
    _RULE + r"(?:forwarded message|start of returned|included is|your original|unsent message|un?delivered)",
    _RULE + r"- ?transcript of (?:original|message)",
    r"(?:your )?(?:original )?(?:message|mail) (?:headers? )?(?:follows|follow|text follows)\b",
    r"message headers follow",
    r"included is a copy",
    r"the (?:original )?(?:message|header)s? (?:follows|of your|was received from)",
    r"here is your returned mail",
    r"-{5,} ?(?:message|original|returned|header)",
    r"this is a copy of",
    r"original message( follows| headers)?:?[ \t]*$",
    r"received: ?(?:from|by) ",
    r"return-path: ?<",
    r"message-id: ?<",
)
_OUR_COPY: Final = re.compile(rf"^[ \t]{{0,40}}(?:{'|'.join(_OUR_COPIES)})", re.IGNORECASE | re.MULTILINE)
_DELAYS: Final = (
    r"delayed",
    r"not yet been delivered",
    r"this is (?:just )?a warning",
    r"warning message only",
    r"will (?:be |continue to be )?(?:retried|keep trying|try again)",
    r"delivery attempts will continue",
    r"no action is required",
    r"do not need to (?:resend|take any action)",
    r"still (?:being )?(?:tried|retrying)",
)
_DELAY: Final = re.compile(rf"\b(?:{'|'.join(_DELAYS)})\b", re.IGNORECASE)
_GIVEN_UP: Final = re.compile(
    r"\b(?:giving up|has failed permanently|permanent(?:ly)?|could not be delivered|undeliverable)\b", re.IGNORECASE
)
# Most certain first. Each is followed by an address, on its line or on the next.
_KEYS: Final[Sequence[re.Pattern[str]]] = (
    re.compile(
        r"^[ \t]{0,40}(?:recipient address|failed recipient|undeliverable address|intended recipient"
        r"|original recipient)s?\b[ :]*",
        re.I | re.M,
    ),
    re.compile(r"\bfailed to deliver to\b", re.I),
    re.compile(
        r"^[ \t]{0,40}(?:user mailbox exceeds allowed size|mailbox (?:is )?full|unknown user|user not known"
        r"|invalid final delivery userid"
        r"|undeliverable to|unable to deliver (?:mail )?to|cannot deliver (?:mail )?to|delivery failed"
        r"|unrouteable address"
        r"|no such user)\b[^\n@]{0,60}?:?\s",
        re.I | re.M,
    ),
    re.compile(
        r"\b(?:was|were) not delivered to\b:?|\bcould not be delivered to\b:?|\bcouldn't be delivered to\b:?"
        r"|\bdelivery to the following (?:recipients?|address(?:es)?)\b[^\n]{0,80}"
        r"|\bthe following (?:recipients?|address(?:es)?)\b[^\n]{0,80}"
        r"|\b(?:unable|not able) to deliver\b[^\n]{0,80}\bto\b(?: the following address(?:es)?)?"
        r"|\brecipients?(?:'s)?(?: e-?mail)? ?(?:address(?:es)?)?:",
        re.I,
    ),
    re.compile(r"\brcpt to:", re.I),
    re.compile(r"^[ \t]{0,40}(?=<[^<>\s]{1,250}>:)", re.M),
)
_FAR: Final = 300


def is_from_mail_system(mail: MailPart) -> bool:
    """Whether a mail is one that a mail system may have written of its own accord."""
    if "x-failed-recipients" in mail:
        return True
    sender = field(mail, "from")
    return not sender or _SYSTEM.search(sender) is not None or _SUBJECT.search(field(mail, "subject")) is not None


def text_of(mail: MailPart) -> str:
    """What the mail tells a person, up to the copy of what was returned."""
    for part in walk(mail):
        if (
            part.get_content_maintype() == "text"
            and not isinstance(part.get_payload(), list)
            and (text := words(part)).strip()
        ):
            found = _OUR_COPY.search(text)
            return text if found is None else text[: found.start()]
    return ""


def recipients(mail: MailPart) -> tuple[Recipient, ...]:
    """Whom a notice says it could not, or not yet, deliver to; none where it is no notice."""
    text = text_of(mail)
    named, passing = _named(mail, text)
    if not named:
        return ()
    delayed = (passing or _DELAY.search(text) is not None) and _GIVEN_UP.search(text) is None
    found = []
    for address in list(named)[:_MOST_RECIPIENTS]:
        said = verdicts.said_in(_before_others(about(address, text), address, named))
        if said.reply_code is None and said.status is None:
            whole = verdicts.said_in(text)
            said = said._replace(reply_code=whole.reply_code, status=whole.status, text=said.text or whole.text)
            if not verdicts.tells(said) and verdicts.tells(whole):
                said = whole
        found.append(verdicts.other(address, Action.DELAYED, said) if delayed else verdicts.failed(address, said))
    return tuple(found)


def _before_others(text: str, address: str, named: Sequence[str]) -> str:
    """What is said of one recipient, where the next one follows without an empty line."""
    lower = text.lower()
    places = [lower.find(each.lower()) for each in named if each.lower() != address.lower()]
    return text[: min((place for place in places if place >= 0), default=len(text))]


def _named(mail: MailPart, text: str) -> tuple[Sequence[str], bool]:
    """The addresses, and whether it is certain that they are tried further."""
    in_header = [address for _, address in getaddresses([field(mail, "x-failed-recipients")]) if "@" in address]
    if in_header:
        return list(dict.fromkeys(in_header)), False
    own = {address.lower() for name in ("from", "to", "reply-to") for address in addresses.all_in(field(mail, name))}
    passing, failing = _by_library(mail, text)
    for found in (failing, passing):
        others = [each for each in found if each.lower() not in own]
        if others:
            return others, found is passing
    return [each for each in _by_rules(text) or _alone(mail, text) if each.lower() not in own], False


def _by_library(mail: MailPart, text: str) -> tuple[list[str], list[str]]:
    """What flufl.bounce finds in the header and the text; the addresses in the order of the text."""
    copy: Message = Message(compat32)
    for name in ("subject", "x-mailer"):
        if name in mail:
            copy[name] = field(mail, name)
    lines = []
    for line in text[:_SCANNED_CHARACTERS].split("\n"):
        lines += [line[at : at + _LINE_CHARACTERS] for at in range(0, max(len(line), 1), _LINE_CHARACTERS)]
    body = "\n".join(lines[:_SCANNED_LINES]).encode("ascii", "replace").decode("ascii")
    if mail.get_content_maintype() == "multipart":
        part: Message = Message(compat32)
        part["content-type"] = "text/plain"
        part["content-description"] = "notification"
        part.set_payload(body)
        last: Message = Message(compat32)
        last["content-type"] = "message/rfc822-headers"
        last.set_payload("")
        copy["content-type"] = "multipart/mixed"
        copy.set_payload([part, last])
    else:
        copy["content-type"] = "text/plain"
        copy.set_payload(body)
    copy["from"] = field(mail, "from") or "mailer-daemon"
    try:
        passing, failing = all_failures(copy)
    except Exception:  # noqa: BLE001 - it is made for real notices, and stumbles over what is none
        return [], []
    return _in_order(passing, text), _in_order(failing, text)


def _in_order(found: Iterable[bytes], text: str) -> list[str]:
    """Only what is an address, as the text writes it."""
    wanted = {each.decode("ascii", "replace").strip().lower() for each in found}
    written = [each for each in addresses.all_in(text[:_SCANNED_CHARACTERS]) if each.lower() in wanted]
    return list({each.lower(): each for each in written}.values())


def _by_rules(text: str) -> list[str]:
    for key in _KEYS:
        found: dict[str, str] = {}
        for place in key.finditer(text):
            address = addresses.first_in(text[place.end() : place.end() + _FAR])
            if address:
                found.setdefault(address.lower(), address)
        if found:
            return list(found.values())
    return []


def _alone(mail: MailPart, text: str) -> list[str]:
    """The only address in what a mail system wrote, if it names a cause."""
    alone = {each.lower(): each for each in addresses.all_in(text)}
    is_system = _SYSTEM.search(field(mail, "from")) is not None
    return list(alone.values()) if len(alone) == 1 and is_system and verdicts.tells(verdicts.said_in(text)) else []
