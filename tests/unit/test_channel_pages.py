"""That the pages of ``docs/channels`` tell what is: words, options, variables, numbers."""

import re
from typing import Final

import pytest

from api_shim.workspaces.types import Options
from models.vocabulary import Channel, FailureReason, Status
from tests.support.page_links import ROOT
from wireroom.settings import KNOWN
from worker.retry import SCHEDULES
from worker.settings import WorkerSettings

PAGES: Final = {
    channel: (ROOT / "docs" / "channels" / f"{channel.value.lower()}.md").read_text() for channel in Channel
}
IN_HAND: Final = WorkerSettings.read({}).max_inflight
OPTIONS: Final = dict(re.findall(r"\b([A-Z]+) ``?([a-z ]+)``?", Options.__doc__ or ""))

of_each = pytest.mark.parametrize("channel", Channel)


@of_each
def test_words_are_those_of_the_vocabulary(channel: Channel) -> None:
    page = PAGES[channel]
    told = set(re.findall(r"(?:FAILED|BOUNCED|422),? `([a-z_]+)`", page))
    assert told
    assert told <= {reason.value for reason in FailureReason}
    statuses = page.partition("## What each status means")[2].partition("\n## ")[0]
    rows = [word for row in re.findall(r"^\| ([A-Z, ]+) \|", statuses, re.M) for word in row.split(", ")]
    assert {"SENT", "FAILED"} <= set(rows) <= {status.value for status in Status}
    assert len(rows) == len(set(rows))


@of_each
def test_options_are_all_there_and_no_others(channel: Channel) -> None:
    assert set(re.findall(r"`options\.(\w+)`", PAGES[channel])) == set(OPTIONS.get(channel.value, "").split())


@of_each
def test_numbers_are_those_of_the_code(channel: Channel) -> None:
    page = PAGES[channel]
    ((tries, _),) = re.findall(r"\[(\d+) times in ([^\]]+)\]\(\.\./operate\.md", page.replace("\n", " "))
    assert int(tries) == len(SCHEDULES[channel]) + 1
    in_hand = re.findall(rf"(\d+) \w+ in hand[^.]*?`WIREROOM_MAX_INFLIGHT_{channel}`", page)
    assert in_hand == [str(IN_HAND[channel])]


@of_each
def test_variables_are_read(channel: Channel) -> None:
    assert set(re.findall(r"WIREROOM_[A-Z_]+", PAGES[channel])) <= KNOWN
