"""That ``docs/operate.md`` tells how long messages are tried as it is."""

import re
from pathlib import Path

import pytest

from models.vocabulary import Channel
from worker.retry import SCHEDULES

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
UNITS = {"s": 1, "min": 60, "h": 3600}


def seconds(text: str) -> list[int]:
    return [int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", text)]


@pytest.mark.parametrize("channel", Channel)
def test_it_tells_every_try_and_pause(channel: Channel) -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("|")]
    ((tries, pauses, total),) = (rest for names, *rest in rows if channel.value in names.split(", "))
    assert seconds(pauses) == list(SCHEDULES[channel])
    assert int(tries) == len(SCHEDULES[channel]) + 1
    days = int(found[1]) if (found := re.match(r"(\d+) days? ", total)) else 0
    assert sum(seconds(total)) + days * 24 * 3600 == pytest.approx(sum(SCHEDULES[channel]), rel=0.05)
