from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.errors import Blame, Misconfigured, Permanent, SendError, Transient, Unknown
from channels.smtp_replies import Phase, receipt, refusal, show_text
from models.vocabulary import FailureReason

AFTER_MAIL = (Phase.RCPT, Phase.DATA, Phase.CONTENT)


@dataclass(frozen=True)
class Refused:
    reason: FailureReason
    hard: bool = False
    bounced: bool = False


DEAD = Refused(FailureReason.ADDRESS_DEAD, hard=True, bounced=True)
FULL = Refused(FailureReason.MAILBOX_FULL, bounced=True)
POLICY = Refused(FailureReason.POLICY, bounced=True)
TOO_LARGE = Refused(FailureReason.TOO_LARGE)
REJECTED = Refused(FailureReason.REJECTED, bounced=True)
OUR_FAULT = Refused(FailureReason.REJECTED)


@pytest.mark.parametrize("phase", Phase)
def test_only_what_comes_before_the_recipient_is_said_of_the_sender(phase: Phase) -> None:
    error = refusal(phase, 451, "4.7.1 Try again later")
    assert error.blame is (Blame.RECIPIENT if phase in AFTER_MAIL else Blame.SENDER)


@pytest.mark.parametrize("phase", Phase)
def test_a_summary_has_none_of_the_peers_words(phase: Phase) -> None:
    error = refusal(phase, 550, "5.1.8 Ann of example.org may not send")
    assert isinstance(error, Misconfigured)
    assert "SMTP server" in error.summary
    assert "Ann" not in error.summary


@pytest.mark.parametrize("phase", AFTER_MAIL)
@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "5.1.1 <ann@example.org>: Recipient address rejected: User unknown", DEAD),
        (550, "5.1.1 The email account that you tried to reach does not exist.\n5.1.1 Try again", DEAD),
        (550, "5.1.0 Address rejected", DEAD),
        (551, "5.1.6 Mailbox has moved", DEAD),
        (556, "5.1.10 Recipient address has null MX", DEAD),
        (550, "5.2.1 The email account is disabled", DEAD),
        (550, "No such user here", DEAD),
        (550, "Unknown user", DEAD),
        (550, "user ann@example.org unknown", DEAD),
        (550, "Mailbox not found", DEAD),
        (550, "5.0.0 no such user", DEAD),
        (553, "sorry, that recipient does not exist", DEAD),
        (552, "5.2.2 Mailbox full", FULL),
        (550, "5.2.2 Over quota", FULL),
        (552, "Requested mail action aborted: exceeded storage allocation", FULL),
        (550, "5.7.1 Message rejected as spam; user unknown to us", POLICY),
        (554, "5.7.26 Unauthenticated mail is not accepted", POLICY),
        (552, "5.7.0 This message was blocked because of its content", POLICY),
        (550, "Blocked by our policy: no such user for you", POLICY),
        (552, "5.3.4 Message too big", TOO_LARGE),
        (552, "Message size exceeds fixed limit", TOO_LARGE),
        (550, "5.2.3 Message too large for this mailbox", TOO_LARGE),
        (554, "Transaction failed", REJECTED),
        (550, "5.4.1 Recipient address rejected: Access denied", REJECTED),
        (550, "5.1.2 Bad destination system", DEAD),
        (550, "Requested action not taken: mailbox unavailable", REJECTED),
        (554, "5.6.0 Malformed message", OUR_FAULT),
        (503, "5.5.1 Bad sequence of commands", OUR_FAULT),
        (500, "Syntax error", OUR_FAULT),
        (555, "Parameters not recognized", OUR_FAULT),
    ],
)
def test_5xx_says_why(phase: Phase, code: int, text: str, expected: Refused) -> None:
    outcome = refusal(phase, code, text)
    assert isinstance(outcome, Permanent)
    assert Refused(outcome.reason, outcome.hard, outcome.bounced) == expected


