"""Which queue carries which wake-ups: bulk has its own, so that a worker may serve it alone, or not at all."""

from typing import Final

from models.vocabulary import Channel, Lane

TRACKER: Final = "tracker"
"""The actor that applies events, and its queue."""

EVENTS: Final = "events"
"""The tracker's one lane."""

STATUS_EVENTS: Final = "status-events"
"""The lane of WEBHOOK's actor by which subscriptions are told of messages."""


def of(actor: str, lane: str) -> str:
    """The queue of a lane's wake-ups. What is no lane of a channel, as the tracker's, goes by the actor's own.

    What subscriptions are told goes by that of bulk: nobody waits for it.
    """
    return f"{actor}.{Lane.BULK}" if lane in (Lane.BULK, STATUS_EVENTS) else actor


LANE_OF: Final = {
    TRACKER: (TRACKER, EVENTS),
    **{of(name, lane): (name, lane.value) for name in (each.value.lower() for each in Channel) for lane in Lane},
}
"""By queue, the actor and lane that pokes are for.

Suspects and status events, whose wake-ups go by it too, are woken by the keeper alone, which asks for no key.
"""

PEOPLE: Final = (*(channel.value.lower() for channel in Channel), TRACKER)
"""The queues of all that is not bulk."""

BULK: Final = tuple(of(channel.value.lower(), Lane.BULK) for channel in Channel)
