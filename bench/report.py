"""The figures on a terminal."""

import pstats
from collections.abc import Iterator, Mapping
from statistics import mode
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.machine import Machine, interpreter
from bench.results import Report, RowResult

_TOP: Final = 25
_LEAST_SHOWN_S: Final = 0.0005
_WIDE: Final = 120
_BUSY: Final = 0.1


def show(console: Console, report: Report) -> None:
    """The tables, what has no figures and why, and what all were taken on. "by cpu" is ``cpu_ratio``."""
    there = [row for row in report.rows if row.left_out is None and row.failed is None]
    if there:
        console.print(_figures(there, with_rivals=console.width >= _WIDE))
    if timed := [row for row in there if row.cpu]:
        console.print(_processor_time(timed))
    for row in there:
        for line in _remarks(row):
            console.print(line, style="dim", highlight=False)
    for row in report.rows:
        for line, style in _lacking(row):
            console.print(line, style=style, highlight=False, markup=False)
    for line in machine_lines(report.machine):
        console.print(line, style="dim", highlight=False)


def show_profile(console: Console, row_id: str, stats: pstats.Stats) -> None:
    """The functions with the most time of their own, on the worker's event loop."""
    console.print(f"\n[bold]{row_id}: the worker's event loop under cProfile, which makes calls look dearer[/]")
    stats.stream = console.file  # type: ignore[attr-defined]  # documented as an argument of Stats only
    stats.sort_stats("tottime").print_stats(_TOP)


def show_figure(figure: float | None, unit: str) -> str:
    """A figure with its unit; nothing where there is none."""
    if figure is None:
        return ""
    # Rates are large, times and shares small.
    digits = 0 if figure >= 100 else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f}{'/s' if unit.endswith('/s') else f' {unit}'}"


def show_bar(row: RowResult) -> str:
    """What the row has to reach, as in "≥ 0.70" or "≤ 6.00 ms"."""
    if row.bar is None:
        return ""
    value = show_figure(row.bar.value, row.unit) if row.bar.of_ours else f"{row.bar.value:.2f}"
    return f"{'≤' if row.bar.at_most else '≥'} {value}"


def is_short(row: RowResult) -> bool:
    """Whether the row does not reach its bar."""
    if row.bar is None:
        return False
    figure = row.ours if row.bar.of_ours else row.ratio
    return figure is not None and not row.bar.is_reached(figure)


def machine_lines(machine: Machine) -> list[str]:
    """What the figures were taken on."""
    cores = "what is compared on a core of its own" if machine.pinned else "nothing pinned to a core"
    return [
        interpreter(machine),
        ", ".join(f"{name} {version}" for name, version in machine.libraries.items()),
        f"{machine.database}; one small fsync takes {machine.fsync_us:.0f} µs",
        f"{machine.processor}, {machine.cores} cores, {cores}; {machine.system}; load before {machine.load_before:.1f}",
    ]


def _figures(rows: list[RowResult], *, with_rivals: bool) -> Table:
    pairs = max(len(row.pairs) for row in rows)
    title = f"Pairs: {pairs}; messages on each side, of most rows: {mode(row.messages for row in rows):,}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("row", "against") if with_rivals else ("row",):
        table.add_column(name, no_wrap=True)
    for name in ("ours", "theirs", "ratio", "range", "bar"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        style = "bold red" if is_short(row) else "bold"
        low, high = row.spread or (0.0, 0.0)
        ours = show_figure(row.ours, row.unit)
        table.add_row(
            row.id,
            *([row.rival] if with_rivals else []),
            f"[{style}]{ours}[/]" if row.bar is not None and row.bar.of_ours else ours,
            show_figure(row.against, row.unit),
            "" if row.ratio is None else f"[{style}]{row.ratio:.2f}[/]",
            f"{low:.2f}-{high:.2f}",
            show_bar(row),
        )
    return table


def _processor_time(rows: list[RowResult]) -> Table:
    table = Table(title="Processor seconds per 1,000 messages, or events", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    table.add_column("by cpu", justify="right", no_wrap=True)
    table.add_column("ours")
    table.add_column("theirs")
    for row in rows:
        ratio = "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}"
        table.add_row(row.id, ratio, _shares(row.cpu), _shares(row.cpu_against))
    return table


def _shares(cpu: Mapping[str, float]) -> str:
    by_size = sorted(cpu.items(), key=lambda share: -share[1])
    return ", ".join(f"{name} {seconds:.3f}" for name, seconds in by_size if seconds >= _LEAST_SHOWN_S)


def _lacking(row: RowResult) -> Iterator[tuple[str, str]]:
    """Why a row has no figures, and in which colour that is said."""
    if row.left_out is not None:
        yield f"{row.id} was left out: {row.left_out}", "yellow"
    if row.failed is not None:
        yield f"{row.id} failed: {row.failed}", "red"


def _remarks(row: RowResult) -> list[str]:
    found = []
    if row.sink is not None:
        found.append(
            f"{row.id}: the sink alone takes {row.sink.rate:,.0f}/s, {row.sink.times:.1f} times what was asked of it; "
            f"bytes of content a message: ours {row.size:,.0f}, theirs {row.size_against:,.0f}"
        )
    if row.others is not None and row.others > _BUSY:
        found.append(f"{row.id}: other programs had {row.others:.0%} of the core; take it again on a quiet machine")
    if row.figures:
        found.append(f"{row.id}: {', '.join(f'{name} {figure:,.2f}' for name, figure in row.figures.items())}")
    return found
