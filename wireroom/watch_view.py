"""What ``wireroom watch`` shows: a board for a terminal, or a line."""

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.vocabulary import Channel, Status
from wireroom.status_bars import COLOURS, stacked_bar, status_bars
from wireroom.watch import LATE_S, Rate, Seen, age

_MOST_COUNTED: Final = 10_000
_BAR: Final = range(8, 41)
_NARROW: Final = 100
"""Columns of a terminal, below which panels stand under each other."""


def line(seen: Seen) -> str:
    """Everything that waits, in one line."""
    said = [seen.look["at"]]
    for channel, lanes in _by_channel(seen.look):
        rate = seen.rates.get(channel)
        going = "" if rate is None else f", {rate.ended:.1f}/s"
        waiting = [_waiting(lane) for lane in lanes if lane["ready"] or lane["later"] or lane["inFlight"]]
        said.append(f"{channel} {'; '.join(waiting) or 'nothing waits'}{going}")
    said += [f"! {each}" for each in seen.attention]
    if seen.missed is not None:
        said.append(f"! {seen.missed}")
    return "  ".join(said) if len(said) > 1 else f"{said[0]}  no message yet"


def _waiting(lane: Mapping[str, Any]) -> str:
    said = (
        f"{lane['lane']} {_number(lane['ready'])} ready, {_number(lane['later'])} later, {lane['inFlight']:,} in flight"
    )
    return said if lane["oldestSeconds"] is None else f"{said}, oldest {age(lane['oldestSeconds'])}"


def board(seen: Seen, url: str, console: Console) -> RenderableType:
    """All of it, for a console of its present size."""
    recent = Counter(
        {(Channel(each["channel"]), Status(each["status"])): int(each["recent"]) for each in seen.look["statuses"]}
    )
    is_narrow = console.size.width < _NARROW
    room = console.size.width if is_narrow else console.size.width // 2
    width = min(max(room - 28, _BAR.start), _BAR.stop)
    minutes = seen.look["minutes"]
    said = "the last minute's messages" if minutes == 1 else f"messages of the last {minutes} minutes"
    statuses = Panel(status_bars(recent, width), title=f"{said}, by status", border_style="grey50")
    channels = Panel(_channels(recent, width), title="the same, by channel", border_style="grey50")
    # Of what a small screen does not hold, the end is cut.
    lower: RenderableType = Group(_attention(seen), statuses, channels)
    if not is_narrow:
        grid = Table.grid(expand=True)
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(statuses, Group(channels, _attention(seen)))
        lower = grid
    title = f"[bold]Wireroom[/] · {escape(url)}"
    lanes = Panel(_lanes(seen), title=title, subtitle=_when(seen), border_style="red" if seen.missed else "green")
    return Group(lanes, lower)


def _when(seen: Seen) -> str:
    at = seen.look["at"].replace("T", " ").partition(".")[0] + " UTC"
    return f"[red]{escape(seen.missed)}; this was at {at}[/]" if seen.missed else at


def _by_channel(look: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The lanes of each channel that any message went by, or waits in."""
    known = {each["channel"] for each in look["statuses"]}
    lanes = groupby(look["lanes"], itemgetter("channel"))
    return [(channel, list(each)) for channel, each in lanes if channel in known]


def _lanes(seen: Seen) -> RenderableType:
    channels = _by_channel(seen.look)
    if not channels:
        return Text("No message yet: `wireroom send` sends one.", style="dim")
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for name in ("channel", "lane"):
        table.add_column(name, no_wrap=True)
    for name in ("ready", "oldest", "later", "in flight", "in /s", "out /s"):
        table.add_column(name, justify="right", no_wrap=True)
    for channel, lanes in channels:
        for lane in lanes:
            is_first = lane is lanes[0]
            rate = seen.rates.get(channel)
            table.add_row(
                Text(channel if is_first else "", style="bold"),
                lane["lane"],
                _count(lane["ready"]),
                _oldest(lane["oldestSeconds"]),
                _count(lane["later"]),
                _count(lane["inFlight"], COLOURS[Status.SENDING]),
                *(_rates(rate) if is_first else ("", "")),
            )
    return table


def _number(count: int) -> str:
    return f"{count:,}+" if count >= _MOST_COUNTED else f"{count:,}"


def _count(count: int, style: str = "") -> Text:
    return Text(_number(count), style=style) if count else Text("·", style="grey39")


def _oldest(seconds: float | None) -> Text:
    if seconds is None:
        return Text("·", style="grey39")
    return Text(age(seconds), style="bold red" if seconds > LATE_S else "")


def _rates(rate: Rate | None) -> tuple[Text, Text]:
    """A look alone knows none."""
    if rate is None:
        return Text("·", style="grey39"), Text("·", style="grey39")
    accepted, ended = (Text(f"{each:,.1f}", style="" if each else "grey39") for each in (rate.accepted, rate.ended))
    return accepted, ended


def _channels(recent: Counter[tuple[Channel, Status]], width: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=8)
    grid.add_column(width=width)
    grid.add_column(justify="right", min_width=4)
    for channel in Channel:
        count = sum(recent[channel, status] for status in Status)
        shown = Text(f"{count:,}" if count else "·", style="" if count else "grey39")
        grid.add_row(channel.value, stacked_bar(recent, channel, count, width), shown)
    return grid


def _attention(seen: Seen) -> Panel:
    said = seen.attention
    if not said:
        return Panel(Text("Nothing wants attention.", style="green"), border_style="grey50")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="bold red")
    grid.add_column(overflow="fold")
    for each in said:
        grid.add_row("!", Text(each))
    return Panel(grid, title="wants attention", border_style="red")
