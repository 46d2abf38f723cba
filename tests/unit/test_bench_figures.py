"""What the bench makes of its figures: ratios, bars, the picture, and rows that are left out."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench import report
from bench.bars import BARS, Bar
from bench.chart import draw, scale
from bench.compare import Take, alternate
from bench.errors import BenchFailed, LeftOut
from bench.machine import Machine
from bench.peers import catalogue, install
from bench.results import Measured, Report, Rival, RowResult, compare_figures, own_figure, summarise
from bench.rows import IDS, ROWS, Row
from bench.run import take_all
from bench.scenarios.at_rest import percentile
from tests.support.processes import free_environment

MACHINE = Machine(
    system="Linux 6 x86_64",
    processor="A <processor> & more",
    cores=2,
    pinned=True,
    python="CPython 3.11.2",
    compiler="GCC 12",
    pgo=False,
    lto=False,
    libraries={"uvloop": "1.0"},
    database="PostgreSQL 18",
    fsync_us=47.0,
    load_before=0.1,
)
LOOP = Rival("a loop")
SVG = "{http://www.w3.org/2000/svg}"


def runs(process: str, *seconds: float) -> list[Measured]:
    return [Measured(100, each, {process: each, "database": 1.0}, 1000) for each in seconds]


def row(row_id: str, *, ours: float = 2.0, rival: Rival = LOOP) -> RowResult:
    return summarise(row_id, runs("worker", ours), runs("its worker", 1.0), rival, sink_rate=1000.0)


def report_of(*rows: RowResult) -> Report:
    return Report(list(rows), MACHINE)


def shown(*rows: RowResult) -> str:
    console = Console(file=io.StringIO(), width=200)
    report.show(console, report_of(*rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_ratio_is_the_median_of_the_pairs() -> None:
    figures = summarise(
        "email/aiosmtplib",
        ours=runs("worker", 1.0, 2.0, 4.0),
        against=runs("bare loop", 1.0, 1.0, 1.0),
        rival=Rival("a loop", ("bare loop",)),
        sink_rate=1000.0,
    )
    assert [pair.ratio for pair in figures.pairs] == [1.0, 0.5, 0.25]
    assert (figures.ours, figures.against, figures.ratio, figures.spread) == (50.0, 100.0, 0.5, (0.25, 1.0))
    assert figures.cpu == {"worker": pytest.approx(23.3333), "database": 10.0}
    assert figures.cpu_ratio == pytest.approx(10 / 23.3333, abs=0.001)
    assert figures.sink is not None
    assert figures.sink.times == 10.0
    assert figures.bar == BARS["email/aiosmtplib"]


def test_without_a_word_all_processes_of_the_rival_are_compared() -> None:
    assert row("x").cpu_ratio == pytest.approx((10 + 10) / 20)


def test_a_run_too_short_for_the_systems_clock_has_no_ratio_of_times() -> None:
    too_short = [Measured(100, 1.0, {"worker": 0.0}, 1000)]
    assert summarise("x", too_short, runs("bare loop", 1.0), LOOP).cpu_ratio is None


def test_times_are_compared_as_rates_are() -> None:
    figures = compare_figures("x", [6.0, 9.0], [2.0, 3.0], rival="a commit", unit="ms", messages=100)
    assert (figures.ours, figures.against, figures.ratio, figures.spread) == (7.5, 2.5, 3.0, (3.0, 3.0))


def test_a_figure_may_stand_for_itself() -> None:
    figures = own_figure("memory", [80.0, 90.0, 85.0], unit="MiB", figures={"before MiB": 60.0})
    assert (figures.ours, figures.against, figures.ratio, figures.spread) == (85.0, None, None, (80.0, 90.0))
    assert [pair.ours for pair in figures.pairs] == [80.0, 90.0, 85.0]
    assert "before MiB 60.00" in shown(figures)


def test_a_bar_is_reached_from_below_or_from_above() -> None:
    assert (Bar(0.5).is_reached(0.5), Bar(0.5).is_reached(0.4)) == (True, False)
    assert (Bar(2.0, at_most=True).is_reached(2.0), Bar(2.0, at_most=True).is_reached(2.1)) == (True, False)
    assert [report.is_short(row("email/pipelined", ours=seconds)) for seconds in (3.0, 1.0)] == [True, False]


def test_a_bar_may_be_what_a_ratio_or_our_own_figure_must_not_pass() -> None:
    def latency(ours: float) -> RowResult:
        return compare_figures("idle/latency", [ours], [2.0], rival="a commit", unit="ms", messages=1)

    assert [report.is_short(latency(milliseconds)) for milliseconds in (12.1, 12.0)] == [True, False]
    assert "≤ 6.00" in shown(latency(5.0))
    assert [report.is_short(own_figure("memory", [each], unit="MiB")) for each in (151.0, 150.0)] == [True, False]
    assert "≤ 150 MiB" in shown(own_figure("memory", [80.0], unit="MiB"))


def test_bars_are_of_rows_that_there_are() -> None:
    assert set(BARS) <= set(IDS)
    assert len(set(IDS)) == len(IDS)
    quick = {row_id for each in ROWS if each.quick for row_id in each.ids}
    assert {"email/aiosmtplib", "email/pipelined", "webhook/aiohttp", "email/celery", "email/bullmq"} <= quick


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_a_percentile_is_one_of_the_samples(share: float, expected: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == expected


async def test_sides_take_turns_at_being_first() -> None:
    order: list[str] = []

    def side(name: str) -> Take[int]:
        async def take() -> int:
            order.append(name)
            return len(order)

        return take

    ours, against = await alternate(3, side("ours"), side("theirs"), lambda _words: None)
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert (ours, against) == ([2, 3, 6], [1, 4, 5])


def test_a_picture_has_every_row_and_its_bar() -> None:
    drawn = draw(
        report_of(
            row("email/pipelined"),
            row("email/celery", ours=0.2, rival=Rival("Celery", ("its worker",), is_peer=True)),
            compare_figures("idle/latency", [6.0], [2.0], rival="a commit", unit="ms", messages=100),
            own_figure("memory", [80.0], unit="MiB"),
            RowResult(id="email/bullmq", left_out="there is no <node> here"),
        )
    )
    picture = ElementTree.fromstring(drawn)
    words = [element.text for element in picture.iter(f"{SVG}text")]
    assert {"email/pipelined", "email/celery", "idle/latency"} <= set(words)
    assert "memory: 80.0 MiB  (≤ 150 MiB)" in words
    assert "email/bullmq: left out, there is no <node> here" in words
    boxes = list(picture.iter(f"{SVG}rect"))
    assert [element.get("class") for element in boxes[1:]] == ["good", "short", "good"]
    assert len([each for each in picture.iter(f"{SVG}line") if each.get("class") == "bar"]) == 3
    width = float(picture.get("width", "0"))
    assert all(
        float(each.get("x", "0")) + float(each.get("width", "0")) <= width for each in picture.iter(f"{SVG}rect")
    )


@pytest.mark.parametrize(("reach", "expected"), [(0.9, (0.2, 5)), (1.0, (0.2, 5)), (6.1, (2.0, 4)), (0.01, (0.1, 1))])
def test_an_axis_goes_just_beyond_the_longest_bar(reach: float, expected: tuple[float, int]) -> None:
    assert scale(reach) == expected


def test_a_row_that_was_left_out_says_why() -> None:
    said = shown(row("email/aiosmtplib"), RowResult(id="email/celery", left_out="no network"))
    assert "email/celery was left out: no network" in said
    assert "configured without PGO" in said
    assert "email/celery was left out: no network" in shown(RowResult(id="email/celery", left_out="no network"))


async def test_a_row_that_fails_costs_no_others_figures() -> None:
    first, second, third = ROWS[:3]
    opened: list[str] = []
    closed: list[str] = []

    @asynccontextmanager
    async def open_stage(begins_with: Row) -> AsyncIterator[Any]:
        opened.append(begins_with.ids[0])
        yield begins_with
        closed.append(begins_with.ids[0])

    async def take(wanted: Row, _stage: Any) -> list[RowResult]:
        if wanted is second:
            raise BenchFailed("of 100 messages 99 arrived")
        return [row(row_id) for row_id in wanted.ids]

    taken = await take_all((first, second, third), open_stage, take)
    assert [(each.id, each.failed) for each in taken] == [
        (first.ids[0], None),
        (second.ids[0], "of 100 messages 99 arrived"),
        (third.ids[0], None),
    ]
    assert opened == closed == [first.ids[0], third.ids[0]]
    said = shown(*taken)
    assert f"{second.ids[0]} failed: of 100 messages 99 arrived" in said
    assert said.count(f"{second.ids[0]} ") == 1
    assert f"{second.ids[0]}: failed" in draw(report_of(*taken))


async def test_without_node_a_peer_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LeftOut, match=r"there is no node here: install Node\.js"):
        await install.install(catalogue.BULLMQ, tmp_path, {"PATH": str(tmp_path)}, lambda _words: None)


async def test_without_a_network_a_peer_says_so(tmp_path: Path) -> None:
    offline = free_environment() | {"UV_OFFLINE": "1"}
    with pytest.raises(LeftOut, match="Celery could not be installed: "):
        await install.install(catalogue.CELERY, tmp_path, offline, lambda _words: None)


def test_another_lock_is_installed_anew(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("celery==1")
    before = install.digest(tmp_path)
    assert install.digest(tmp_path) == before
    (tmp_path / "requirements.txt").write_text("celery==2")
    assert install.digest(tmp_path) != before
