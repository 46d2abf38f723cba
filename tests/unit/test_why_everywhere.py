"""Whatever a message's situation is, an answer names what it waits for, and until when where a clock says."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pytest

from models.faults import fault_of
from models.timestamps import show
from models.vocabulary import CampaignState, FailureReason, State, Status
from models.why import Gate, Situation, Why, explain
from tests.support.situations import FRESH, NOW, PAST, REFUSED_FOR_NOW

SOON, LATER, LATEST = NOW + 60_000, NOW + 120_000, NOW + 180_000

WORDS = {
    Gate.SCHEDULE: ["scheduled for"],
    Gate.RETRY: ["failed for now", "next one is due at"],
    Gate.LIMIT: ["due again at"],
    Gate.CAMPAIGN: ["campaign"],
    Gate.CHANNEL: ["EMAIL"],
    Gate.KEEPER: ["keeper"],
    Gate.LANE: ["lane"],
    Gate.SUSPECT: ["waits for a worker"],
    Gate.WORKER: ["worker"],
    Gate.DOUBT: ["event", "person", "Release", "giving it up"],
}
TIMED = {Gate.SCHEDULE, Gate.RETRY, Gate.LIMIT, Gate.CHANNEL}


def queued() -> Iterator[Situation]:
    """Pause x rest x schedule x expiry x what became of it so far."""
    campaigns = (None, *CampaignState)
    tried: tuple[dict[str, Any], ...] = (
        {},
        {"sending_at": PAST},
        {"sending_at": PAST, "attempts": 1, "last_attempt": REFUSED_FOR_NOW},
        {"crashes": 3, "suspect": True, "sending_at": PAST},
    )
    for paused, campaign, rest, own, due, expires, place, past in product(
        (False, True),
        campaigns,
        (None, PAST, LATER),
        (0, 1, 3),
        (PAST, SOON, LATEST),
        (None, PAST, SOON, LATEST + 1),
        (None, 0, 7),
        tried,
    ):
        if due > NOW and place is not None:
            continue  # a turn is given to what is due
        changes = {"paused": paused, "campaign": campaign, "rests_until": rest, "own_senders": own, "due_at": due}
        yield msgspec.structs.replace(FRESH, **changes, expires_at=expires, place=place, **past)


def test_what_is_queued_says_what_it_waits_for_and_until_when() -> None:
    seen = set()
    for it in queued():
        why = explain(it)
        assert why.gate is not None, it
        seen.add(why.gate)
        assert [word for word in WORDS[why.gate] if word not in why.because] == [], (it, why)
        assert why.because.endswith(".")
        assert (why.next_attempt_at is not None) == (why.gate in TIMED), (it, why)
        if why.next_attempt_at is not None:
            assert why.next_attempt_at > NOW
            assert show(why.next_attempt_at) in why.because
        assert _expiry_is_told(it, why), (it, why)
        assert (why.place is not None) == (why.gate in (Gate.LANE, Gate.SUSPECT))
    assert seen == set(Gate) - {Gate.WORKER, Gate.DOUBT}


def _expiry_is_told(it: Situation, why: Why) -> bool:
    """Where it may expire while it waits for something with no end of its own, or before that end, it says so."""
    if it.expires_at is None:
        return "expire" not in why.because
    if it.expires_at <= NOW:
        return why.gate is Gate.KEEPER and show(it.expires_at) in why.because
    if why.gate is Gate.CAMPAIGN and it.campaign is not CampaignState.CANCELLED:
        return show(it.expires_at) in why.because
    if why.next_attempt_at is not None:
        return (show(it.expires_at) in why.because) == (it.expires_at <= why.next_attempt_at)
    return True


def test_a_resumed_campaign_is_not_called_paused() -> None:
    why = explain(msgspec.structs.replace(FRESH, paused=True, campaign=CampaignState.RUNNING))
    assert why.gate is Gate.KEEPER
    assert "is paused" not in why.because


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("attempts", [0, 2])
@pytest.mark.parametrize("state", [State.SENDING, State.HELD])
def test_what_is_in_hand_or_in_doubt_says_whose_word_it_waits_for(state: State, attempts: int, lost: bool) -> None:
    changes = {"attempts": attempts, "worker_lost": lost, "worker_id": UUID(int=1), "claimed_at": PAST}
    why = explain(msgspec.structs.replace(FRESH, state=state, status=Status.SENDING, **changes))
    assert why.gate in (Gate.WORKER, Gate.DOUBT)
    assert [word for word in WORDS[why.gate] if word not in why.because] == []
    assert state is State.HELD or show(PAST) in why.because
    assert why.next_attempt_at is None


@pytest.mark.parametrize("reason", [None, *FailureReason])
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("state", [State.DONE, State.FAILED, State.CANCELLED])
def test_what_has_ended_says_why_and_whose_fault_it_was(
    state: State, status: Status, reason: FailureReason | None
) -> None:
    changes = {"state": state, "status": status, "failure_reason": reason, "ended_at": PAST, "sent_at": PAST}
    why = explain(msgspec.structs.replace(FRESH, **changes))
    assert (why.gate, why.next_attempt_at) == (None, None)
    assert show(PAST) in why.because
    if state is State.FAILED and reason is not None:
        assert reason.value.replace("_", " ") in why.because
    called_back = reason is FailureReason.CANCELLED
    assert ("fault" in why.because) == (fault_of(status, reason) is not None and not called_back)