@pytest.mark.parametrize(
    ("phase", "code", "text"),
    [
        (Phase.SESSION, 554, "5.7.1 No SMTP service here"),
        (Phase.SESSION, 535, "5.7.8 Authentication credentials invalid"),
        (Phase.MAIL, 530, "5.7.0 Authentication required"),
        (Phase.MAIL, 550, "5.7.1 Sender not allowed"),
        (Phase.MAIL, 553, "5.1.8 Bad sender"),
        (Phase.MAIL, 550, "5.1.1 unknown sender"),
        (Phase.MAIL, 501, "Syntax error"),
        (Phase.RCPT, 530, "Must issue a STARTTLS command first"),
        (Phase.DATA, 530, "5.7.0 Authentication required"),
    ],
)
def test_what_is_refused_before_the_recipient_is_known_is_ours(phase: Phase, code: int, text: str) -> None:
    assert type(refusal(phase, code, text)) is Misconfigured


def test_the_size_is_refused_at_mail_from_already() -> None:
    outcome = refusal(Phase.MAIL, 552, "5.3.4 Message size exceeds fixed limit")
    assert isinstance(outcome, Permanent)
    assert (outcome.reason, outcome.bounced) == (FailureReason.TOO_LARGE, False)


@given(phase=st.sampled_from(Phase), code=st.integers(400, 499), text=st.text())
def test_4xx_is_transient_everywhere(phase: Phase, code: int, text: str) -> None:
    assert type(refusal(phase, code, text)) is Transient


@given(phase=st.sampled_from(Phase), code=st.integers(500, 599), text=st.text())
def test_5xx_is_never_tried_again(phase: Phase, code: int, text: str) -> None:
    assert type(refusal(phase, code, text)) in (Permanent, Misconfigured)


@given(phase=st.sampled_from(Phase), code=st.integers(-1, 399) | st.integers(600, 999), text=st.text())
def test_an_answer_that_is_none_is_unknown_only_after_the_final_dot(phase: Phase, code: int, text: str) -> None:
    assert type(refusal(phase, code, text)) is (Unknown if phase is Phase.CONTENT else Transient)


@pytest.mark.parametrize(
    ("code", "text", "shown"),
    [
        (550, "5.1.1 gone", "550 5.1.1"),
        (550, "gone", "550"),
        (421, " 4.7.0 later", "421 4.7.0"),
        (550, "5.1.1234 no", "550"),
        (550, "10.5.1.1 is blocked", "550"),
    ],
)
def test_the_code_is_shown_with_its_enhanced_one(code: int, text: str, shown: str) -> None:
    assert refusal(Phase.RCPT, code, text).code == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5.1.1 <ann.b+c@example.org>: unknown", "5.1.1 <***@example.org>: unknown"),
        ("for ann@a.example,bob@b.example", "for ***@a.example,***@b.example"),
        ('"ann b"@example.org unknown', "***@example.org unknown"),
        ("ann@b@example.org", "***@***@example.org"),
        ("mailto:ann@example.org", "mailto:***@example.org"),
        ("zoë@bücher.example", "***@bücher.example"),
        ("one\ntwo\r\n\tthree", "one two three"),
        ("nul\x00 and \x1b[31m and half \ud83d", "nul? and ?[31m and half ?"),
        ("x" * 300, "x" * 200),
    ],
)
def test_no_local_part_is_shown(text: str, shown: str) -> None:
    assert show_text(text) == shown
    assert refusal(Phase.RCPT, 550, text).detail == shown


def test_an_address_at_the_end_of_what_is_shown_is_masked_before_it_is_cut() -> None:
    assert "ann" not in show_text("x " * 98 + "ann@example.org")


def test_long_texts_are_read_in_linear_time() -> None:
    assert len(show_text("a" * 32_000 + " @ " + '"' * 32_000)) == 200
    assert isinstance(refusal(Phase.RCPT, 550, "user " * 6_000), SendError)


@pytest.mark.parametrize(
    ("text", "code", "queued"),
    [
        ("2.0.0 Ok: queued as 4F3B2A1C0D", "250 2.0.0", "4F3B2A1C0D"),
        ("OK id=1qAbCd-0003Xy-9Z", "250", "1qAbCd-0003Xy-9Z"),
        ("Queued as A1.", "250", "A1"),
        ("Great success", "250", None),
        ("", "250", None),
    ],
)
def test_a_receipt_names_the_queue_id_where_there_is_one(text: str, code: str, queued: str | None) -> None:
    accepted = receipt(250, text)
    assert (accepted.code, accepted.provider_id, accepted.detail) == (code, queued, text or None)
    assert accepted.delivered is False
