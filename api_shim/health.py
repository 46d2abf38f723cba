"""Whether the process is alive, and whether everything is there that it needs."""

from typing import Literal

import msgspec

from api_shim.operations import Call, Reply
from models import migrate
from models.errors import StorageUnavailable


class Live(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"]


class Ready(msgspec.Struct):
    """``missing`` names what is not there: ``database``, ``schema`` (not at its newest revision), ``broker``."""

    status: Literal["ok", "unavailable"]
    missing: list[str]


async def live(call: Call) -> Reply:
    """200 while the process answers at all."""
    return Reply(Live(status="ok"))


async def ready(call: Call) -> Reply:
    """200 where everything is there, 503 where something is missing."""
    missing: list[str] = []
    try:
        if not await migrate.at_head(call.services.database):
            missing.append("schema")
    except StorageUnavailable:
        missing.append("database")
    if not await call.services.wakeups.reachable():
        missing.append("broker")
    if missing:
        return Reply(Ready(status="unavailable", missing=missing), status=503)
    return Reply(Ready(status="ok", missing=[]))
