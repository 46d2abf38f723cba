"""The preferences page sends back what it shows, whatever the topics are called."""

import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_shim.preference_types import ChannelPreferences, PreferencesView, TopicView
from api_shim.preferences import wanted_of
from api_shim.preferences_page import page_of, read_form
from api_shim.problems import Problem
from api_shim.text_forms import NO_CONTROLS
from models.vocabulary import Channel

TOPICS = st.lists(
    st.builds(
        TopicView,
        topic=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100).filter(
            lambda text: re.search(NO_CONTROLS, text) is not None
        ),
        subscribed=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda topic: topic.topic,
)
VIEWS = st.builds(
    PreferencesView,
    channels=st.lists(
        st.builds(
            ChannelPreferences,
            channel=st.sampled_from(Channel),
            address=st.none() | st.just("a•••@example.org"),
            subscribed=st.booleans(),
            blocked=st.booleans(),
            topics=TOPICS,
        ),
        unique_by=lambda each: each.channel,
    ),
)


class Form(HTMLParser):
    """What a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.boxes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "input":
            return
        if given["type"] == "checkbox":
            self.boxes.append(given["value"] or "")
        if given["type"] == "hidden" or "checked" in given:
            self.fields.append((given["name"] or "", given["value"] or ""))


def form_of(view: PreferencesView) -> Form:
    form = Form()
    body = page_of(view).body
    assert isinstance(body, bytes)
    form.feed(body.decode())
    return form


def shown(view: PreferencesView) -> dict[tuple[Channel, str], bool]:
    found = {(each.channel, topic.topic): topic.subscribed for each in view.channels for topic in each.topics}
    return found | {(each.channel, ""): each.subscribed for each in view.channels}


@given(VIEWS)
def test_what_is_sent_back_untouched_is_what_was_shown(view: PreferencesView) -> None:
    form = form_of(view)
    assert wanted_of(read_form(urlencode(form.fields).encode())) == shown(view)
    assert len(form.boxes) == len(shown(view))


@given(VIEWS)
def test_what_is_not_ticked_is_not_wanted(view: PreferencesView) -> None:
    unticked = [field for field in form_of(view).fields if field[0] == "shown"]
    assert wanted_of(read_form(urlencode(unticked).encode())) == dict.fromkeys(shown(view), False)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_are_refused(raw: bytes) -> None:
    status, channels = 200, set(Channel)
    try:
        channels = {channel for channel, _ in wanted_of(read_form(raw))}
    except Problem as problem:
        status = problem.body.status
    assert status in {200, 400}
    assert channels <= set(Channel)


def test_two_wishes_about_the_same_are_refused() -> None:
    twice = urlencode([("shown", "EMAIL:a"), ("shown", "EMAIL:a")]).encode()
    assert wanted_of(read_form(twice)) == {(Channel.EMAIL, "a"): False}
    with pytest.raises(Problem):
        read_form(urlencode([("shown", "EMAIL:" + "x" * 101)]).encode())
