"""An experiment that comes to no end has found nothing, and what a house complains of is found whatever else is."""

import json
from pathlib import Path

import pytest

from tests.faults import abreast, house_log
from tests.faults.experiment import BROKE_OFF, Found, Place, Size
from tests.faults.run import EXPERIMENTS, conduct
from tests.support.postgres import PostgresServer


async def _breaks(place: Place, size: Size) -> Found:
    raise ExceptionGroup("two", [TimeoutError(f"{size}\n  came to"), RuntimeError("no end")])


async def _provokes(place: Place, size: Size) -> Found:
    return Found({"messages": 1}, [], provoked=("keeper.duty_broke",))


async def test_what_breaks_off_says_why(tmp_path: Path, postgres_server: PostgresServer) -> None:
    found = await conduct(_breaks, Place(tmp_path, postgres_server, 1, print), Size.SHORT)
    assert found.faults == [f"{BROKE_OFF}TimeoutError: short came to; RuntimeError: no end"]
    assert not found.is_nothing


async def test_complaints_are_faults_but_for_what_was_provoked(tmp_path: Path, postgres_server: PostgresServer) -> None:
    lines = [
        "[error    ] keeper.duty_broke [worker.keeper] duty=rescue",
        "[error    ] send.broke [worker.attempts] message=msg_1",
        "[error    ] send.broke [worker.attempts] message=msg_2",
        "[warning  ] keeper.no_database [worker.keeper] duty=rescue",
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in b',
        "ValueError: c",
    ]
    (tmp_path / house_log.NAME).write_text("\n".join(lines))
    found = await conduct(_provokes, Place(tmp_path, postgres_server, 1, print), Size.SHORT)
    assert [fault.partition(", as ")[0] for fault in found.faults] == [
        "house.log: 2 of send.broke",
        "house.log: 1 of Traceback (most recent call last)",
    ]
    assert "ValueError: c" in found.faults[1]
    assert len(house_log.complaints(tmp_path)) == 3


@pytest.mark.timeout(300)  # processes that begin at the very beginning, on a machine that may be busy
def test_experiments_side_by_side_write_to_one_file_and_one_without_a_line_is_none(tmp_path: Path) -> None:
    options = ("--size", Size.SHORT, "--seed", "1")
    lines = dict(abreast.lines_of(["explorer", "no-such-experiment"], options, tmp_path / "lines.jsonl"))
    assert lines["no-such-experiment"] is None
    written = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert [line["experiment"] for line in written] == ["explorer"]
    assert lines["explorer"] == written[0]
    assert not written[0]["faults"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".log"}


def test_who_goes_side_by_side_is_an_experiment() -> None:
    assert EXPERIMENTS.keys() > abreast.PATIENT


def test_what_left_everything_out_is_nothing() -> None:
    assert Found({}, [], left_out=["all of it: there is no history"]).is_nothing
    assert not Found({"messages": 1}, [], left_out=["disk full"]).is_nothing
