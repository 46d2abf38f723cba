"""What holds a message: each gate there is, in a word and in a sentence."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from models.timestamps import show
from models.vocabulary import CampaignState, FailureReason, Outcome, State, Status
from models.why import FARTHEST_PLACE, Attempt, Gate, Situation, explain
from tests.support.situations import FRESH, NOW, PAST, REFUSED_FOR_NOW

LATER = NOW + 60_000
MUCH_LATER = NOW + 600_000


def situation(**changes: Any) -> Situation:
    return msgspec.structs.replace(FRESH, **changes)


@pytest.mark.parametrize(
    ("changes", "gate", "words"),
    [
        ({"due_at": LATER}, Gate.SCHEDULE, ["scheduled for", show(LATER)]),
        ({"due_at": LATER, "sending_at": PAST}, Gate.LIMIT, ["no room", show(LATER)]),
        (
            {"due_at": LATER, "sending_at": PAST, "attempts": 2, "last_attempt": REFUSED_FOR_NOW},
            Gate.RETRY,
            ["Attempt 2 failed for now", show(LATER)],
        ),
        ({"rests_until": LATER}, Gate.CHANNEL, ["EMAIL rests until", show(LATER)]),
        ({"due_at": LATER, "rests_until": MUCH_LATER}, Gate.CHANNEL, [show(MUCH_LATER)]),
        ({"due_at": MUCH_LATER, "rests_until": LATER}, Gate.SCHEDULE, [show(MUCH_LATER)]),
        ({"paused": True, "campaign": CampaignState.PAUSED, "due_at": LATER}, Gate.CAMPAIGN, ["campaign is paused"]),
        ({"place": 3, "campaign": CampaignState.PAUSED}, Gate.CAMPAIGN, ["campaign is paused"]),
        ({"place": 3, "campaign": CampaignState.CANCELLED}, Gate.CAMPAIGN, ["campaign was cancelled"]),
        ({}, Gate.KEEPER, ["due", "keeper"]),
        ({"place": 3, "expires_at": PAST}, Gate.KEEPER, ["expired at", show(PAST)]),
        ({"place": 0}, Gate.LANE, ["next of its lane"]),
        ({"place": 1}, Gate.LANE, ["1 message comes before"]),
        ({"place": 1200}, Gate.LANE, ["1,200 messages come before"]),
        ({"place": FARTHEST_PLACE}, Gate.LANE, ["10,000 or more"]),
        ({"place": 0, "suspect": True, "crashes": 3}, Gate.SUSPECT, ["ended 3 worker processes"]),
        (
            {"state": State.SENDING, "status": Status.SENDING, "claimed_at": PAST, "attempts": 1},
            Gate.WORKER,
            ["sending it since", show(PAST), "attempt 2"],
        ),
        (
            {"state": State.SENDING, "status": Status.SENDING, "claimed_at": PAST, "worker_lost": True},
            Gate.WORKER,
            ["is lost", "takes the message back"],
        ),
        (
            {"state": State.HELD, "status": Status.SENDING, "attempts": 1},
            Gate.DOUBT,
            ["Nobody knows whether attempt 1 arrived", "Release sends it again, giving it up ends it"],
        ),
        (
            {"state": State.HELD, "status": Status.SENDING, "attempts": 0},
            Gate.DOUBT,
            ["Nobody knows whether it arrived"],
        ),
        (
            {"state": State.DONE, "status": Status.OPENED, "sent_at": PAST},
            None,
            ["the peer accepted it at", show(PAST), "OPENED"],
        ),
        (
            {
                "state": State.FAILED,
                "status": Status.FAILED,
                "ended_at": PAST,
                "failure_reason": FailureReason.MAILBOX_FULL,
            },
            None,
            ["given up at", show(PAST), "mailbox full"],
        ),
        (
            {"state": State.FAILED, "status": Status.DELIVERED, "failure_reason": FailureReason.EXHAUSTED},
            None,
            ["given up", "exhausted", "DELIVERED"],
        ),
        (
            {"state": State.CANCELLED, "status": Status.FAILED, "ended_at": PAST},
            None,
            ["cancelled at", show(PAST)],
        ),
    ],
)
def test_every_gate_has_its_word_and_its_sentence(changes: dict[str, Any], gate: Gate | None, words: list[str]) -> None:
    why = explain(situation(**changes))
    assert why.gate is gate
    assert [word for word in words if word not in why.because] == []
    assert why.because.endswith(".")


def test_every_gate_can_hold_something() -> None:
    (parametrized,) = test_every_gate_has_its_word_and_its_sentence.pytestmark
    assert {gate for _, gate, _ in parametrized.args[1]} == {None, *Gate}


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_explained_however_little_is_known(state: State) -> None:
    assert explain(situation(state=state)).because


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"due_at": LATER}, LATER),
        ({"due_at": LATER, "rests_until": MUCH_LATER}, MUCH_LATER),
        ({"due_at": LATER, "paused": True}, None),
        ({"place": 0}, None),
        ({}, None),
        ({"state": State.HELD, "due_at": LATER}, None),
    ],
)
def test_the_next_attempt_has_a_time_where_a_clock_decides(changes: dict[str, Any], at: int | None) -> None:
    assert explain(situation(**changes)).next_attempt_at == at


def test_an_end_that_comes_first_is_said() -> None:
    scheduled = situation(due_at=MUCH_LATER, expires_at=LATER)
    assert f"It expires before that, at {show(LATER)}." in explain(scheduled).because
    assert "expires" not in explain(situation(due_at=LATER, expires_at=MUCH_LATER)).because
    paused = situation(paused=True, expires_at=LATER)
    assert f"It expires at {show(LATER)}." in explain(paused).because


def test_the_last_error_is_that_of_the_last_attempt() -> None:
    failed = situation(due_at=LATER, sending_at=PAST, attempts=1, last_attempt=REFUSED_FOR_NOW)
    assert explain(failed).last_error == REFUSED_FOR_NOW
    accepted = Attempt(PAST, Outcome.ACCEPTED, "250", "ok")
    done = situation(state=State.DONE, status=Status.SENT, attempts=2, last_attempt=accepted)
    assert explain(done).last_error is None


def test_no_sentence_repeats_what_a_peer_said() -> None:
    said = Attempt(PAST, Outcome.UNKNOWN, "451", "<ann@example.org> is away")
    for state in State:
        assert "ann@" not in explain(situation(state=state, worker_id=UUID(int=1), last_attempt=said)).because
