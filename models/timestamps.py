"""Times: milliseconds since 1970 (UTC) inside, RFC 3339 with milliseconds and ``Z`` outside."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - without its zone, which would be shown as +00:00


@lru_cache(maxsize=1024)  # the messages of a batch share their times
def show(millis: int) -> str:
    """RFC 3339, UTC, milliseconds, ``Z``."""
    moment = _EPOCH + timedelta(milliseconds=millis)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def show_optional(millis: int | None) -> str | None:
    """The same, None for None."""
    return None if millis is None else show(millis)


def parse(text: str) -> int:
    """Milliseconds of an RFC 3339 time; raises ValueError where the zone is missing or it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, as in 2026-01-15T10:00:00.000Z")
    return from_datetime(moment)


def from_datetime(moment: datetime) -> int:
    """Milliseconds of an aware datetime."""
    return round(moment.timestamp() * 1000)
