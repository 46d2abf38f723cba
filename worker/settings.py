"""How much the workers do at a time."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from models.errors import InvalidSetting
from models.settings import TraceSettings, is_port, number, place, public_url
from models.vocabulary import Channel

THREADS: Final = 8
"""Of one worker's process."""

AUDIT_DAYS: Final = 400
"""How long entries of the audit log are kept, unless ``WIREROOM_AUDIT_DAYS`` says otherwise: a year and a month."""
_LEAST_AUDIT_DAYS: Final = 30
_MOST_AUDIT_DAYS: Final = 36_500

METRICS_VARIABLE: Final = "WIREROOM_METRICS_BIND"
_METRICS_EXAMPLE: Final = "127.0.0.1:9410-9419"

# Mail: enough to keep ten connections busy while a chunk is recorded. The others: as many requests at once.
_MAX_INFLIGHT: Final[Mapping[Channel, int]] = {
    Channel.EMAIL: 800,
    Channel.PUSH: 400,
    Channel.TELEGRAM: 120,
    Channel.ONSITE: 800,
    Channel.WEBHOOK: 400,
}


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where a worker or the keeper answers for its metrics: on the first of ``ports`` that is free."""

    host: str
    ports: Sequence[int]

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self | None:
        """Read ``WIREROOM_METRICS_BIND`` (``host:port``, ``host:first-last``); None: nowhere. Raises InvalidSetting."""
        bind = environ.get(METRICS_VARIABLE)
        if not bind:
            return None
        before, _, ports = bind.rpartition(":")
        lowest, dash, highest = ports.partition("-")
        host, first = place(METRICS_VARIABLE, f"{before}:{lowest}", _METRICS_EXAMPLE)
        last = int(highest) if is_port(highest) else 0
        if dash and not 0 < first <= last:
            raise InvalidSetting(f"{METRICS_VARIABLE}: {bind!r} is no host:first-last, as in {_METRICS_EXAMPLE}")
        return cls(host, range(first, max(first, last) + 1))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """``max_inflight``: messages in hand per channel, of one process. ``public_url``: where our own links lead to.

    ``rate``: messages begun per second by all processes together, None without a limit. ``metrics`` and ``traces``:
    None for nowhere.
    """

    public_url: str
    max_inflight: Mapping[Channel, int]
    rate: Mapping[Channel, float | None]
    metrics: MetricsSettings | None
    traces: TraceSettings | None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read ``WIREROOM_MAX_INFLIGHT_<CHANNEL>``, ``WIREROOM_RATE_<CHANNEL>``, the rest; raises InvalidSetting."""
        inflight = {}
        rate = {}
        for channel in Channel:
            count = number(environ, f"WIREROOM_MAX_INFLIGHT_{channel}")
            inflight[channel] = _MAX_INFLIGHT[channel] if count is None else int(count)
            rate[channel] = number(environ, f"WIREROOM_RATE_{channel}")
        return cls(
            public_url=public_url(environ),
            max_inflight=inflight,
            rate=rate,
            metrics=MetricsSettings.read(environ),
            traces=TraceSettings.read(environ),
        )


def audit_days(environ: Mapping[str, str] = os.environ) -> int:
    """How many days the keeper keeps the audit log (``WIREROOM_AUDIT_DAYS``); raises InvalidSetting."""
    text = environ.get("WIREROOM_AUDIT_DAYS") or str(AUDIT_DAYS)
    if not (text.isascii() and text.isdigit() and _LEAST_AUDIT_DAYS <= int(text) <= _MOST_AUDIT_DAYS):
        raise InvalidSetting(
            f"WIREROOM_AUDIT_DAYS: {text!r} is no number of days from {_LEAST_AUDIT_DAYS} to {_MOST_AUDIT_DAYS:,}"
        )
    return int(text)
