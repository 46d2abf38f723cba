"""What ``wireroom doctor`` finds of the broker: whether it takes wake-ups, and what it does when it is full."""

import asyncio
from collections.abc import Mapping
from typing import Final

import redis

from models.errors import InvalidSetting
from models.settings import StorageSettings
from wireroom.embedded import EmbeddedBroker
from wireroom.finding import TIMEOUT_S, Finding
from worker.redis_client import connect, try_out
from worker.redis_keys import Occupied

_KEEPS_ALL: Final = "noeviction"
_NEARLY: Final = 0.9
_MEGABYTE: Final = 1 << 20


async def examine(storage: StorageSettings) -> Finding:
    """Its finding; nothing but a key of a second's life is written."""
    if storage.broker_is_embedded:
        running = EmbeddedBroker(storage.data_dir).answers()
        return Finding("broker", ok=True, detail="embedded, " + ("answers" if running else "starts with `wireroom up`"))
    try:
        with connect(storage.redis_url, connections=1, timeout_s=TIMEOUT_S) as client:
            await asyncio.to_thread(try_out, client)
            told = await asyncio.to_thread(_ask, client)
    except InvalidSetting as error:
        return Finding("broker", ok=False, detail=str(error), mend="correct the variable")
    except Occupied as error:
        mend = "give Wireroom a database of its own in WIREROOM_REDIS_URL, or remove these keys"
        return Finding("broker", ok=False, detail=f"somebody else writes there: {error}", mend=mend)
    except redis.RedisError as error:
        mend = "start it, or correct WIREROOM_REDIS_URL"
        return Finding("broker", ok=False, detail=f"cannot be used ({type(error).__name__})", mend=mend)
    return weigh(told)


def _ask(client: redis.Redis) -> Mapping[str, object]:
    """What the server tells of its memory and its disk; nothing, where this user may not ask."""
    try:
        return {**client.info("memory"), **client.info("persistence")}
    except redis.ResponseError:
        return {}


def weigh(told: Mapping[str, object]) -> Finding:
    """A server that answers; ``told``: fields of INFO's sections "memory" and "persistence".

    https://valkey.io/commands/info. Nothing here is a fault: what a broker loses is asked for again.
    """
    used, most = (int(str(told.get(name, 0))) for name in ("used_memory", "maxmemory"))
    policy = str(told.get("maxmemory_policy", _KEEPS_ALL))
    room = f", {used / _MEGABYTE:.0f} of {most / _MEGABYTE:.0f} MB used, {policy}" if most else ", no limit of memory"
    detail = f"answers{room}" if told else "answers; this user may not ask how much memory it has"
    if most and policy != _KEEPS_ALL:
        mend = f"set maxmemory-policy to {_KEEPS_ALL}: it throws away wake-ups, and counts that keep limits, when full"
        return Finding("broker", ok=True, detail=detail, mend=mend)
    if most and used > _NEARLY * most:
        mend = "raise maxmemory, or find out who else writes there: full, it takes no wake-ups"
        return Finding("broker", ok=True, detail=detail, mend=mend)
    if told.get("rdb_last_bgsave_status", "ok") != "ok":
        mend = 'free its disk, or switch saving off (save ""): nothing here needs it, and it may come to refuse writes'
        return Finding("broker", ok=True, detail=f"{detail}; it cannot save to its disk", mend=mend)
    return Finding("broker", ok=True, detail=detail)
