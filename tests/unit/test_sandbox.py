"""Sandboxes: which ids are theirs, what each address tells, and that the page tells the same."""

import re
from typing import Final
from uuid import UUID

import pytest

from channels.contract import Content
from channels.errors import Permanent
from channels.registry import CHECKS
from channels.sandbox import SandboxChannel
from channels.sandbox_stories import (
    REPORTED,
    STORIES,
    Story,
    address_for,
    address_of_contact,
    reports_of,
    story_of,
)
from models import ids
from models.ids import Kind
from models.sandboxes import is_sandbox, live_of, sandbox_of
from models.vocabulary import Channel, EventType, FailureReason
from tests.support.envelopes import envelope
from tests.support.page_links import ROOT

PAGE: Final = (ROOT / "docs" / "sandbox.md").read_text()
BY_CONTACT: Final = (Channel.PUSH, Channel.ONSITE)
TOLD: Final = [(channel, story) for story in STORIES for channel in Channel if channel in story.channels]


def test_each_workspace_has_one_sandbox_and_each_sandbox_one_workspace() -> None:
    live = [ids.new_id() for _ in range(100)]
    test = [sandbox_of(each) for each in live]
    assert len({*live, *test}) == 200
    assert [is_sandbox(each) for each in live] == [False] * 100
    assert [is_sandbox(each) for each in test] == [True] * 100
    assert [live_of(each) for each in test] == live
    assert [(live_of(each), sandbox_of(sandbox_of(each))) for each in live] == list(zip(live, test, strict=True))
    assert {(each.version, each.variant) for each in test} == {(8, live[0].variant)}
    assert [ids.parse(Kind.WORKSPACE, ids.show(Kind.WORKSPACE, each)) for each in test] == test


@pytest.mark.parametrize("number", [0, 1, 7, 2**128 - 1])
def test_an_id_of_no_time_is_no_sandbox(number: int) -> None:
    assert not is_sandbox(UUID(int=number))
    assert is_sandbox(sandbox_of(UUID(int=number)))


@pytest.mark.parametrize(("channel", "story"), TOLD, ids=lambda each: each.name)
def test_an_address_tells_its_story(channel: Channel, story: Story) -> None:
    address = address_for(channel, story)
    used = CHECKS[Channel.EMAIL if channel in BY_CONTACT else channel](address)
    assert story_of(channel, used) is story
    assert story_of(channel, used.upper()) is story
    if channel in BY_CONTACT:
        assert address_of_contact(channel, used) == used


@pytest.mark.parametrize(
    ("channel", "address", "name"),
    [
        (Channel.EMAIL, "bounced+order-7@sandbox.invalid", "bounced"),
        (Channel.EMAIL, "bounced@sandbox.invalid.example.org", "delivered"),
        (Channel.EMAIL, "bounced@example.org", "delivered"),
        (Channel.EMAIL, "nobody@sandbox.invalid", "delivered"),
        (Channel.PUSH, "complained@sandbox.invalid", "delivered"),
        (Channel.PUSH, "018f3c5e-1111-7222-8333-444455556666", "delivered"),
        (Channel.TELEGRAM, "4711", "delivered"),
        (Channel.TELEGRAM, "@not_sandbox_bounced", "delivered"),
        (Channel.TELEGRAM, "@sandbox_opened", "delivered"),
        (Channel.WEBHOOK, "https://bounced.sandbox.invalid:8443/a?b=c", "bounced"),
        (Channel.WEBHOOK, "https://sandbox.invalid/bounced", "delivered"),
        (Channel.WEBHOOK, "https://example.org/bounced.sandbox.invalid", "delivered"),
    ],
)
def test_any_other_address_arrives(channel: Channel, address: str, name: str) -> None:
    assert story_of(channel, address).name == name


def test_only_channels_without_addresses_take_the_contacts_mail_address() -> None:
    assert [each for each in Channel if address_of_contact(each, "Opened@Sandbox.Invalid")] == list(BY_CONTACT)
    assert [each for each in Channel if address_of_contact(each, "ann@example.org")] == []
    assert [each for each in Channel if address_of_contact(each, None)] == []


def test_no_story_is_told_twice_and_each_report_reaches_somebody() -> None:
    assert len({story.name for story in STORIES}) == len(STORIES)
    for story in STORIES:
        reached = {report for channel in story.channels for report in reports_of(channel, story)}
        assert reached == set(story.reports)
        assert all(one.type in REPORTED[Channel.EMAIL] for one in reached)
    assert EventType.DELIVERED not in {one.type for _, story in TOLD for one in reports_of(Channel.WEBHOOK, story)}


def test_the_page_has_every_address_and_no_other() -> None:
    rows = [
        tuple(cell.strip() for cell in row.strip("|").split("|"))
        for row in re.findall(r"^(\| `[a-z-]+@sandbox\.invalid` \|.*)$", PAGE, re.M)
    ]
    assert [(row[0], row[-1]) for row in rows] == [
        (f"`{address_for(Channel.EMAIL, story)}`", story.tells) for story in STORIES
    ]
    for row, story in zip(rows, STORIES, strict=True):
        assert [bool(cell) for cell in row[1:-1]] == [channel in story.channels for channel in Channel]


@pytest.mark.parametrize("channel", [each for each in Channel if each is not Channel.ONSITE])
async def test_a_text_that_does_not_render_fails_here_too(channel: Channel) -> None:
    peer = SandboxChannel(channel)
    with pytest.raises(Permanent) as unreadable:
        peer.prepare(Content(subject="{{", body="x", format="text"))
    unfillable = peer.prepare(Content(subject="x", body="{{ 1 | divided_by: 0 }}", format="text"))
    with pytest.raises(Permanent) as refused:
        await peer.send(envelope("delivered@sandbox.invalid"), unfillable)
    assert {unreadable.value.reason, refused.value.reason} == {FailureReason.RENDER_ERROR}
