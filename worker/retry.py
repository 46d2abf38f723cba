"""When to try again: a pure function of the channel, the tries so far and what the peer asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.vocabulary import Channel

_MINUTE: Final = 60
_HOUR: Final = 3600

# The pause before each next try, in seconds. A message whose schedule ends is given up.
SCHEDULES: Final[Mapping[Channel, Sequence[int]]] = {
    # Greylisting wants minutes; RFC 5321, section 4.5.4.1 wants four to five days at most, a day serves people.
    Channel.EMAIL: (5, 60, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 8 * _HOUR),
    # A push that is hours late helps nobody.
    Channel.PUSH: (5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE, _HOUR),
    Channel.TELEGRAM: (5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE, _HOUR),
    Channel.ONSITE: (1, 5, 30, 2 * _MINUTE, 10 * _MINUTE),
    # Standard Webhooks 1.0.0, "Retry schedule": about three days in all.
    Channel.WEBHOOK: (
        5,
        5 * _MINUTE,
        30 * _MINUTE,
        2 * _HOUR,
        5 * _HOUR,
        10 * _HOUR,
        14 * _HOUR,
        20 * _HOUR,
        24 * _HOUR,
    ),
}

_JITTER: Final = 0.2
_LONGEST_ASKED_S: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Again:
    """Try again, ``delay_ms`` from now."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Every try of the schedule was used."""


def decide(channel: Channel, tries: int, *, retry_after_s: float | None, luck: float) -> Again | GiveUp:
    """What follows the ``tries``-th try that failed for now (counting from 1).

    ``retry_after_s`` is what the peer asked for; it can lengthen the pause, to a day at most, never shorten it.
    ``luck``, from 0 to 1, spreads the pause by a fifth either way, so that many do not come back at once.
    """
    schedule = SCHEDULES[channel]
    if tries > len(schedule):
        return GiveUp()
    pause = schedule[tries - 1] * (1 + _JITTER * (2 * luck - 1))
    if retry_after_s is not None:
        pause = max(pause, min(retry_after_s, _LONGEST_ASKED_S))
    return Again(round(pause * 1000))
