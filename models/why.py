"""Why a message stands where it stands: a pure function of what the store reads about it. Times are milliseconds."""

from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

import msgspec

from models.faults import Fault, fault_of
from models.timestamps import show
from models.vocabulary import CampaignState, Channel, FailureReason, Outcome, State, Status

FARTHEST_PLACE: Final = 10_000
"""Places in a lane are counted up to here."""

_WHOSE: Final = {
    Fault.RECEIVER: "The fault is the receiver's.",
    Fault.SENDER: "The fault lies in what was asked for.",
    Fault.OURS: "The fault is this installation's or its provider's.",
}


FOR_GOOD: Final = frozenset({FailureReason.ERASED, FailureReason.EXPIRED, FailureReason.OPTED_OUT})
"""What retry refuses whatever is done about it."""


class Gate(StrEnum):
    """What a message that has not ended waits for."""

    SCHEDULE = "schedule"
    """The time its sender asked for."""
    RETRY = "retry"
    """The time of its next try: the last one failed for now."""
    LIMIT = "limit"
    """Room: a limit of its channel, or a sender that could not begin, put it off."""
    CAMPAIGN = "campaign"
    """Its campaign is paused, or was cancelled."""
    CHANNEL = "channel"
    """Its channel rests: the sender is misconfigured."""
    KEEPER = "keeper"
    """It is due; the keeper gives it its turn."""
    LANE = "lane"
    """Its turn: others of its lane come first."""
    SUSPECT = "suspect"
    """A worker with nothing else in its hands: sending it ended worker processes."""
    WORKER = "worker"
    """The worker that sends it now."""
    DOUBT = "doubt"
    """An event or a person: nobody knows whether its last attempt arrived."""


class Attempt(msgspec.Struct, frozen=True):
    """How an attempt ended. ``settled_at``: when an event proved that it arrived, where nobody knew its end."""

    ended_at: int
    outcome: Outcome
    code: str | None
    detail: str | None
    settled_at: int | None = None

    @property
    def arrived(self) -> bool:
        """Whether the peer is known to have taken the message."""
        return self.outcome is Outcome.ACCEPTED or self.settled_at is not None


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that may hold a message, as it stands ``now`` by the database's clock.

    ``place``: how many ready messages of its lane come first, None while it has no turn. ``attempts``: how many have
    ended in this run; ``last_attempt`` is the last of them. ``worker_lost``: nobody holds its worker's lease.
    ``own_senders``: how many its workspace has on the channel that are not paused; where there are any, it rests until
    the first of them comes back.
    """

    now: int
    channel: Channel
    state: State
    status: Status
    due_at: int
    expires_at: int | None
    sending_at: int | None
    ended_at: int | None
    sent_at: int | None
    failure_reason: FailureReason | None
    paused: bool
    campaign: CampaignState | None
    rests_until: int | None
    own_senders: int = 0
    crashes: int
    suspect: bool
    place: int | None
    worker_id: UUID | None
    worker_lost: bool
    claimed_at: int | None
    attempts: int
    last_attempt: Attempt | None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a message, in a word and in a sentence.

    ``gate`` is None once nothing can hold it any more. ``next_attempt_at`` is None where no clock says when.
    """

    gate: Gate | None
    because: str
    place: int | None = None
    next_attempt_at: int | None = None
    last_error: Attempt | None = None


def explain(it: Situation) -> Why:
    """What holds the message."""
    match it.state:
        case State.QUEUED:
            why = _queued(it)
        case State.SENDING:
            why = _sending(it)
        case State.HELD:
            which = f"attempt {it.attempts}" if it.attempts else "it"
            said = f"Nobody knows whether {which} arrived; it waits for an event that tells it, or a person."
            why = Why(gate=Gate.DOUBT, because=f"{said} Release sends it again, giving it up ends it.")
        case State.DONE:
            at = "" if it.sent_at is None else f" at {show(it.sent_at)}"
            said = f"Nothing holds it: the peer accepted it{at}, and its status is {it.status}."
            why = Why(gate=None, because=said + _settled(it) + _whose(it))
        case State.FAILED | State.CANCELLED:
            why = Why(gate=None, because=_given_up(it))
        case _:
            assert_never(it.state)
    last = it.last_attempt
    return why if last is None or last.arrived else msgspec.structs.replace(why, last_error=last)


