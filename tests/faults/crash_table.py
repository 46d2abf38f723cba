"""The points at which a worker is killed, and what must have come of each: exactly, by channel and policy."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from models.vocabulary import Channel, OnUnknown, Outcome, State


class Point(StrEnum):
    """Each is seen from outside: by the peer, or on the line to the database.

    The COMMIT of what is one statement, as some claims are, is that statement.
    """

    CLAIM_ASKED = "claim asked"
    """The COMMIT of the claim came, and never reached the server."""
    CLAIM_UNTOLD = "claim untold"
    """The server has committed the claim, and its answer got lost."""
    CLAIMED = "claimed"
    """The worker knows the claim as committed, and asks for the message's content."""
    BEGIN_ASKED = "begin asked"
    """The COMMIT of the send's beginning came, and never reached the server. Only with ``hold``."""
    BEGIN_UNTOLD = "begin untold"
    """The server has committed the beginning, and its answer got lost. Only with ``hold``."""
    CONNECTED = "connected"
    """The peer has the connection, and nothing more."""
    MAIL = "MAIL"
    """The server has MAIL."""
    RCPT = "RCPT"
    """The server has RCPT."""
    IN_CONTENT = "in content"
    """The server has the first line of the content."""
    GIVEN = "given"
    """The peer has all of it, the final dot or the request's last byte, and goes down with it."""
    TAKEN = "taken"
    """The peer has taken it, and not answered."""
    ANSWERED = "answered"
    """The COMMIT of the peer's answer came, and never reached the server."""
    RECORD_UNTOLD = "record untold"
    """The server has committed the outcome, and its answer got lost."""
    RECORDED = "recorded"
    """The worker knows the outcome as committed, and the broker waits for its acknowledgement."""
    RESCUE_ASKED = "rescue asked"
    """It was killed once it had claimed; then the COMMIT of the keeper's rescue came, and never reached the server."""


class Fate(NamedTuple):
    """What has come of a message. ``attempts``: how each that is on record ended, in order."""

    arrivals: int
    attempts: tuple[Outcome, ...]
    state: State


class Cell(NamedTuple):
    """One kill."""

    channel: Channel
    point: Point
    policy: OnUnknown

    def __str__(self) -> str:
        return f"{self.channel} {self.policy}, {self.point}"


_CLAIM: Final = (Point.CLAIM_ASKED, Point.CLAIM_UNTOLD, Point.CLAIMED, Point.RESCUE_ASKED)
_BEGIN: Final = (Point.BEGIN_ASKED, Point.BEGIN_UNTOLD)
_RECORD: Final = (Point.ANSWERED, Point.RECORD_UNTOLD, Point.RECORDED)
SHARED: Final = frozenset({*_CLAIM, *_BEGIN})
"""What is claimed together meets the same fate there."""
_PEER: Final = {
    Channel.EMAIL: (Point.CONNECTED, Point.MAIL, Point.RCPT, Point.IN_CONTENT, Point.GIVEN, Point.TAKEN),
    Channel.WEBHOOK: (Point.CONNECTED, Point.GIVEN, Point.TAKEN),
    Channel.PUSH: (Point.CONNECTED, Point.GIVEN, Point.TAKEN),
    Channel.TELEGRAM: (Point.CONNECTED, Point.TAKEN),
    Channel.ONSITE: (),
}

_ACCEPTED: Final = (Outcome.ACCEPTED,)
_DOUBTED: Final = (Outcome.AMBIGUOUS,)
_UNSEEN: Final = frozenset({Point.CLAIM_ASKED, Point.RECORD_UNTOLD, Point.RECORDED})
"""No doubt remains: nothing was claimed, or all was recorded."""


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for channel in Channel:
        for policy in OnUnknown:
            begin = _BEGIN if policy is OnUnknown.HOLD else ()
            for point in (*_CLAIM, *begin, *_PEER[channel], *_RECORD):
                yield Cell(channel, point, policy)


def fate(cell: Cell) -> Fate:
    """What must have come of its message once all is quiet."""
    if cell.point in _UNSEEN:
        return Fate(1, _ACCEPTED, State.DONE)
    # The inbox is filled by the record itself: before it, nothing has arrived.
    at_peer = cell.channel is not Channel.ONSITE and cell.point in (Point.TAKEN, Point.ANSWERED)
    if cell.policy is OnUnknown.RETRY:
        return Fate(2 if at_peer else 1, _DOUBTED + _ACCEPTED, State.DONE)
    if cell.point in (*_CLAIM, Point.BEGIN_ASKED):
        return Fate(1, _ACCEPTED, State.DONE)
    return Fate(1 if at_peer else 0, _DOUBTED, State.HELD)
