"""Times as people write them on the command line: how long from now, or when."""

import re
from datetime import UTC, datetime
from typing import Final

from models import timestamps

_DURATION: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
FORMS: Final = "give 45m, 12h, 30d or 2w, a date as 2030-01-31, or a time as 2030-01-31T12:00:00Z"


def after(text: str, now: int) -> int:
    """Milliseconds (UTC) of a duration from ``now`` (``45m``, ``12h``, ``30d``, ``2w``), or of a date or a time.

    Dates and times are RFC 3339. Raises ValueError, saying the forms, where it is neither.
    """
    return _moment(text, now, 1)


def before(text: str, now: int) -> int:
    """The same, a duration being one that has passed."""
    return _moment(text, now, -1)


def _moment(text: str, now: int, direction: int) -> int:
    try:
        if found := _DURATION.fullmatch(text):
            moment = now + direction * int(found[1]) * _UNIT_MS[found[2]]
            timestamps.show(moment)  # a calendar has an end, on either side
            return moment
        if len(text) == len("2026-01-15"):
            return timestamps.from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
        return timestamps.parse(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: {FORMS}") from None
