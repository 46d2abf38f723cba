"""Bars of how many messages stand in each status, for a terminal: what ``demo`` and ``watch`` show alike."""

from collections import Counter
from typing import Final

from rich.table import Table
from rich.text import Text

from models.vocabulary import Channel, Status

COLOURS: Final[dict[Status, str]] = {
    Status.QUEUED: "grey50",
    Status.SENDING: "yellow",
    Status.SENT: "cyan",
    Status.DELIVERED: "blue",
    Status.OPENED: "magenta",
    Status.CLICKED: "green",
    Status.BOUNCED: "red",
    Status.FAILED: "bright_red",
    Status.UNSUBSCRIBED: "orange3",
}


def status_bars(totals: Counter[tuple[Channel, Status]], width: int) -> Table:
    """A bar for each status, the longest of ``width`` cells."""
    counts = {status: sum(totals[channel, status] for channel in Channel) for status in Status}
    most = max(*counts.values(), 1)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=12)
    grid.add_column(width=width)
    grid.add_column(justify="right", min_width=4)
    for status, count in counts.items():
        colour = COLOURS[status] if count else "grey39"
        bar = Text("█" * max(round(width * count / most), 1 if count else 0), style=colour)
        grid.add_row(Text(status.value, style=colour), bar, Text(f"{count:,}" if count else "·", style=colour))
    return grid


def stacked_bar(totals: Counter[tuple[Channel, Status]], channel: Channel, count: int, width: int) -> Text:
    """One bar of ``width`` cells, cut into the channel's statuses."""
    bar, drawn, summed = Text(), 0, 0
    for status in reversed(Status):
        summed += totals[channel, status]
        cells = round(width * summed / max(count, 1)) - drawn
        bar.append("█" * cells, style=COLOURS[status])
        drawn += cells
    return bar
