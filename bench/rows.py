"""The rows of the bench: what of ours is compared with what."""

from typing import Final, NamedTuple

from models.vocabulary import Channel, Status


class Row(NamedTuple):
    """``ours`` ends with a status in the database and a message at the sink; ``floor`` and ``raw`` are modules.

    ``connections``: how many the bare loop has open. ``sink``: which one both send to.
    """

    id: str
    channel: Channel
    done: Status
    sink: str
    floor: str
    raw: str
    connections: int


ROWS: Final = (
    Row(
        id="email/aiosmtplib",
        channel=Channel.EMAIL,
        done=Status.SENT,
        sink="smtp",
        floor="bench.floors.aiosmtplib_loop",
        raw="bench.floors.raw_smtp",
        connections=10,
    ),
    Row(
        id="webhook/aiohttp",
        channel=Channel.WEBHOOK,
        done=Status.DELIVERED,
        sink="http",
        floor="bench.floors.aiohttp_loop",
        raw="bench.floors.raw_http",
        connections=50,
    ),
)
