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

ADDRESSES: Final = ("news@example.org", "ann@example.net")
"""Sender and recipient of the envelope."""


def end_of(error: SendError) -> End:
    if isinstance(error, Permanent):
        return End(type(error), error.reason, error.hard, error.bounced)
    return End(type(error))


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
    ("Postfix", 550, "5.1.2 <ann@example.net>: Recipient address rejected: Domain not found", DEAD),
    ("Postfix", 450, "4.1.2 <ann@example.net>: Recipient address rejected: Domain not found", LATER),
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
    ("Exim", 552, "Message rejected: looks like a virus", POLICY),
    ("Exim", 550, "This message contains malware (Eicar-Test-Signature)", POLICY),
    ("Yahoo", 552, "1 Requested mail action aborted, mailbox not found", DEAD),
    ("Postfix", 552, "Message rejected: message size exceeds fixed limit", TOO_LARGE),
    ("Sendmail", 552, "Message is too large; 10000000 bytes max", TOO_LARGE),
    ("Cyrus", 552, "Message rejected: mailbox has exceeded its quota", FULL),
    ("any", 552, "Classified as spam", POLICY),
    ("any", 552, "Message rejected", REJECTED),
    ("any", 552, "Requested mail action aborted", TOO_LARGE),
]

NO_MAILBOX: Final = [
    ("Postfix", 550, "5.1.1 <ann@example.net>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("Postfix", 550, "5.1.1 <ann@example.net>: Recipient address rejected: User unknown in local recipient table"),
    ("Postfix", 550, "5.1.1 <ann@example.net>: Recipient address rejected: undeliverable address: no such user"),
    ("Postfix", 550, "<ann@example.net>: Recipient address rejected: User unknown in relay recipient table"),
    ("Sendmail", 550, "5.1.1 <ann@example.net>... User unknown"),
    ("Sendmail", 550, "5.1.2 <ann@example.net>... Host unknown (Name server: example.net: host not found)"),
    ("Sendmail", 550, "5.2.1 <ann@example.net>... Mailbox disabled for this recipient"),
    ("Exim", 550, "Unrouteable address"),
    ("Exim", 550, "Unrouteable address <ann@sender.example>"),
    ("cPanel", 550, "No Such User Here"),
    ("cPanel", 550, "No such person at this address"),
    ("qmail", 550, "sorry, no mailbox here by that name. (#5.1.1)"),
    ("qmail", 511, "sorry, no mailbox here by that name (#5.1.1 - chkuser)"),
    ("Exchange", 550, "5.1.1 User unknown"),
    (
        "Exchange",
        550,
        "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann@example.net not found by SMTP address lookup",
    ),
    ("Gmail", 550, "5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1 double-checking"),
    ("Gmail", 550, "5.2.1 The email account that you tried to reach is disabled. Learn more at"),
    ("Gmail", 550, "5.2.1 The email account that you tried to reach is inactive."),
    ("Yahoo", 554, "delivery error: dd This user doesn't have a yahoo.com account (ann@example.net) [-9]"),
    ("Yahoo", 554, "30 Sorry, your message to ann@example.net cannot be delivered. This mailbox is disabled (554.30)."),
    ("Yahoo", 550, "5.1.1 <ann@example.net>: Recipient address rejected: example.net"),
    ("iCloud", 550, "5.1.1 <ann@example.net>: user does not exist"),
    ("mail.ru", 550, "Message was not accepted -- invalid mailbox.  Local mailbox ann@example.net is unavailable"),
    ("mail.ru", 550, "Message was not accepted -- invalid mailbox. Local mailbox ann@example.net: account is disabled"),
    ("GMX", 550, "5.1.1 Requested action not taken: mailbox unavailable"),
    ("Orange", 550, "5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"),
    ("QQ", 550, "Mailbox not found. http://service.mail.qq.example/cgi-bin/help"),
    ("NetEase", 550, "User not found: ann@example.net"),
    ("NetEase", 550, "Invalid User: ann@example.net"),
    ("Mimecast", 550, "Invalid Recipient - https://community.mimecast.example/docs/DOC-1369#550"),
    ("MDaemon", 550, "<ann@example.net>, Recipient unknown"),
    ("CommuniGate", 550, "ann@example.net unknown user account"),
    ("Courier", 550, "User unknown."),
    ("Barracuda", 550, "No such user (ann@example.net)"),
    ("Domino", 550, "ann@example.net... No such user"),
    ("Proton", 550, "5.1.1 <ann@example.net>: Recipient address rejected: Address does not exist"),
    ("Comcast", 550, "5.1.1 Not our Customer"),
    ("any", 550, "5.1.0 <ann@example.net> Address rejected"),
    ("any", 550, "5.1.1 User unknown, return to sender"),
    ("any", 550, "User unknown. Please check your address book"),
]
"""Nobody is there any more, whoever writes."""

WRONG_SENDER: Final = [
    ("Exim", 550, "Verification failed for <news@example.org>\nNo Such User Here\nSender verify failed"),
    ("Exim", 550, "Verification failed for <news@example.org>\nUnrouteable address\nSender verify failed"),
    ("Exim", 550, "Verification failed for <news@example.org>\nunknown user"),
    ("Exim", 550, "Callback setup failed while verifying <news@example.org>\n550 unknown user"),
    ("Postfix", 550, "<news@example.org>: Sender address rejected: Domain not found"),
    ("Postfix", 550, "5.1.0 <news@example.org>: Sender address rejected: User unknown in local recipient table"),
    ("Postfix", 550, "5.1.0 <news@example.org>: Sender address rejected: undeliverable"),
    ("IronPort", 553, "#5.1.8 Domain of sender address <news@example.org> does not exist"),
    ("relay", 554, "Your account has been disabled. Please contact support"),
    ("relay", 554, "5.2.1 sending account disabled"),
    ("relay", 550, "5.2.1 The sender's mailbox is disabled"),
    ("relay", 550, "5.1.0 Authentication required"),
    ("any", 550, "sender address does not exist"),
    ("any", 550, "5.1.0 sender rejected"),
    ("any", 550, "From header: invalid address"),
    ("any", 553, "5.1.3 From header invalid"),
    ("any", 554, "5.1.3 Invalid From"),
    ("any", 550, "Unknown address in MAIL FROM: <news@example.org>"),
    ("any", 554, "Your IP address [192.0.2.1]: reverse name not found"),
]
"""It is we who are nobody, or no longer welcome: no word about the recipient, who may be alive."""

UNCLEAR: Final = [
    (550, "5.1.0 Recipient does not know the sender"),
    (550, "Sender and recipient address do not match: unknown user"),
    (550, "<ann@example.net>: sender address unknown"),
]
"""It may be either: the address is not given up, and the sender does not rest."""


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.CONTENT])
@pytest.mark.parametrize(
    ("who", "code", "text", "end"), ANSWERS, ids=[f"{who}: {text[:40]}" for who, _, text, _ in ANSWERS]
)
def test_what_real_servers_answer(phase: Phase, who: str, code: int, text: str, end: End) -> None:
    assert end_of(refusal(phase, code, text)) == end


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.DATA, Phase.CONTENT])
@pytest.mark.parametrize(
    ("who", "code", "text"), NO_MAILBOX, ids=[f"{who}: {text[:40]}" for who, _, text in NO_MAILBOX]
)
@pytest.mark.parametrize("addresses", [(), ADDRESSES], ids=["unknown", "known"])
def test_a_dead_recipient_is_dead(phase: Phase, who: str, code: int, text: str, addresses: tuple[str, ...]) -> None:
    assert end_of(refusal(phase, code, text, *addresses)) == DEAD


