import asyncio
import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.support.commands import WIREROOM, Answer, wireroom
from tests.support.processes import free_environment
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


async def stopped_at(words: str, *arguments: str, folders: str) -> Answer:
    """A demo that gets the terminal's Ctrl-C once it has said ``words``; its own folder is made in ``folders``."""
    process = await asyncio.create_subprocess_exec(
        *(WIREROOM, "demo", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=free_environment() | {"TMPDIR": folders},
    )
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(240):
        while words.encode() not in said:
            line = await process.stdout.readline()
            assert line, (said, await process.communicate())
            said += line
        process.send_signal(signal.SIGINT)
        rest, err = await process.communicate()
    return Answer(process.returncode or 0, (said + rest).decode(), err.decode())


@pytest.mark.parametrize(
    ("words", "arguments", "code", "last"),
    [
        ("Starting", (), 0, "Stopped."),
        ("SENT", ("--once",), 1, "Stopped."),  # who waits for a proof did not get it
        ("Content-Type", (), 0, "a second Ctrl-C does not wait"),
    ],
)
async def test_a_stop_is_no_fault_and_leaves_nothing(words: str, arguments: tuple[str], code: int, last: str) -> None:
    with tempfile.TemporaryDirectory() as folders:  # not below tmp_path, whose names are too long for a broker's socket
        answer = await stopped_at(words, *arguments, folders=folders)
        assert answer.code == code, answer
        assert last in answer.out.splitlines()[-1]
        assert "Finishing what is being sent" in answer.out
        assert answer.err == ""
        assert await asyncio.to_thread(os.listdir, folders) == []
