from pathlib import Path

from tests.support.commands import wireroom
from wireroom import demo_story

TOTAL = len(demo_story.singles(demo_story.people())) + len(demo_story.batch(demo_story.people()))


async def test_once_ends_well_when_everything_arrived_as_it_was_sent(tmp_path: Path) -> None:
    answer = await wireroom("demo", "--once", "--json", "--dir", str(tmp_path / "demo folder"))
    assert answer.code == 0, answer.err
    summary = answer.json()
    assert summary["ok"]
    assert summary["faults"] == []
    assert sum(summary["totals"].values()) == summary["accepted"] == TOTAL
    assert {"SENT", "DELIVERED", "OPENED", "CLICKED", "BOUNCED", "UNSUBSCRIBED"} == set(summary["totals"])


async def test_once_shows_no_address_that_is_gone(tmp_path: Path) -> None:
    answer = await wireroom("demo", "--once", "--dir", str(tmp_path / "demo"))
    assert answer.code == 0, answer.err
    shown = answer.out.partition("Everything arrived")[2]
    assert "messages accepted" in shown
    assert not any(word in shown for word in ("http://", "Token", "wr_live_"))


async def test_the_demo_begins_with_a_fresh_folder(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    answer = await wireroom("demo", "--once", "--dir", str(tmp_path))
    assert answer.code == 1
    assert "not empty" in answer.err
