"""The figures on a terminal."""

import pstats
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.machine import Machine, interpreter
from bench.results import Report

_TOP: Final = 25


def show(console: Console, report: Report) -> None:
    """Both tables, and what they were taken on. "by cpu" is ``cpu_ratio``."""
    console.print(_ratios(report))
    console.print(_processor_time(report))
    for row in report.rows:
        if row.sink is None:
            continue
        console.print(
            f"{row.id}: the sink alone takes {row.sink.rate:,.0f}/s, {row.sink.times:.1f} times what was asked of it; "
            f"bytes of content a message: ours {row.size:,.0f}, bare loop {row.size_against:,.0f}",
            style="dim",
            highlight=False,
        )
    for line in _machine(report.machine):
        console.print(line, style="dim", highlight=False)


def show_profile(console: Console, row_id: str, stats: pstats.Stats) -> None:
    """The functions with the most time of their own, on the worker's event loop."""
    console.print(f"\n[bold]{row_id}: the worker's event loop under cProfile, which makes calls look dearer[/]")
    stats.stream = console.file  # type: ignore[attr-defined]  # documented as an argument of Stats only
    stats.sort_stats("tottime").print_stats(_TOP)


def _ratios(report: Report) -> Table:
    first = report.rows[0]
    title = f"Messages, or events, per second: {len(first.pairs)} pairs, {first.messages:,} on each side"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("row", no_wrap=True)
    for name in ("ours", "bare loop", "ratio", "range", "by cpu", "others"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            row.id,
            f"{row.ours:,.0f}",
            f"{row.against:,.0f}",
            f"[bold]{row.ratio:.2f}[/]",
            f"{row.spread[0]:.2f}-{row.spread[1]:.2f}",
            f"{row.cpu_ratio:.2f}",
            f"{row.others:.0%}",
        )
    return table


def _processor_time(report: Report) -> Table:
    table = Table(title="Processor seconds per 1,000 messages, or events", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("processes", no_wrap=True)
    for row in report.rows:
        table.add_column(row.id, justify="right")
    used = [{**row.cpu_against, **row.cpu} for row in report.rows]
    for name in dict.fromkeys(name for each in used for name in each):
        table.add_row(name, *(f"{each[name]:.3f}" if name in each else "" for each in used))
    return table


def _machine(machine: Machine) -> list[str]:
    cores = "worker and bare loop on a core of their own" if machine.pinned else "nothing pinned to a core"
    return [
        interpreter(machine),
        ", ".join(f"{name} {version}" for name, version in machine.libraries.items()),
        f"{machine.database}; one small fsync takes {machine.fsync_us:.0f} µs",
        f"{machine.processor}, {machine.cores} cores, {cores}; {machine.system}; load before {machine.load_before:.1f}",
    ]
