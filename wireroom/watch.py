"""``wireroom watch``: what waits, what is being sent and what wants attention, live, as the API tells it."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from models.vocabulary import Lane, Status
from wireroom import options
from wireroom.output import console

if TYPE_CHECKING:
    from wireroom.api import Client

_PATH: Final = "/lanes"
_RATE_OVER_S: Final = 10.0
_PENDING: Final = frozenset({Status.QUEUED.value, Status.SENDING.value})
LATE_S: Final = 60.0
"""A lane is late when its next message has been due for so long, and in bulk nothing moves: as the keeper says it."""


def run(
    interval: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 2.0,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How far back the latest messages go.")] = 5,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    workspace: options.WorkspaceOption = None,
    token: options.TokenOption = None,
    url: options.UrlOption = None,
    as_json: options.AsJson = False,
) -> None:
    """See what waits in each lane, how fast it goes, and what wants attention. Ctrl-C ends it."""
    client = options.client(workspace, token, url)
    try:
        asyncio.run(Watch(client, interval, minutes).run(once=once, as_json=as_json))
    except KeyboardInterrupt:  # that is how one ends it
        raise typer.Exit(0) from None


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages a second: accepted, and brought to an end (sent, or not to be sent any more)."""

    accepted: float
    ended: float


@dataclass(slots=True)
class Pace:
    """Learns from the totals of one look after the other how fast each channel goes. Pure.

    What retention removes meanwhile is missing in both: neither falls below nothing.
    """

    _seen: deque[tuple[float, Mapping[str, tuple[int, int]]]] = field(default_factory=deque)

    def learn(self, look: Mapping[str, Any], now: float) -> dict[str, Rate]:
        """The rate of each channel over the last ten seconds; empty at the first look. ``now``: monotonic seconds."""
        totals: dict[str, tuple[int, int]] = {}
        for each in look["statuses"]:
            accepted, ended = totals.get(each["channel"], (0, 0))
            is_over = each["status"] not in _PENDING
            totals[each["channel"]] = (accepted + each["total"], ended + each["total"] * is_over)
        self._seen.append((now, totals))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RATE_OVER_S:
            self._seen.popleft()
        then, before = self._seen[0]
        if now <= then:
            return {}
        rates = {}
        for channel, (accepted, ended) in totals.items():
            old = before.get(channel, (0, 0))
            rates[channel] = Rate(
                max(0.0, (accepted - old[0]) / (now - then)), max(0.0, (ended - old[1]) / (now - then))
            )
        return rates


def attention(look: Mapping[str, Any], rates: Mapping[str, Rate]) -> list[str]:
    """What a person should look at, the worst first, and what to do about it. Pure."""
    said = [
        f"{channel} rests: its sender is misconfigured. `wireroom doctor` says how to mend it"
        for channel in look["resting"]
    ]
    for lane in look["lanes"]:
        channel, waited = lane["channel"], lane["oldestSeconds"] or 0.0
        rate = rates.get(channel)
        moves = rate is None or rate.ended > 0
        if waited > LATE_S and channel not in look["resting"] and (lane["lane"] == Lane.TRANSACTIONAL or not moves):
            said.append(f"{channel} {lane['lane']} is late: the next message has been due for {age(waited)}")
    ours = look["undelivered"].get("ours", 0)
    if ours:
        since = f"{look['minutes']}m"
        said.append(f"{ours:,} failed by this installation's fault: `wireroom replay --since {since} --fault ours`")
    if look["held"]:
        said.append(f"{look['held']:,} held: nobody knows whether they arrived. `GET …/messages?held=true` lists them")
    return said


def age(seconds: float) -> str:
    """A time that has passed, in the unit that fits it."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


@dataclass(slots=True)
class Seen:
    """What a look found. ``missed``: what was said instead of an answer the last time."""

    look: dict[str, Any]
    rates: dict[str, Rate]
    missed: str | None = None

    @property
    def attention(self) -> list[str]:
        """What wants it."""
        return attention(self.look, self.rates)

    def report(self) -> dict[str, Any]:
        """The same for programs."""
        rates = {
            channel: {"accepted": round(rate.accepted, 1), "ended": round(rate.ended, 1)}
            for channel, rate in self.rates.items()
        }
        return {**self.look, "ratesPerSecond": rates, "attention": self.attention, "missed": self.missed}


class Watch:
    """Looks again and again, and shows what it found: as a board, a line each, or JSON."""

    def __init__(self, client: "Client", interval_s: float, minutes: int) -> None:
        self._client = client
        self._interval_s = interval_s
        self._minutes = minutes
        self._pace = Pace()

    async def run(self, *, once: bool, as_json: bool) -> None:
        """Look until cancelled, or once. Raises ApiError where the first look fails, or the API refuses a later one."""
        async with self._client:
            seen = await self._look(None)
            if once:
                self._print(seen, as_json=as_json, whole=console().is_terminal)
            elif as_json or not console().is_terminal:
                while True:
                    self._print(seen, as_json=as_json, whole=False)
                    await asyncio.sleep(self._interval_s)
                    seen = await self._look(seen)
            else:
                await self._live(seen)

    def _print(self, seen: Seen, *, as_json: bool, whole: bool) -> None:
        from wireroom import watch_view  # noqa: PLC0415 - it loads rich's tables

        if as_json:
            typer.echo(json.dumps(seen.report()))
        elif whole:
            console().print(watch_view.board(seen, self._client.url, console()))
        else:
            typer.echo(watch_view.line(seen))

    async def _live(self, seen: Seen) -> None:
        from rich.live import Live  # noqa: PLC0415 - as above

        from wireroom import watch_view  # noqa: PLC0415 - as above

        screen = console()
        with Live(watch_view.board(seen, self._client.url, screen), console=screen, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(self._interval_s)
                seen = await self._look(seen)
                live.update(watch_view.board(seen, self._client.url, screen), refresh=True)

    async def _look(self, before: Seen | None) -> Seen:
        """What the API says now; while it is away, what it said ``before``."""
        from wireroom import api, client  # noqa: PLC0415 - a web client's library costs a quarter of a second

        try:
            look = await self._client.api.request("GET", _PATH, params={"minutes": self._minutes})
        except (client.NoAnswer, client.Busy) as error:
            if before is None:
                raise api.shown(error) from error
            return Seen(before.look, {}, missed=str(error))
        except client.ApiError as error:
            raise api.shown(error) from error
        return Seen(look, self._pace.learn(look, time.monotonic()))
