"""The keys that all processes use in Redis, what each holds, and whether somebody else has written there.

What stands under a key of ours and is of another type makes every script fail that meets it, though the server answers.
"""

import contextlib
from typing import Final

import redis

from worker import queues

NAMESPACE: Final = "wireroom"
TRIED: Final = f"{NAMESPACE}:tried"
LIMITERS: Final = f"{NAMESPACE}:limiters"


def on_its_way(actor: str, lane: str) -> str:
    """What says that a wake-up of a lane is."""
    return f"{NAMESPACE}:wake:{actor}:{lane}"


# Behind a queue's name: dramatiq's (its dispatch.lua tells), and the wake tokens, which are ours.
_OF_A_QUEUE: Final = {"": "list", ".msgs": "hash", ".XQ": "zset", ".XQ.msgs": "hash", ".wake": "list"}
_HELD: Final = {
    f"{NAMESPACE}:{queue}{part}": kind for queue in (*queues.PEOPLE, *queues.BULK) for part, kind in _OF_A_QUEUE.items()
} | {f"{NAMESPACE}:__heartbeats__": "zset", LIMITERS: "zset"}


class Occupied(redis.ResponseError):
    """Somebody else has written under keys of ours; the text names them."""


def check(client: redis.Redis) -> None:
    """Raises Occupied where a key holds what is not ours; redis.RedisError where the server does not answer."""
    if strange := _strange(client):
        raise Occupied(strange)


def cause(client: redis.Redis, error: Exception) -> str:
    """What a log says of a failure: its kind, or the keys that are not ours. May ask the server."""
    if isinstance(error, redis.ResponseError):
        with contextlib.suppress(redis.RedisError, OSError):
            return _strange(client) or type(error).__name__
    return type(error).__name__


def _strange(client: redis.Redis) -> str:
    pipeline = client.pipeline(transaction=False)
    for key in _HELD:
        pipeline.type(key)
    found = zip(_HELD.items(), (kind.decode() for kind in pipeline.execute()), strict=True)
    return ", ".join(f"{key} is a {kind}, not a {ours}" for (key, ours), kind in found if kind not in (ours, "none"))
