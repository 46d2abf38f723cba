"""What a message's status is: a pure function of facts and state. The only place that knows an order.

A fact is a time in milliseconds since 1970 (UTC), or None. It only ever moves to an earlier time, so any
order and any repetition of events gives one row. ``tables.py`` generates the column ``status`` from
``PRECEDENCE`` and ``BY_STATE``: one truth for both.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from models.vocabulary import BounceType, EventType, Fact, State, Status

Facts = Mapping[Fact, int | None]

# First match wins. A complaint implies do-not-contact; a human act proves arrival, so it beats a bounce; a
# hard bounce is the later truth, so it beats a delivery; a delivery beats a bounce that may pass.
# FAILED as a fact is a provider's word, given after it took the message; our own failures are a state.
PRECEDENCE: Final[tuple[tuple[Fact, Status], ...]] = (
    (Fact.COMPLAINED, Status.UNSUBSCRIBED),
    (Fact.UNSUBSCRIBED, Status.UNSUBSCRIBED),
    (Fact.CLICKED, Status.CLICKED),
    (Fact.OPENED, Status.OPENED),
    (Fact.HARD_BOUNCED, Status.BOUNCED),
    (Fact.DELIVERED, Status.DELIVERED),
    (Fact.SOFT_BOUNCED, Status.BOUNCED),
    (Fact.FAILED, Status.FAILED),
    (Fact.SENT, Status.SENT),
)

BY_STATE: Final[Mapping[State, Status]] = {
    State.QUEUED: Status.QUEUED,
    State.SENDING: Status.SENDING,
    State.HELD: Status.SENDING,
    State.DONE: Status.SENT,
    State.FAILED: Status.FAILED,
    State.CANCELLED: Status.FAILED,
}


class File(StrEnum):
    """What the indexes of lists have a message under; no report of its arrival changes it. See ``filed_under``."""

    QUEUED = "QUEUED"
    SENDING = "SENDING"
    SENT = "SENT"
    """However far it came."""
    BOUNCED = "BOUNCED"
    """It bounced, for good or not; it may have arrived all the same."""
    REPORTED = "REPORTED"
    """A provider says that it failed; it may have arrived all the same."""
    GIVEN_UP = "GIVEN_UP"
    """We gave it up, and nobody has told of it."""
    UNSUBSCRIBED = "UNSUBSCRIBED"


FILED_BY_FACT: Final[tuple[tuple[Fact, File], ...]] = (
    (Fact.COMPLAINED, File.UNSUBSCRIBED),
    (Fact.UNSUBSCRIBED, File.UNSUBSCRIBED),
    (Fact.HARD_BOUNCED, File.BOUNCED),
    (Fact.SOFT_BOUNCED, File.BOUNCED),
    (Fact.FAILED, File.REPORTED),
    (Fact.SENT, File.SENT),
)

FILED_BY_STATE: Final[Mapping[State, File]] = {
    State.QUEUED: File.QUEUED,
    State.SENDING: File.SENDING,
    State.HELD: File.SENDING,
    State.DONE: File.SENT,
    State.FAILED: File.GIVEN_UP,
    State.CANCELLED: File.GIVEN_UP,
}

FILES_OF: Final[Mapping[Status, tuple[File, ...]]] = {
    Status.QUEUED: (File.QUEUED,),
    Status.SENDING: (File.SENDING,),
    Status.SENT: (File.SENT,),
    Status.DELIVERED: (File.SENT, File.BOUNCED, File.REPORTED),
    Status.OPENED: (File.SENT, File.BOUNCED, File.REPORTED),
    Status.CLICKED: (File.SENT, File.BOUNCED, File.REPORTED),
    Status.BOUNCED: (File.BOUNCED,),
    Status.FAILED: (File.GIVEN_UP, File.REPORTED),
    Status.UNSUBSCRIBED: (File.UNSUBSCRIBED,),
}
"""What messages of a status are filed under: whoever reports on one has proved that it was sent."""

IMPLIED_BY: Final[Mapping[Fact, tuple[Fact, ...]]] = {
    Fact.OPENED: (Fact.CLICKED,),
    Fact.DELIVERED: (Fact.OPENED, Fact.CLICKED, Fact.COMPLAINED),
    Fact.SENT: (Fact.DELIVERED, Fact.OPENED, Fact.CLICKED, Fact.COMPLAINED),
}
"""A step is implied by the later ones, so that sent <= delivered <= opened <= clicked always holds in a view."""

_SAYS: Final[Mapping[EventType, Fact]] = {
    EventType.DELIVERED: Fact.DELIVERED,
    EventType.FAILED: Fact.FAILED,
    EventType.COMPLAINED: Fact.COMPLAINED,
    EventType.UNSUBSCRIBED: Fact.UNSUBSCRIBED,
}
_NO_PROOF: Final = frozenset({EventType.IGNORED, EventType.RESUBSCRIBED})


def status_of(facts: Facts, state: State) -> Status:
    """The shown status: facts first, then the state."""
    for fact, status in PRECEDENCE:
        if facts.get(fact) is not None:
            return status
    return BY_STATE[state]


def filed_under(facts: Facts, state: State) -> File:
    """The file of a message: facts first, then the state, and none of the facts of its arrival.

    Most messages arrive, are opened and clicked. PostgreSQL writes a row into every index of its table anew where a
    column of one of them changed, and into none where none did.
    https://www.postgresql.org/docs/current/storage-hot.html
    """
    for fact, file in FILED_BY_FACT:
        if facts.get(fact) is not None:
            return file
    return FILED_BY_STATE[state]


def effective(facts: Facts, fact: Fact) -> int | None:
    """The time shown for ``fact``: its own, or an earlier one of a step that implies it."""
    times = [facts.get(fact), *(facts.get(later) for later in IMPLIED_BY.get(fact, ()))]
    return min((time for time in times if time is not None), default=None)


def facts_of(event: EventType, *, bounce_type: BounceType | None, machine: bool) -> frozenset[Fact]:
    """The facts that an event establishes, all at the event's time.

    Whoever reports on a message has it: every report but a resubscription also proves that it was sent.
    """
    if event in _NO_PROOF:
        return frozenset()
    if event is EventType.OPENED:
        return frozenset({Fact.SENT, Fact.MACHINE_OPENED if machine else Fact.OPENED})
    if event is EventType.CLICKED:
        return frozenset({Fact.SENT, Fact.MACHINE_CLICKED if machine else Fact.CLICKED})
    if event is EventType.BOUNCED:
        soft = bounce_type is BounceType.SOFT
        return frozenset({Fact.SENT, Fact.SOFT_BOUNCED if soft else Fact.HARD_BOUNCED})
    said = _SAYS.get(event)
    return frozenset({Fact.SENT}) if said is None else frozenset({Fact.SENT, said})


def merge(facts: Facts, established: frozenset[Fact], at: int) -> dict[Fact, int | None]:
    """``facts`` after an event at ``at``: every established fact keeps its earliest time."""
    merged = dict(facts)
    for fact in established:
        known = merged.get(fact)
        merged[fact] = at if known is None else min(known, at)
    return merged


def clamp(at: int | None, *, created_at: int, received_at: int) -> int:
    """The time an event is given, once and for all, when it is first stored (milliseconds).

    A provider's own time, but never before the message was made nor more than 5 minutes after its receipt.
    """
    return received_at if at is None else min(max(at, created_at), received_at + 300_000)
