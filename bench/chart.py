"""The figures as a picture: a bar for each ratio, the range of its pairs, and the bar to reach."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from bench.machine import Machine, interpreter
from bench.report import is_short, show_bar, show_figure
from bench.results import Report, RowResult

_WIDTH: Final = 960
_LEFT: Final = 250
_RIGHT: Final = 240
_PLOT: Final = _WIDTH - _LEFT - _RIGHT
_ROW: Final = 34
_BAR: Final = 14
_HEAD: Final = 64
_STEPS: Final = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0)
_MOST_STEPS: Final = 6
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2430; }
.title { font-size: 18px; font-weight: 600; }
.panel { font-size: 14px; font-weight: 600; }
.quiet { fill: #667085; font-size: 12px; }
.axis { fill: #667085; font-size: 11px; text-anchor: middle; }
.name { text-anchor: end; }
.grid { stroke: #e4e7ec; }
.good { fill: #3b6fb6; }
.short { fill: #c2542d; }
.range { stroke: #1f2430; stroke-width: 1.5; }
.bar { stroke: #101828; stroke-width: 2; stroke-dasharray: 3 2; }
"""


class _Panel(NamedTuple):
    title: str
    rows: list[RowResult]

    @property
    def height(self) -> int:
        return _HEAD + _ROW * len(self.rows)


def draw(report: Report) -> str:
    """The whole report as SVG 1.1."""
    panels = [panel for panel in _panels(report.rows) if panel.rows]
    figures = [row for row in report.rows if row.ratio is None]
    body: list[str] = [_text(24, 34, "What of a bare client's speed is left", "title")]
    top = 64
    for panel in panels:
        body += _panel(panel, top)
        top += panel.height
    body += _lines(top, figures, report.machine)
    height = top + 24 * (len(figures) + 4)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
    )
    ground = f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", ground, *body, "</svg>", ""])


def _panels(rows: Sequence[RowResult]) -> list[_Panel]:
    there = [row for row in rows if row.ratio is not None]
    times = [row for row in there if row.unit == "ms"]
    peers = [row for row in there if row.peer]
    rest = [row for row in there if row not in times and row not in peers]
    return [
        _Panel("Ours ÷ a bare loop, or ours otherwise: 1 is as fast", rest),
        _Panel("Ours ÷ a peer: how many times as fast", peers),
        _Panel("Time of ours ÷ time of the bare way: 1 is as fast, less is better", times),
    ]


def _panel(panel: _Panel, top: int) -> list[str]:
    step, count = scale(max(_reach(row) for row in panel.rows))
    per_unit = _PLOT / (step * count)
    found = [_text(24, top + 18, panel.title, "panel")]
    bottom = top + _HEAD - 26 + _ROW * len(panel.rows)
    for number in range(count + 1):
        x = _LEFT + number * step * per_unit
        found.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 44}" y2="{bottom}"/>')
        found.append(_text(x, top + 38, f"{number * step:g}", "axis"))
    for number, row in enumerate(panel.rows):
        found += _bars(row, top + _HEAD - 18 + _ROW * number, per_unit)
    return found


def _bars(row: RowResult, y: int, per_unit: float) -> Iterator[str]:
    ratio, (low, high) = row.ratio or 0.0, row.spread or (0.0, 0.0)
    middle = y + _BAR / 2
    yield _text(_LEFT - 10, middle + 4, row.id, "name")
    colour = "short" if is_short(row) else "good"
    yield f'<rect class="{colour}" x="{_LEFT}" y="{y}" width="{ratio * per_unit:.1f}" height="{_BAR}" rx="2"/>'
    left, right = _LEFT + low * per_unit, _LEFT + high * per_unit
    yield f'<line class="range" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>'
    for end in (left, right):
        yield f'<line class="range" x1="{end:.1f}" x2="{end:.1f}" y1="{middle - 4}" y2="{middle + 4}"/>'
    if row.bar is not None and not row.bar.of_ours:
        x = _LEFT + row.bar.value * per_unit
        yield f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 5}" y2="{y + _BAR + 5}"/>'
    told = f"{ratio:.2f}" + (f"  ({show_bar(row)})" if row.bar else "")
    yield _text(_WIDTH - _RIGHT + 14, middle - 2, told, "")
    both = f"{show_figure(row.ours, row.unit)} ÷ {show_figure(row.against, row.unit)}"
    yield _text(_WIDTH - _RIGHT + 14, middle + 12, both, "quiet")


def _lines(top: int, figures: Sequence[RowResult], machine: Machine) -> Iterator[str]:
    said = [f"{row.id}: {_in_words(row)}" for row in figures]
    about = f"{machine.processor}, {machine.cores} cores; {interpreter(machine)}"
    legend = "dashed: the bar to reach; the thin line: from the lowest to the highest of the pairs"
    for number, line in enumerate([*said, legend, about, machine.database]):
        yield _text(24, top + 20 + 24 * number, line, "quiet")


def _in_words(row: RowResult) -> str:
    """A row that has no ratio."""
    if row.left_out is not None:
        return f"left out, {row.left_out}"
    if row.failed is not None:
        return "failed"
    return show_figure(row.ours, row.unit) + (f"  ({show_bar(row)})" if row.bar else "")


def scale(reach: float) -> tuple[float, int]:
    """The step of an axis, and how many of them there are up to ``reach`` or just beyond."""
    for step in _STEPS:
        count = -int(-reach // step)
        if count <= _MOST_STEPS:
            return step, max(1, count)
    return reach / _MOST_STEPS, _MOST_STEPS


def _reach(row: RowResult) -> float:
    """The furthest that anything of a row goes."""
    return max(row.ratio or 0.0, *(row.spread or ()), row.bar.value if row.bar and not row.bar.of_ours else 0.0)


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