def _queued(it: Situation) -> Why:
    if it.expires_at is not None and it.expires_at <= it.now:
        return Why(gate=Gate.KEEPER, because=f"It expired at {show(it.expires_at)}; the keeper ends it within seconds.")
    if it.campaign is CampaignState.CANCELLED:
        return Why(gate=Gate.CAMPAIGN, because="Its campaign was cancelled: it ends as soon as it is taken up.")
    if it.paused and it.campaign is CampaignState.RUNNING:
        return Why(gate=Gate.KEEPER, because="Its campaign was resumed; the keeper lets it follow within seconds.")
    if it.paused or it.campaign is CampaignState.PAUSED:
        said = f"Its campaign is paused, and it waits until that is resumed.{_expiry(it, None)}"
        return Why(gate=Gate.CAMPAIGN, because=said)
    return _waiting_for_a_time(it) or _waiting_for_its_turn(it)


def _waiting_for_a_time(it: Situation) -> Why | None:
    """The later of its own time and the end of its channel's rest; None where both have passed."""
    due, rest = it.due_at, it.rests_until or 0
    if max(due, rest) <= it.now:
        return None
    if rest > due or _waits_for_a_sender(it):
        said = f"The channel {it.channel} rests until {show(rest)}, because its sender cannot work as it is set up."
        if it.own_senders:
            who = "the workspace's sender" if it.own_senders == 1 else f"all {it.own_senders} senders of the workspace"
            said = f"On {it.channel} {who} cannot work; the first is tried again at {show(rest)}."
        return Why(gate=Gate.CHANNEL, because=said + _expiry(it, rest), next_attempt_at=rest)
    if it.sending_at is None:
        gate, said = Gate.SCHEDULE, f"It is scheduled for {show(due)}."
    elif it.attempts:
        gate, said = Gate.RETRY, f"Attempt {it.attempts} failed for now; the next one is due at {show(due)}."
    else:
        gate, said = Gate.LIMIT, f"Its channel had no room for it or could not begin; it is due again at {show(due)}."
    return Why(gate=gate, because=said + _expiry(it, due), next_attempt_at=due)


def _waits_for_a_sender(it: Situation) -> bool:
    """Whether it was given back because all senders of its workspace rest, and nothing else puts it off."""
    resting = bool(it.own_senders) and it.rests_until is not None and it.rests_until > it.now
    return resting and it.sending_at is not None and not it.attempts


def _waiting_for_its_turn(it: Situation) -> Why:
    if it.place is None:
        return Why(gate=Gate.KEEPER, because="It is due, and the keeper gives it its turn within seconds.")
    if it.suspect:
        said = f"Sending it ended {it.crashes} worker processes, so it waits for a worker with nothing else to do."
        return Why(gate=Gate.SUSPECT, because=said, place=it.place)
    if it.place == 0:
        return Why(gate=Gate.LANE, because="It is the next of its lane; it waits for a worker with room.", place=0)
    number = f"{it.place:,}" if it.place < FARTHEST_PLACE else f"{FARTHEST_PLACE:,} or more"
    noun = "message comes" if it.place == 1 else "messages come"
    return Why(gate=Gate.LANE, because=f"It is ready; {number} {noun} before it in its lane.", place=it.place)


def _sending(it: Situation) -> Why:
    since = "" if it.claimed_at is None else f" since {show(it.claimed_at)}"
    said = f"A worker has been sending it{since}; this is attempt {it.attempts + 1}."
    if it.worker_lost:
        said = f"The worker that was sending it{since} is lost; the keeper takes the message back within seconds."
    return Why(gate=Gate.WORKER, because=said)


def _given_up(it: Situation) -> str:
    at = "" if it.ended_at is None else f" at {show(it.ended_at)}"
    if it.state is State.CANCELLED:
        said = f"It was cancelled{at}."
    else:
        reason = "for an unknown reason" if it.failure_reason is None else it.failure_reason.value.replace("_", " ")
        said = f"It was given up{at}: {reason}."
    if it.status is not Status.FAILED:
        said = f"{said} Its status is {it.status}, by what was reported of it."
    return said + _whose(it)


def _settled(it: Situation) -> str:
    """What to add where the last attempt's end was not seen, but is known by an event."""
    if it.last_attempt is None or it.last_attempt.settled_at is None:
        return ""
    at = show(it.last_attempt.settled_at)
    return f" Nobody saw the end of attempt {it.attempts}; a report that came at {at} proves that it arrived."


def _whose(it: Situation) -> str:
    """What to add where it did not arrive: who can do something about it."""
    fault = fault_of(it.status, it.failure_reason)
    if fault is None or it.failure_reason is FailureReason.CANCELLED:
        return ""
    again = "" if it.failure_reason in FOR_GOOD else " Retry sends it again, unless its address is suppressed."
    return f" {_WHOSE[fault]}{again}"


def _expiry(it: Situation, next_at: int | None) -> str:
    """What to add where it expires before it goes on."""
    if it.expires_at is None or (next_at is not None and next_at < it.expires_at):
        return ""
    return f" It expires {'' if next_at is None else 'before that, '}at {show(it.expires_at)}."
