"""What mail servers write where they do not deliver, and the reason that each phrase stands for."""

import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from models.evidence import BounceReason

_WHO: Final = r"\b(?:user|recipient|mailbox|address|account|e-?mail)\b.{0,80}"
_WHOSE: Final = r"\b(?:user|mailbox|account|recipient)\b.{0,60}\b(?:is |been )?"
_BEYOND: Final = r"\b(?:over|exceed\w*|above|out of)\b.{0,40}"
_WHAT: Final = r"\b(?:message|mail|e-?mail|size|content)\b.{0,60}"

# Those of a reason stand together. The reason that says more comes first: a blocked sender before a dead address.
_PHRASES: Final[Sequence[tuple[BounceReason, str]]] = (
    (BounceReason.RELAY_DENIED, r"\brelay(?:ing)?\b.{0,40}\b(?:denied|not permitted|prohibited|not allowed|access)"),
    (BounceReason.RELAY_DENIED, r"\b(?:unable|not permitted|refus\w+|will not|not allowed) to relay\b"),
    (BounceReason.RELAY_DENIED, r"\bnot in my list of allowed rcpthosts\b"),
    (BounceReason.RELAY_DENIED, r"\bdenied relay"),
    (BounceReason.RELAY_DENIED, r"\bwe do not relay\b"),
    (BounceReason.MAILBOX_FULL, _BEYOND + r"\b(?:quota|storage|allocated space|limit for this mailbox|mailbox size)\b"),
    (BounceReason.MAILBOX_FULL, r"\bquota\b.{0,30}\b(?:exceed\w*|full|reached|violation)"),
    (BounceReason.MAILBOX_FULL, r"\bover ?quota\b"),
    (BounceReason.MAILBOX_FULL, r"\bquota ?exceeded\b"),
    (BounceReason.MAILBOX_FULL, r"\b(?:mailbox|inbox|mail ?box|account|mail drop|storage)\b.{0,40}\bfull\b"),
    (BounceReason.MAILBOX_FULL, r"\bout of storage\b"),
    (BounceReason.MAILBOX_FULL, r"\bnot enough (?:storage|space)\b"),
    (BounceReason.MAILBOX_FULL, r"\bno space left\b"),
    (BounceReason.MAILBOX_FULL, r"\bmailbox (?:size )?limit\b"),
    (BounceReason.MAILBOX_FULL, r"\bexceeds? (?:the )?(?:allowed|maximum) size\b.{0,20}mailbox"),
    (BounceReason.MAILBOX_FULL, r"\bmailbox exceeds\b"),
    (BounceReason.MAILBOX_FULL, r"\binsufficient (?:disk |system )?(?:storage|space)\b"),
    (BounceReason.SPAM, r"\bspam(?:ming)?\b"),
    (BounceReason.SPAM, r"\b(?:spamhaus|uribl|surbl)\b"),
    (BounceReason.SPAM, r"\b(?:unsolicited|junk|bulk mail)\b"),
    (BounceReason.SPAM, r"\b(?:virus(?:es)?|malware|infected|phishing|harmful)\b"),
    (BounceReason.SPAM, r"\bcontent (?:filter|rejected)\b"),
    (BounceReason.LOOP, r"\bmail (?:forwarding )?loop\b"),
    (BounceReason.LOOP, r"\bmail.loop\b"),
    (BounceReason.LOOP, r"\brouting loop\b"),
    (BounceReason.LOOP, r"\b(?:loops? back|looping)\b"),
    (BounceReason.LOOP, r"\b(?:too many hops|hop ?count)\b"),
    (BounceReason.POLICY, r"\b(?:policy|policies|reputation|banned)\b"),
    (BounceReason.POLICY, r"\b(?:blocked|black ?list\w*|block ?list\w*|rbl|dnsbl)\b"),
    (BounceReason.POLICY, r"\b(?:dmarc|dkim|spf)\b"),
    (BounceReason.POLICY, r"\b(?:greylist\w*|grey-list\w*)\b"),
    (BounceReason.POLICY, r"\b(?:rate.?limit\w*|too many (?:connections|messages)|throttl\w+)\b"),
    (BounceReason.POLICY, r"\b(?:not authori[sz]ed|access denied)\b"),
    (
        BounceReason.ADDRESS_DEAD,
        r"\b(?:no such|unknown|invalid|non-?existent|bad destination|unrouteable) (?:\w+ )?"
        r"(?:user|recipient|mailbox|address|account|person|destination|local part|here)\b",
    ),
    (BounceReason.ADDRESS_DEAD, _WHO + r"\b(?:unknown|not (?:be )?found|isn't found)"),
    (BounceReason.ADDRESS_DEAD, _WHO + r"\b(?:not listed|isn't listed)"),
    (BounceReason.ADDRESS_DEAD, _WHO + r"\b(?:not exist|doesn't exist|doesn't have)"),
    (BounceReason.ADDRESS_DEAD, _WHO + r"\bno longer (?:exists|valid|available|active)"),
    (BounceReason.ADDRESS_DEAD, _WHOSE + r"(?:disabled|discontinued|deactivated|suspended|closed|inactive)\b"),
    (BounceReason.ADDRESS_DEAD, r"\bno mailbox (?:here )?by that name\b"),
    (BounceReason.ADDRESS_DEAD, r"\bnot a (?:valid|known) (?:user|mailbox|recipient|address)\b"),
    (BounceReason.ADDRESS_DEAD, r"\bnot listed in (?:public )?(?:name|domino)"),
    (BounceReason.ADDRESS_DEAD, r"\bunknown (?:or illegal )?(?:alias|user)\b"),
    (BounceReason.ADDRESS_DEAD, r"\bno such person\b"),
    (
        BounceReason.ADDRESS_DEAD,
        r"\bcould ?n(?:o|')t (?:be found|find)\b.{0,40}\b(?:user|recipient|mailbox|address)\b",
    ),
    (BounceReason.ADDRESS_DEAD, r"\brecipientnotfound\b"),
    (BounceReason.ADDRESS_DEAD, r"\bthis user doesn't\b"),
    (BounceReason.ADDRESS_DEAD, r"\bdoes not have an? .{1,40} account\b"),
    (BounceReason.ADDRESS_DEAD, r"\bmailbox unavailable or access denied\b"),
    (BounceReason.DNS, r"\bhost (?:or domain name )?not found\b"),
    (BounceReason.DNS, r"\bdomain is not reachable\b"),
    (BounceReason.DNS, r"\bno such (?:host|domain)\b"),
    (BounceReason.DNS, r"\b(?:name server|name service error|dns|nxdomain)\b"),
    (BounceReason.DNS, r"\b(?:host|domain) (?:unknown|lookup)"),
    (BounceReason.DNS, r"\bunknown (?:host|domain)\b"),
    (BounceReason.DNS, r"\bhost (?:is )?unknown\b"),
    (BounceReason.DNS, r"\b(?:no mx|all relevant mx records)\b"),
    (BounceReason.DNS, r"\bcouldn't find any host\b"),
    (BounceReason.DNS, r"\bdomain\b.{0,60}\b(?:couldn't be found|doesn't exist|does not exist|not exist)"),
    (BounceReason.TOO_LARGE, _WHAT + r"\b(?:too (?:large|big)|exceed\w*|larger than|over the (?:maximum|limit))"),
    (BounceReason.TOO_LARGE, r"\btoo (?:large|big)\b"),
    (BounceReason.TOO_LARGE, r"\bmessage size\b"),
    (BounceReason.EXPIRED, r"\b(?:timed? ?out|timeout|expired)\b"),
    (BounceReason.EXPIRED, r"\bretry (?:time|timeout)\b"),
    (BounceReason.EXPIRED, r"\bin (?:the )?queue too long\b"),
    (BounceReason.EXPIRED, r"\bwithin the (?:time|maximum)\b"),
    (BounceReason.EXPIRED, r"\bgiving up\b"),
    (BounceReason.EXPIRED, r"\bconnection (?:refused|reset)"),
    (BounceReason.EXPIRED, r"\bnetwork (?:is )?unreachable\b"),
    (BounceReason.EXPIRED, r"\bno answer from host\b"),
    (BounceReason.EXPIRED, r"\b(?:could not connect\b|unable to (?:connect|reach))"),
    (BounceReason.EXPIRED, r"\b(?:couldn't|could not) be delivered for\b"),
)
_BY_REASON: Final = [
    (reason, re.compile("|".join([phrase for _, phrase in rows]), re.IGNORECASE))
    for reason, rows in groupby(_PHRASES, itemgetter(0))
]


def reason_in(line: str) -> BounceReason | None:
    """The reason that a text without line breaks gives; None where it gives none."""
    return next((reason for reason, phrases in _BY_REASON if phrases.search(line)), None)
