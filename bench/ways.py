"""The two ways out that are measured."""

from typing import Final, NamedTuple

from models.vocabulary import Channel, Status


class Way(NamedTuple):
    """Ours ends with the status ``done`` in the database and a message at ``sink``.

    ``raw``: the module that writes to that sink as fast as it can; ``connections``: how many a bare loop has open.
    """

    channel: Channel
    done: Status
    sink: str
    raw: str
    connections: int


EMAIL: Final = Way(Channel.EMAIL, Status.SENT, "smtp", "bench.floors.raw_smtp", 10)
WEBHOOK: Final = Way(Channel.WEBHOOK, Status.DELIVERED, "http", "bench.floors.raw_http", 50)