@pytest.mark.parametrize(("who", "code", "text"), WRONG_SENDER, ids=[text[:40] for _, _, text in WRONG_SENDER])
@pytest.mark.parametrize("addresses", [(), ADDRESSES], ids=["unknown", "known"])
def test_what_is_said_of_the_sender_blames_no_recipient(
    who: str, code: int, text: str, addresses: tuple[str, ...]
) -> None:
    for phase in (Phase.MAIL, Phase.RCPT, Phase.DATA):
        assert end_of(refusal(phase, code, text, *addresses)) == OURS
    assert end_of(refusal(Phase.CONTENT, code, text, *addresses)) == OUR_BYTES


@pytest.mark.parametrize("phase", [Phase.RCPT, Phase.CONTENT])
@pytest.mark.parametrize(("code", "text"), UNCLEAR, ids=[text[:40] for _, text in UNCLEAR])
def test_what_may_be_said_of_either_is_held_against_neither(phase: Phase, code: int, text: str) -> None:
    assert end_of(refusal(phase, code, text, *ADDRESSES)) == REJECTED


@pytest.mark.parametrize(
    ("named", "end"),
    [
        ("news@example.org", OURS),
        ("News@Example.ORG", OURS),
        ("ann@example.net", DEAD),
        ("news@example.org to ann@example.net", DEAD),
        ("my-news@example.org", DEAD),
        ("news@example.org.uk", DEAD),
        ("bob@example.net", DEAD),
    ],
)
@pytest.mark.parametrize("text", ["5.1.1 <{}> unknown", "<{}>: no such user", "user {}. is unknown"])
def test_the_address_that_a_reply_names_is_the_one_it_means(text: str, named: str, end: End) -> None:
    assert end_of(refusal(Phase.RCPT, 550, text.format(named), *ADDRESSES)) == end


def test_who_writes_to_himself_is_told_of_the_recipient() -> None:
    assert (
        end_of(refusal(Phase.RCPT, 550, "5.1.1 <ann@example.net> unknown", "ann@example.net", "ann@example.net"))
        == DEAD
    )


def test_an_address_is_malformed_only_where_the_recipient_was_just_named() -> None:
    assert end_of(refusal(Phase.RCPT, 501, "5.1.3 Bad recipient address syntax")) == DEAD
    assert end_of(refusal(Phase.DATA, 501, "5.1.3 Bad recipient address syntax")) == REJECTED
    assert end_of(refusal(Phase.CONTENT, 554, "5.1.3 Invalid address in To")) == REJECTED


def test_long_replies_that_speak_of_many_addresses_are_read_in_linear_time() -> None:
    for text in ("a" * 32_000, "a@" * 16_000, "news@example.orgx " * 2_000, "from:" * 6_000):
        assert end_of(refusal(Phase.CONTENT, 550, text, *ADDRESSES)) == REJECTED
