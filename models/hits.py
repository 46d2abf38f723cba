"""Whether a person or a program asked for a link of ours: a pure rule over all that asked for one message's links.

A program is told by signals, which add up: a strong one is enough, of the weak ones it takes two. What the request
itself shows is read when it comes (``signals_of``); what only others beside it show, and how long ago the message was
sent, once ``SETTLES_MS`` have gone by (``verdicts``). Neither address nor user agent is kept, only what they told.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from models import hit_agents
from models.evidence import HitSignal

OPEN: Final = "open"
CLICK: Final = "click"
"""What the events of hits are called, and no others of ours."""

SETTLES_MS: Final = 10_000
BURST_MS: Final = 2_000
"""Who follows ``_MANY_LINKS`` of a message within this time is no person."""
MOST_KEPT: Final = 1_000
"""Of the hits on one message: who has its links and asks for them without end fills no table."""

_AT_ONCE_MS: Final = 2_000
_SOON_MS: Final = 10_000
_MANY_LINKS: Final = 3
_ENOUGH: Final = 2

_WEAK: Final = frozenset({HitSignal.NO_PAGE, HitSignal.NO_LANGUAGE, HitSignal.SOON})
_PREFETCH_HEADERS: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_PREFETCH_WORDS: Final = ("prefetch", "prerender", "preview")


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a hit. ``link``: its number, None for the picture; ``network``: what the operator calls it."""

    link: int | None = None
    signals: tuple[HitSignal, ...] = ()
    network: str = ""


_DECODER: Final = msgspec.json.Decoder(Seen)


def keep(seen: Seen) -> bytes:
    """The form in which it is stored."""
    return msgspec.json.encode(seen)


def read(kept: bytes) -> Seen:
    """What was kept; of an erased person nothing is."""
    return _DECODER.decode(kept) if kept else Seen()


class Hit(NamedTuple):
    """A hit on one message in one run. ``at``: when it came, milliseconds by the database's clock."""

    id: UUID
    at: int
    seen: Seen


class Verdict(NamedTuple):
    """What a hit was, and why."""

    machine: bool
    reason: str | None


def signals_of(headers: Mapping[str, str], *, is_picture: bool) -> list[HitSignal]:
    """What the request itself shows. ``headers``: names in lower case.

    A picture is asked for by mail programs of all kinds, which say little of what they would take.
    """
    found: list[HitSignal] = []
    if any(word in headers.get(name, "").lower() for name in _PREFETCH_HEADERS for word in _PREFETCH_WORDS):
        found.append(HitSignal.PREFETCH)
    agent = hit_agents.signal_of(headers.get("user-agent", ""), is_picture=is_picture)
    if agent is not None:
        found.append(agent)
    if not is_picture:
        if "text/html" not in headers.get("accept", "").lower():
            found.append(HitSignal.NO_PAGE)
        if not headers.get("accept-language"):
            found.append(HitSignal.NO_LANGUAGE)
    return found


def verdict_of(seen: Seen, more: Iterable[HitSignal] = ()) -> Verdict:
    """What it is by these signals: in any order and number the same."""
    signals = sorted({*seen.signals, *more}, key=list(HitSignal).index)
    if not signals:
        return Verdict(False, None)
    machine = HitSignal.PROXY not in signals and sum(1 if each in _WEAK else _ENOUGH for each in signals) >= _ENOUGH
    named = [f"{each.value} {seen.network}" if each is HitSignal.NETWORK else each.value for each in signals]
    return Verdict(machine, ", ".join([each.rstrip() for each in named]))


def verdicts(hits: Collection[Hit], sent: Sequence[int]) -> dict[UUID, Verdict]:
    """What each hit was, by its id: whatever their order is, and however often one is named.

    ``sent``: when a peer accepted the message, each time (milliseconds).
    """
    in_burst = _in_burst(hits)
    return {
        hit.id: verdict_of(hit.seen, [*_time_signals(hit.at, sent), *([HitSignal.BURST] if hit.id in in_burst else [])])
        for hit in hits
    }


def _time_signals(at: int, sent: Sequence[int]) -> list[HitSignal]:
    """By the latest send before it. What comes before the first send is on record came right after it."""
    if not sent:
        return []
    age = at - max([each for each in sent if each <= at], default=at)
    if age <= _AT_ONCE_MS:
        return [HitSignal.AT_ONCE]
    return [HitSignal.SOON] if age <= _SOON_MS else []


def _in_burst(hits: Collection[Hit]) -> set[UUID]:
    """Those, pictures too, that came together with many different links, all within ``BURST_MS``."""
    ordered = sorted(set(hits), key=lambda hit: (hit.at, hit.id))
    links: Counter[int] = Counter()
    found: set[UUID] = set()
    end = marked = 0
    for start, first in enumerate(ordered):
        while end < len(ordered) and ordered[end].at - first.at <= BURST_MS:
            if (link := ordered[end].seen.link) is not None:
                links[link] += 1
            end += 1
        if len(links) >= _MANY_LINKS:
            found.update(hit.id for hit in ordered[max(start, marked) : end])
            marked = end
        if (link := first.seen.link) is not None:
            links[link] -= 1
            if not links[link]:
                del links[link]
    return found
