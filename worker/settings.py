"""How much the workers do at a time."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from models.errors import InvalidSetting
from models.settings import public_url
from models.vocabulary import Channel

THREADS: Final = 8
"""Of one worker's process."""

# Mail: enough to keep ten connections busy while a chunk is recorded. The others: as many requests at once.
_MAX_INFLIGHT: Final[Mapping[Channel, int]] = {
    Channel.EMAIL: 800,
    Channel.PUSH: 400,
    Channel.TELEGRAM: 120,
    Channel.ONSITE: 800,
    Channel.WEBHOOK: 400,
}


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """``max_inflight``: messages in hand per channel, of one process. ``public_url``: where our own links lead to.

    ``rate``: messages begun per second by all processes together, None without a limit.
    """

    public_url: str
    max_inflight: Mapping[Channel, int]
    rate: Mapping[Channel, float | None]

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read ``WIREROOM_MAX_INFLIGHT_<CHANNEL>`` and ``WIREROOM_RATE_<CHANNEL>``; raises InvalidSetting."""
        inflight = {}
        rate = {}
        for channel in Channel:
            count = _number(environ, f"WIREROOM_MAX_INFLIGHT_{channel}")
            inflight[channel] = _MAX_INFLIGHT[channel] if count is None else int(count)
            rate[channel] = _number(environ, f"WIREROOM_RATE_{channel}")
        return cls(public_url=public_url(environ), max_inflight=inflight, rate=rate)


def _number(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise InvalidSetting(f"{name}: {text!r} is no number") from None
    if not 1 <= number < float("inf"):
        raise InvalidSetting(f"{name}: must be 1 or more")
    return number
