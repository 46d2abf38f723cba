"""What the demo shows: a live board of messages on their way, or the same as plain lines."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.vocabulary import Channel, Status
from wireroom.status_bars import COLOURS, stacked_bar, status_bars

_WAY: Final = (Status.QUEUED, Status.SENDING, Status.SENT, Status.DELIVERED, Status.OPENED, Status.CLICKED)
_TURNED: Final[dict[Status, int]] = {Status.BOUNCED: 3, Status.FAILED: 2, Status.UNSUBSCRIBED: 5}
"""Where a message left the way: how many of its steps it had taken."""
_LAST: Final[dict[Channel, int]] = {Channel.WEBHOOK: 4, Channel.TELEGRAM: 3}
"""How many steps the way of a channel has, where it is not all of them."""
_BAR: Final = range(8, 41)


@dataclass(slots=True)
class Shown:
    """A message as the board knows it."""

    message_id: str
    channel: Channel
    to: str
    subject: str
    status: Status = Status.QUEUED


@dataclass(slots=True)
class Board:
    """Every message of the demo, in the order of sending, and how long it has run."""

    title: str
    expected: int
    rows: dict[str, Shown] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def totals(self) -> Counter[tuple[Channel, Status]]:
        """How many messages stand in each status, per channel."""
        return Counter((row.channel, row.status) for row in self.rows.values())

    def line(self) -> str:
        """The totals in one line."""
        by_status = Counter(row.status for row in self.rows.values())
        said = " · ".join(f"{by_status[status]} {status.value}" for status in Status if by_status[status])
        return f"{time.monotonic() - self.began:5.1f} s  {said}"


def render(board: Board, console: Console) -> RenderableType:
    """The board for a console of its present size."""
    totals = board.totals()
    height = len(Status) + 2
    width = min(max(console.size.width // 2 - 24, _BAR.start), _BAR.stop)
    lower = Layout(size=height)
    lower.split_row(
        Layout(Panel(status_bars(totals, width), title="by status", border_style="grey50"), ratio=1),
        Layout(_by_channel(board, totals, width), ratio=1),
    )
    room = max(console.size.height - height - 3, 1)
    whole = Layout()
    done = f"{len(board.rows)} of {board.expected} accepted · {time.monotonic() - board.began:.1f} s"
    table = _table(list(board.rows.values())[:room])
    whole.split_column(Layout(Panel(table, title=board.title, subtitle=done, border_style="green")), lower)
    return whole


def step(row: Shown) -> Text:
    """Where one message stands now, in one line."""
    return Text.assemble(
        (row.message_id, "dim"),
        f"  {row.channel.value:8}  {row.to:12}  ",
        (f"{row.status.value:12}", f"bold {COLOURS[row.status]}"),
        f"  {row.subject}",
    )


def _table(rows: Sequence[Shown]) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    table.add_column("message", no_wrap=True, width=10)
    table.add_column("channel", no_wrap=True, width=8)
    table.add_column("to", no_wrap=True, ratio=2, overflow="ellipsis")
    table.add_column("subject", no_wrap=True, ratio=4, overflow="ellipsis")
    table.add_column("its way", no_wrap=True, width=11)
    table.add_column("status", no_wrap=True, width=12)
    for row in rows:
        table.add_row(
            Text(f"…{row.message_id[-8:]}", style="dim"),
            row.channel.value,
            row.to,
            row.subject,
            _way(row),
            Text(row.status.value, style=f"bold {COLOURS[row.status]}"),
        )
    return table


def _way(row: Shown) -> Text:
    """The steps taken and to come, as dots on a line."""
    steps = _LAST.get(row.channel, len(_WAY))
    left = _TURNED.get(row.status)
    taken = left if left is not None else _WAY.index(row.status) + 1
    colour = COLOURS[row.status]
    drawn = Text()
    for step in range(steps):
        if step:
            drawn.append("━" if step < taken else "─", style=colour if step < taken else "grey39")
        mark = "✗" if left is not None and step == taken - 1 else "●"
        drawn.append(mark if step < taken else "○", style=colour if step < taken else "grey39")
    return drawn


def _by_channel(board: Board, totals: Counter[tuple[Channel, Status]], width: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=8)
    grid.add_column(width=width)
    grid.add_column(justify="right", width=4)
    for channel in sorted({channel for channel, _ in totals}):
        count = sum(totals[channel, status] for status in Status)
        grid.add_row(channel.value, stacked_bar(totals, channel, count, width), str(count))
    blocks = Text.assemble(*(("■", COLOURS[row.status]) for row in board.rows.values()))
    return Panel(Group(grid, Text(), blocks), title="by channel, and every message", border_style="grey50")
