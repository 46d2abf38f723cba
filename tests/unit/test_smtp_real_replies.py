"""What the servers of real mailboxes answer, after their documentation, and what it means for a message.

One row per answer: who says it, the reply, and the outcome at RCPT or after the content.
"""

from typing import Final, NamedTuple

import pytest

from channels.errors import Misconfigured, Permanent, SendError, Transient
from channels.smtp_replies import Phase, refusal
from models.vocabulary import FailureReason


class End(NamedTuple):
    kind: type[SendError]
    reason: FailureReason | None = None
    hard: bool = False
    bounced: bool = False


LATER: Final = End(Transient)
OURS: Final = End(Misconfigured)
DEAD: Final = End(Permanent, FailureReason.ADDRESS_DEAD, hard=True, bounced=True)
FULL: Final = End(Permanent, FailureReason.MAILBOX_FULL, bounced=True)
POLICY: Final = End(Permanent, FailureReason.POLICY, bounced=True)
TOO_LARGE: Final = End(Permanent, FailureReason.TOO_LARGE)
REJECTED: Final = End(Permanent, FailureReason.REJECTED, bounced=True)
OUR_BYTES: Final = End(Permanent, FailureReason.REJECTED)

ANSWERS: Final = [
    ("Gmail", 550, "5.1.1 The email account that you tried to reach does not exist.\n5.1.1 Please try again", DEAD),
    ("Gmail", 550, "5.2.1 The email account that you tried to reach is disabled.", DEAD),
    ("Gmail", 550, "5.2.1 The email account that you tried to reach is inactive.", DEAD),
    (
        "Gmail",
        550,
        "5.2.1 The user you are trying to contact is receiving mail at a rate that\n5.2.1 prevents",
        REJECTED,
    ),
    ("Gmail", 450, "4.2.1 The user you are trying to contact is receiving mail too quickly.", LATER),
    ("Gmail", 452, "4.2.2 The email account that you tried to reach is over quota.", LATER),
    ("Gmail", 552, "5.2.2 The email account that you tried to reach is over quota.", FULL),
    ("Gmail", 552, "5.2.3 Your message exceeded Google's message size limits.", TOO_LARGE),
    ("Gmail", 552, "5.3.4 The message exceeds the maximum size.", TOO_LARGE),
    ("Gmail", 552, "5.7.0 This message was blocked because its content presents a security issue.", POLICY),
    ("Gmail", 550, "5.7.1 [192.0.2.1] Our system has detected that this message is likely unsolicited.", POLICY),
    ("Gmail", 550, "5.7.26 This mail has been blocked because the sender is unauthenticated.", POLICY),
    ("Gmail", 421, "4.7.28 Our system has detected an unusual rate of unsolicited mail.", LATER),
    ("Gmail", 550, "5.4.5 Daily user sending limit exceeded.", OURS),
    ("Gmail", 550, "5.4.6 Message exceeded 50 hops, which indicates a mail loop.", REJECTED),
    ("Gmail", 530, "5.7.0 Authentication Required.", OURS),
    ("Gmail", 555, "5.5.2 Syntax error, goodbye.", OUR_BYTES),
    ("Outlook", 550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", REJECTED),
    ("Outlook", 550, "5.4.1 Recipient address rejected: Access denied. [AS(201806281)]", REJECTED),
    ("Outlook", 550, "5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent: part of their network", POLICY),
    ("Outlook", 451, "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", LATER),
    ("Outlook", 550, "5.7.515 Access denied, sending domain does not meet the required level", POLICY),
    ("Exchange", 550, "5.1.1 RESOLVER.ADR.RecipNotFound; not found", DEAD),
    ("Exchange", 550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", DEAD),
    ("Exchange", 550, "5.1.8 Access denied, bad outbound sender AS(42004)", OURS),
    ("Exchange", 550, "5.1.90 Your message can't be sent because you've reached your daily limit", REJECTED),
    ("Exchange", 554, "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException", FULL),
    ("Exchange", 550, "5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient", TOO_LARGE),
    ("Exchange", 550, "5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", POLICY),
    ("Exchange", 550, "5.7.64 TenantAttribution; Relay Access Denied", POLICY),
    ("Exchange", 550, "5.6.0 CAT.InvalidContent.Exception: conversion failed", OUR_BYTES),
    ("Exchange", 452, "4.3.1 Insufficient system resources", LATER),
    ("Yahoo", 554, "delivery error: dd This user doesn't have a yahoo.com account [0]", DEAD),
    ("Yahoo", 554, "30 Sorry, your message cannot be delivered. This mailbox is disabled (554.30).", DEAD),
    ("Yahoo", 552, "5.2.2 Over quota: the mailbox is full", FULL),
    ("Yahoo", 554, "5.7.9 Message not accepted for policy reasons.", POLICY),
    ("Yahoo", 553, "5.7.1 [BL21] Connections will not be accepted, because the IP is on a list", POLICY),
    ("Yahoo", 421, "4.7.0 [TSS04] Messages temporarily deferred due to user complaints", LATER),
    ("Postfix", 550, "5.1.1 <ann@example.net>: Recipient address rejected: User unknown in virtual table", DEAD),
    ("Postfix", 550, "5.1.0 <ann@example.net>: Recipient address rejected: User unknown", DEAD),
    ("Postfix", 550, "5.1.0 <news@example.org>: Sender address rejected: undeliverable", REJECTED),
    ("Postfix", 550, "5.1.2 <ann@example.net>: Recipient address rejected: Domain not found", DEAD),
    ("Postfix", 450, "4.1.2 <ann@example.net>: Recipient address rejected: Domain not found", LATER),
    ("Postfix", 501, "5.1.3 Bad recipient address syntax", DEAD),
    ("Postfix", 550, "5.1.6 <ann@example.net>: Recipient address rejected: User has moved", DEAD),
    ("Postfix", 550, "5.1.8 <news@example.org>: Sender address rejected: Domain not found", OURS),
    ("Postfix", 556, "5.1.10 <ann@example.net>: Recipient address rejected: Domain takes no mail (nullMX)", DEAD),
    ("Postfix", 450, "4.2.0 <ann@example.net>: Recipient address rejected: Greylisted", LATER),
    ("Postfix", 552, "5.3.4 Message size exceeds fixed limit", TOO_LARGE),
    ("Postfix", 452, "4.3.1 Insufficient system storage", LATER),
    ("Postfix", 554, "5.7.1 <ann@example.net>: Relay access denied", POLICY),
    ("Postfix", 554, "5.5.1 Error: no valid recipients", OUR_BYTES),
    ("Exim", 550, "Unrouteable address", DEAD),
    ("Exim", 550, "Unknown user", DEAD),
    ("Exim", 550, "No such user here", DEAD),
    ("Exim", 550, "Administrative prohibition", REJECTED),
    ("Exim", 550, "relay not permitted", REJECTED),
    ("Exim", 552, "message size exceeds maximum permitted", TOO_LARGE),
    ("Exim", 552, "mailbox is full: over quota", FULL),
    ("Exim", 550, "This message was classified as spam", POLICY),
    ("Exim", 451, "Temporary local problem - please try later", LATER),
    ("Exim", 556, "Domain does not accept mail", DEAD),
]


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.CONTENT])
@pytest.mark.parametrize(
    ("who", "code", "text", "end"), ANSWERS, ids=[f"{who}: {text[:40]}" for who, _, text, _ in ANSWERS]
)
def test_what_real_servers_answer(phase: Phase, who: str, code: int, text: str, end: End) -> None:
    error = refusal(phase, code, text)
    if isinstance(error, Permanent):
        assert End(type(error), error.reason, error.hard, error.bounced) == end
    else:
        assert End(type(error)) == end
