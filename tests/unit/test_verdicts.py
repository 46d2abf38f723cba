"""What is recorded of an attempt: every end of a send, and what follows from it."""

import msgspec
import pytest

from channels import telegram_errors
from channels.contract import Receipt
from channels.errors import Blame, Misconfigured, NotStarted, Permanent, SendError, Transient, Unknown
from models.faults import Fault, fault_of
from models.ids import new_id
from models.progress import Progress
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Channel, FailureReason, OnUnknown, Outcome, State, Status
from worker import verdicts
from worker.retry import SCHEDULES


def claim(*, tries: int = 0, on_unknown: OnUnknown = OnUnknown.RETRY) -> Claim:
    return Claim(
        id=new_id(),
        workspace_id=new_id(),
        contact_id=new_id(),
        run=2,
        token=7,
        tries=tries,
        crashes=0,
        content_id=new_id(),
        address="ann@example.org",
        variables={},
        metadata={},
        on_unknown=on_unknown,
        claimed_at=1_000,
        secrets=(),
        essential=False,
        track_opens=False,
        track_clicks=False,
    )


def expected(claimed: Claim, state: State, outcome: Outcome | None, **more: object) -> Ended:
    return Ended(
        message_id=claimed.id,
        token=7,
        run=2,
        started_at=1_000,
        state=state,
        outcome=outcome,
        **more,  # type: ignore[arg-type]
    )


def ended(claimed: Claim, error: SendError, channel: Channel = Channel.EMAIL) -> Ended:
    return verdicts.ended(channel, claimed, error, 0.5)


def works(channel: Channel) -> bool | None:
    """What a failure tells of an endpoint: only webhooks have any."""
    return False if channel is Channel.WEBHOOK else None


@pytest.mark.parametrize("fails", [False, True])
def test_a_success_tells_of_an_endpoint_only_where_it_failed_before(fails: bool) -> None:
    claimed = msgspec.structs.replace(claim(), endpoint_fails=fails)
    assert verdicts.accepted(claimed, Receipt()).endpoint_works is (True if fails else None)


@pytest.mark.parametrize(
    "error",
    [
        NotStarted("busy"),
        Permanent("no", reason=FailureReason.TOO_LARGE),
        Misconfigured("no key"),
        Transient("internal error: KeyError", blame=Blame.OURS),
        Unknown("internal error: KeyError", blame=Blame.OURS),
    ],
)
def test_what_is_no_failure_of_an_endpoint_does_not_count_against_it(error: SendError) -> None:
    assert ended(claim(), error, Channel.WEBHOOK).endpoint_works is None


@pytest.mark.parametrize("delivered", [False, True])
def test_accepted_is_done(delivered: bool) -> None:
    claimed = claim(tries=3)
    receipt = Receipt(code="250 2.0.0", detail="queued", provider_id="q1", delivered=delivered)
    assert verdicts.accepted(claimed, receipt) == expected(
        claimed,
        State.DONE,
        Outcome.ACCEPTED,
        code="250 2.0.0",
        detail="queued",
        provider_id="q1",
        delivered=delivered,
    )


@pytest.mark.parametrize(
    ("hard", "bounced", "is_bounced"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_refused_for_good_is_failed_with_its_reason(hard: bool, bounced: bool, is_bounced: bool) -> None:
    claimed = claim()
    error = Permanent("no", reason=FailureReason.POLICY, code="550 5.7.1", hard=hard, bounced=bounced)
    assert ended(claimed, error) == expected(
        claimed,
        State.FAILED,
        Outcome.PERMANENT,
        code="550 5.7.1",
        detail="no",
        reason=FailureReason.POLICY,
        bounced=is_bounced,
        dead_address=hard,
    )


@pytest.mark.parametrize("channel", Channel)
def test_refused_for_now_waits_as_the_schedule_says(channel: Channel) -> None:
    for tries, pause_s in enumerate(SCHEDULES[channel]):
        claimed = claim(tries=tries)
        assert ended(claimed, Transient("later", code="451"), channel) == expected(
            claimed,
            State.QUEUED,
            Outcome.TRANSIENT,
            code="451",
            detail="later",
            delay_ms=pause_s * 1000,
            endpoint_works=works(channel),
        )


def test_a_peer_may_ask_for_a_longer_pause() -> None:
    assert ended(claim(), Transient("later", retry_after_s=3600)).delay_ms == 3_600_000
    assert ended(claim(), Transient("later", retry_after_s=0)).delay_ms == 5_000


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(Transient("later", code="451"), Outcome.TRANSIENT), (Unknown("cut", code="451"), Outcome.UNKNOWN)],
)
def test_the_end_of_the_schedule_is_exhausted(channel: Channel, error: SendError, outcome: Outcome) -> None:
    claimed = claim(tries=len(SCHEDULES[channel]))
    assert ended(claimed, error, channel) == expected(
        claimed,
        State.FAILED,
        outcome,
        code="451",
        detail=error.detail,
        reason=FailureReason.EXHAUSTED,
        endpoint_works=works(channel),
    )


