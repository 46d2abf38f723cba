"""That ``docs/guarantees.md`` names every experiment and every outcome that may have come twice."""

import re
from pathlib import Path
from typing import Final

from models.vocabulary import Channel, Outcome
from tests.faults.run import EXPERIMENTS

PAGE: Final = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text()


def test_every_experiment_has_its_row_in_the_order_of_the_table() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| [^|]+ \|$", PAGE.partition("## How it is proved")[2], re.M)
    assert rows == list(EXPERIMENTS)


def test_every_channel_has_its_guarantee() -> None:
    rows = re.findall(r"^\| \[([A-Z]+)\]\(channels/([a-z]+)\.md\)", PAGE, re.M)
    assert [(channel.value, channel.value.lower()) for channel in Channel] == rows


def test_doubtful_outcomes_are_named() -> None:
    shown = PAGE.partition("## How a possible repeat is shown")[2].partition("## How it is proved")[0]
    rows = re.findall(r"^\| `([a-z]+)` \|", shown, re.M)
    assert set(rows[1:] if rows[0] == "outcome" else rows) == {Outcome.UNKNOWN.value, Outcome.AMBIGUOUS.value}
