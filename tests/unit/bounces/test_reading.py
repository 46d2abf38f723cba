"""What mails of many mail servers say, whatever their lines end by."""

from typing import Final

import pytest

from channels.bounces.reading import parse
from channels.bounces.report import Action
from models.evidence import BounceReason, MailKind
from models.vocabulary import BounceType
from tests.unit.bounces.corpus import MESSAGE_ID, TOKEN, Case, cases, said

CASES: Final = cases()
LINE_ENDS: Final = {"LF": b"\n", "CR": b"\r", "CRLF": b"\r\n"}


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mail_says_what_it_says(case: Case, end: str) -> None:
    report = parse(case.raw.replace(b"\n", LINE_ENDS[end]))
    assert (report.kind, said(report)) == (case.kind, case.recipients)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_token_and_the_mail_it_is_about_are_found(case: Case) -> None:
    report = parse(case.raw)
    assert report.tokens == ((TOKEN,) if TOKEN.encode() in case.raw else ())
    assert report.message_id == (MESSAGE_ID if MESSAGE_ID.encode() in case.raw else None)


@pytest.mark.parametrize("before", ["", "prvs=1234abcdef=", "SRS0=ab12=CD=bounces.example.org=", "<"])
def test_what_forwarders_put_before_a_token_does_not_hide_it(before: str) -> None:
    assert parse(f"To: {before}{TOKEN.upper()}@fwd.example.net\n\nx".encode()).tokens == (TOKEN,)


def test_the_corpus_is_as_wide_as_the_world_is() -> None:
    assert len(CASES) > 90
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.kind for case in CASES} == set(MailKind)
    said_reasons = {reason for case in CASES for _, _, _, reason, _ in case.recipients}
    assert said_reasons == {*BounceReason, "-"}


def test_only_an_address_that_does_not_exist_is_hard() -> None:
    hard = {reason for case in CASES for *_, reason, kind in case.recipients if kind == BounceType.HARD}
    assert hard == {BounceReason.ADDRESS_DEAD}


def test_a_delay_is_no_bounce() -> None:
    (case,) = (case for case in CASES if case.name == "postfix, a warning")
    (recipient,) = parse(case.raw).recipients
    assert (recipient.action, recipient.bounce_type) == (Action.DELAYED, None)


@pytest.mark.parametrize(
    ("status", "diagnostic", "reason", "kind"),
    [
        ("5.1.2", "smtp; 550 5.1.2 Host unknown", "dns", "hard"),
        ("5.2.1", "smtp; 550 5.2.1 This account has been disabled", "address_dead", "hard"),
        (
            "5.2.1",
            "smtp; 550 5.2.1 The user you are trying to contact is receiving mail too quickly",
            "rejected",
            "soft",
        ),
        ("4.1.1", "smtp; 450 4.1.1 User unknown", "expired", "soft"),
        ("5.1.0", "smtp; 550 5.1.0 <news@example.org>: Sender address rejected: User unknown", "policy", "soft"),
        ("5.1.8", "smtp; 550 5.1.8 Sender domain does not exist", "policy", "soft"),
        ("5.7.1", "smtp; 550 5.7.1 Message rejected: user unknown to this list", "policy", "soft"),
        ("5.7.1", "smtp; 554 5.7.1 This looks like spam", "spam", "soft"),
        ("5.4.1", "smtp; 550 5.4.1 Recipient address rejected: Access denied", "policy", "soft"),
        ("5.0.0", "smtp; 554 rejected due to a virus", "spam", "soft"),
        ("5.0.0", "smtp; 554 transaction failed", "rejected", "soft"),
        ("5.6.0", "smtp; 554 5.6.0 Cannot parse this", "rejected", "soft"),
        ("4.7.1", "smtp; 451 4.7.1 Greylisted, please come back", "policy", "soft"),
        ("4.3.0", "smtp; 421 4.3.0 try later", "expired", "soft"),
        ("5.0.0", "smtp; 421 4.4.2 timed out", "expired", "soft"),
        ("", "smtp; 550 no such user here", "address_dead", "hard"),
        ("", "smtp; 452 insufficient storage", "mailbox_full", "soft"),
        ("", "", "rejected", "soft"),
    ],
)
def test_reasons_and_their_hardness(status: str, diagnostic: str, reason: str, kind: str) -> None:
    fields = ["Final-Recipient: rfc822; ann@example.com", "Action: failed"]
    fields += [f"Status: {status}"] * bool(status) + [f"Diagnostic-Code: {diagnostic}"] * bool(diagnostic)
    head = 'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
    mail = f"{head}--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n" + "\n".join(fields)
    (recipient,) = parse(f"{mail}\n--b--\n".encode()).recipients
    assert (recipient.reason, recipient.bounce_type) == (reason, kind)
