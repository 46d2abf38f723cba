"""``GET /metrics``: what the database knows of the whole house, and what this process knows of itself.

No key is asked for: there is no personal data in it, and no workspace, only numbers by channel, lane and the like.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from api_shim.house_levels import Seen
from api_shim.operations import Call, Operation, Reply
from models import metrics
from models.metrics import Family, Gauge, Labels, Process
from models.store.levels import MOST, Levels

_CHANNEL: Final = ("channel",)
_LANE: Final = ("channel", "lane")
_CAPPED: Final = f"; {MOST} stands for so many or more"

_Read = Callable[[Levels], Mapping[Labels, float]]

# Name, meaning, labels, and what they are read from.
_GAUGES: Final[Sequence[tuple[str, str, Sequence[str], _Read]]] = (
    (
        "wireroom_messages",
        "Messages by what is shown of them; removed ones are not counted.",
        ("channel", "status"),
        lambda levels: {(channel, status): number for (channel, status), number in levels.messages.items()},
    ),
    (
        "wireroom_messages_in_flight",
        "Messages in workers' hands.",
        _CHANNEL,
        lambda levels: {(channel,): number for channel, number in levels.in_flight.items()},
    ),
    (
        "wireroom_messages_held",
        "Messages whose end is unknown, held for an event or a person.",
        _CHANNEL,
        lambda levels: {(channel,): number for channel, number in levels.held.items()},
    ),
    (
        "wireroom_messages_ready",
        f"Messages that could be sent now{_CAPPED}.",
        _LANE,
        lambda levels: {(channel, lane): number for (channel, lane), number in levels.ready.items()},
    ),
    (
        "wireroom_oldest_ready_age_seconds",
        "How long the next message of a lane has been due; 0 where none waits. Scale workers by this.",
        _LANE,
        lambda levels: {lane: waited / 1000 for lane, waited in levels.waited_ms.items()},
    ),
    (
        "wireroom_messages_suspect",
        f"Messages whose sending ended their worker twice or more, and that wait to be sent alone{_CAPPED}.",
        _LANE,
        lambda levels: {(channel, lane): number for (channel, lane), number in levels.suspects.items()},
    ),
    (
        "wireroom_channel_resting",
        "1 while a channel's sender rests, since it is misconfigured or its peer refuses it as a whole.",
        _CHANNEL,
        lambda levels: {(channel,): channel in levels.resting for channel, _ in levels.ready},
    ),
    (
        "wireroom_events_waiting",
        f"Reported events that were not applied to their messages yet{_CAPPED}.",
        (),
        lambda levels: {(): levels.events_waiting},
    ),
    (
        "wireroom_events_parked",
        f"Reported events that match no message, or hits that have not settled{_CAPPED}.",
        (),
        lambda levels: {(): levels.events_parked},
    ),
    (
        "wireroom_status_events_waiting",
        f"Events that subscriptions are still to be told of, those of paused ones too{_CAPPED}.",
        (),
        lambda levels: {(): levels.status_events_waiting},
    ),
    (
        "wireroom_endpoints_switched_off",
        "Webhook endpoints of contacts that are gone, or failed for days: nothing is sent there.",
        (),
        lambda levels: {(): levels.endpoints_off},
    ),
    (
        "wireroom_subscriptions_switched_off",
        "Subscriptions to status events that were switched off since their endpoint failed for days or is gone.",
        (),
        lambda levels: {(): levels.subscriptions_off},
    ),
    (
        "wireroom_workers",
        "Worker processes by their lease: 'alive', or 'stale', not renewed in time and not yet declared dead.",
        ("lease",),
        lambda levels: {("alive",): levels.workers, ("stale",): levels.stale_workers},
    ),
)


def families(seen: Seen, own: Sequence[Family]) -> Sequence[Family]:
    """All that the API's process answers with; no samples of what is unknown."""
    levels, astray, broker_up = seen
    return [
        Process("api"),
        Gauge(
            "wireroom_database_up",
            "1 where the database answered in time; where it did not, nothing that comes from it is shown.",
            (),
            lambda: {(): levels is not None},
        ),
        Gauge(
            "wireroom_broker_up",
            "1 where the broker answered when it was asked last.",
            (),
            lambda: {} if broker_up is None else {(): broker_up},
        ),
        Gauge(
            "wireroom_messages_astray",
            "Messages too many or too few when all were counted last, against what was accepted: always 0.",
            (),
            lambda: {} if astray is None else {(): astray},
        ),
        *(Gauge(name, says, labels, _reading(read, levels)) for name, says, labels, read in _GAUGES),
        *own,
    ]


def _reading(read: _Read, levels: Levels | None) -> Callable[[], Mapping[Labels, float]]:
    return lambda: {} if levels is None else read(levels)


async def _answer(call: Call) -> Reply:
    services = call.services
    seen = await services.house_levels.read()
    shown = services.metrics_page.text(lambda: families(seen, services.traffic.families))
    return Reply(shown, headers={"Cache-Control": "no-store"}, media_type=metrics.CONTENT_TYPE)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/metrics",
        _answer,
        summary="What Prometheus asks for: numbers of the house and of this process, in its text format",
        tag="Health",
        scope=None,
        responses={200: str},
        response_media=metrics.CONTENT_TYPE,
    ),
)
