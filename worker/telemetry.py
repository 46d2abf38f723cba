"""What a worker and the keeper count of their own work. Counting is for every message: see ``models.metrics``."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from models.faults import FAULTS
from models.metrics import Counts, Family, Gauge, Histogram
from models.store.claims import Claim
from models.store.outcomes import Ended
from models.vocabulary import Channel, Lane
from worker.pacing import Slots
from worker.settings import MetricsSettings

if TYPE_CHECKING:
    from worker.metrics_server import MetricsServer

GIVEN_BACK: Final = "given_back"
"""The outcome of what was claimed and not tried: a limit, a sender that rests, the end of the worker."""

NO_FAULT: Final = "none"
"""The fault of what arrived, or may still."""

_CHUNK_BOUNDS: Final = (0, 1, 5, 10, 20, 50, 100, 150, 200)
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600)
_LONG_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 43_200)


class SendingMeter:
    """Of a worker: its claims, and how the attempts ended."""

    def __init__(self) -> None:
        lane = ("channel", "lane")
        self._claims = Histogram(
            "wireroom_claimed_messages",
            "Messages that a claim brought; those that found nothing are at 0. Its count is the number of claims.",
            lane,
            _CHUNK_BOUNDS,
        )
        self._pickups = Histogram(
            "wireroom_pickup_delay_seconds",
            "From when a message was due (accepted, or its sendAt) to its first claim.",
            lane,
            _LONG_SECONDS,
        )
        self._attempts = Counts(
            "wireroom_attempts_total",
            "Attempts by outcome; 'fault': whose fault it is that the message failed, where this attempt was its end.",
            (*lane, "outcome", "fault"),
        )
        self._durations = Histogram(
            "wireroom_attempt_duration_seconds",
            "How long attempts took, from the worker's hand to the peer's answer.",
            lane,
            _SECONDS,
        )
        self._told = Counts(
            "wireroom_status_event_attempts_total", "Attempts to tell subscriptions of an event.", ("outcome",)
        )
        self.families: Sequence[Family] = (self._claims, self._pickups, self._attempts, self._durations, self._told)

    def claimed(self, channel: Channel, lane: Lane, claims: Sequence[Claim]) -> None:
        """A claim brought these."""
        labels = (channel, lane)
        self._claims.observe(labels, len(claims))
        for claim in claims:
            if claim.token == 1:  # nobody claimed it before
                self._pickups.observe(labels, max(claim.waited_ms, 0) / 1000)

    def attempted(self, channel: Channel, lane: Lane, ended: Ended, seconds: float) -> None:
        """An attempt took so long and ended so."""
        if ended.outcome is None:
            self.given_back(channel, lane)
            return
        self._attempts.add((channel, lane, ended.outcome, _fault(ended)))
        self._durations.observe((channel, lane), seconds)

    def given_back(self, channel: Channel, lane: Lane, number: int = 1) -> None:
        """So many were claimed and not tried."""
        if number:
            self._attempts.add((channel, lane, GIVEN_BACK, NO_FAULT), number)

    def told(self, ended: Ended) -> None:
        """An attempt to tell a subscription ended so."""
        self._told.add((ended.outcome or GIVEN_BACK,))


_FAULTS: Final = {reason: fault.value for reason, fault in FAULTS.items()}


def _fault(ended: Ended) -> str:
    return NO_FAULT if ended.reason is None else _FAULTS[ended.reason]


def levels(
    slots: Mapping[Channel, Slots], lease_held: Callable[[], bool], broker_up: Callable[[], bool]
) -> Sequence[Family]:
    """What a worker can say at any moment."""
    lanes = [(channel, lane) for channel in slots for lane in Lane]
    return (
        Gauge(
            "wireroom_worker_slots",
            "Messages that the worker may have in hand at once (WIREROOM_MAX_INFLIGHT_<CHANNEL>).",
            ("channel",),
            lambda: {(channel,): each.most for channel, each in slots.items()},
        ),
        Gauge(
            "wireroom_worker_slots_taken",
            "Messages that the worker has in hand.",
            ("channel", "lane"),
            lambda: {(channel, lane): slots[channel].taken(lane) for channel, lane in lanes},
        ),
        Gauge(
            "wireroom_worker_lease_held",
            "1 while the worker may claim, 0 while it could not renew its lease, or ends.",
            (),
            lambda: {(): lease_held()},
        ),
        Gauge(
            "wireroom_worker_broker_up",
            "1 while the broker answers the worker; while it does not, work is looked for in the database.",
            (),
            lambda: {(): broker_up()},
        ),
    )


class KeepingMeter:
    """Of the keeper: its duties, and the workers that it found dead."""

    def __init__(self) -> None:
        self._turns = Counts(
            "wireroom_keeper_turns_total",
            "Turns of each duty, about one a second: done, no_database (the database was away), broke (see the log).",
            ("duty", "outcome"),
        )
        self._seconds = Counts("wireroom_keeper_turn_seconds_total", "Time that a duty's turns took.", ("duty",))
        self._lost = Counts("wireroom_workers_lost_total", "Workers that died with messages in hand, or stood still.")
        self._rescued = Counts("wireroom_messages_rescued_total", "Messages that were taken out of dead hands.")
        self.families: Sequence[Family] = (self._turns, self._seconds, self._lost, self._rescued)
        self._lost.add(by=0)
        self._rescued.add(by=0)

    def turned(self, duty: str, outcome: str, seconds: float) -> None:
        """A duty's turn took so long and ended so."""
        self._turns.add((duty, outcome))
        self._seconds.add((duty,), seconds)

    def rescued(self, messages: int) -> None:
        """A worker was lost, and had so many messages in hand."""
        self._lost.add()
        self._rescued.add(by=messages)


def answering(settings: MetricsSettings | None, families: Sequence[Family]) -> "MetricsServer | None":
    """Answer for these from now on, on the running loop; None where nobody is to ask."""
    if settings is None:
        return None
    from worker.metrics_server import MetricsServer  # noqa: PLC0415 - its libraries are not needed by most

    server = MetricsServer(settings, families)
    server.start()
    return server