@pytest.mark.parametrize("blame", [Blame.SENDER, Blame.OURS])
def test_who_was_never_reached_is_not_at_fault(blame: Blame) -> None:
    claimed = claim(tries=len(SCHEDULES[Channel.EMAIL]))
    found = ended(claimed, Transient("cannot reach the SMTP server", blame=blame))
    assert (found.state, found.reason) == (State.FAILED, FailureReason.UNREACHABLE)
    assert fault_of(Status.FAILED, found.reason) is Fault.OURS


@pytest.mark.parametrize("earlier", [False, True])
def test_what_one_browser_has_did_not_fail_when_the_others_never_answered(earlier: bool) -> None:
    claimed = claim(tries=len(SCHEDULES[Channel.PUSH]))
    error = Transient("busy", code="503")
    if earlier:
        claimed = msgspec.structs.replace(claimed, accepted=frozenset({"a"}))
    else:
        error.progress = Progress(accepted=("a",))
    found = ended(claimed, error, Channel.PUSH)
    # What is told of this attempt is its own end: it was refused.
    assert (found.state, found.outcome, found.sent, found.reason) == (State.DONE, Outcome.TRANSIENT, True, None)
    assert found.progress == error.progress
    # Half of a text on Telegram is not the message.
    assert ended(claimed, error, Channel.TELEGRAM).reason is FailureReason.EXHAUSTED


def test_an_unknown_end_is_tried_again_or_held_as_the_sender_asked() -> None:
    again = claim(tries=1)
    assert ended(again, Unknown("cut")) == expected(again, State.QUEUED, Outcome.UNKNOWN, detail="cut", delay_ms=60_000)
    held = claim(tries=1_000, on_unknown=OnUnknown.HOLD)
    assert ended(held, Unknown("cut")) == expected(held, State.HELD, Outcome.UNKNOWN, detail="cut")


def test_what_a_gateway_before_telegram_gave_up_on_is_held_where_it_is_not_to_come_twice() -> None:
    error = telegram_errors.verdict(502, b"<html>", telegram_errors.Reading())
    assert ended(claim(on_unknown=OnUnknown.HOLD), error, Channel.TELEGRAM).state is State.HELD
    assert ended(claim(), error, Channel.TELEGRAM).state is State.QUEUED


def test_holding_concerns_unknown_ends_alone() -> None:
    held = claim(on_unknown=OnUnknown.HOLD)
    assert ended(held, Transient("later")).state is State.QUEUED
    assert ended(held, Permanent("no", reason=FailureReason.REJECTED)).state is State.FAILED


@pytest.mark.parametrize(
    ("error", "delay_ms"),
    [(Misconfigured("535 wrong password", code="535"), verdicts.REST_MS), (NotStarted("shuts down"), 0)],
)
@pytest.mark.parametrize("tries", [0, 1_000])
def test_what_no_peer_is_to_blame_for_burns_no_try(error: SendError, delay_ms: int, tries: int) -> None:
    claimed = claim(tries=tries)
    given_back = ended(claimed, error)
    assert given_back == expected(claimed, State.QUEUED, None, delay_ms=delay_ms)
    assert not given_back.burns_try


@pytest.mark.parametrize(
    ("error", "burns"),
    [
        (Transient("later"), True),
        (Unknown("cut"), True),
        (Permanent("no", reason=FailureReason.REJECTED), False),
        (Misconfigured("ours"), False),
        (NotStarted("shuts down"), False),
    ],
)
def test_only_tries_that_did_not_end_for_good_are_counted(error: SendError, burns: bool) -> None:
    assert ended(claim(), error).burns_try is burns


def test_every_leaf_of_the_error_tree_has_a_verdict() -> None:
    leaves = {Transient, Permanent, Unknown, Misconfigured, NotStarted}
    assert set(SendError.__subclasses__()) == leaves
    with pytest.raises(TypeError, match="SendError"):
        ended(claim(), SendError("nothing in particular"))


def test_an_end_without_the_peers_words_is_the_same_end() -> None:
    claimed = claim()
    full = ended(claimed, Permanent("no", reason=FailureReason.POLICY, code="550", hard=True))
    assert verdicts.wordless(full) == expected(
        claimed,
        State.FAILED,
        Outcome.PERMANENT,
        reason=FailureReason.POLICY,
        bounced=True,
        dead_address=True,
    )
    assert verdicts.wordless(verdicts.accepted(claimed, Receipt("250", "queued", "q1", delivered=True))) == expected(
        claimed, State.DONE, Outcome.ACCEPTED, delivered=True
    )
