"""When to try again: the schedule, its spread, what a peer may ask for, and the end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vocabulary import Channel
from worker.retry import SCHEDULES, Again, GiveUp, decide

DAY_S = 86_400

steps = st.sampled_from([(channel, tries) for channel in Channel for tries in range(1, len(SCHEDULES[channel]) + 1)])
lucks = st.floats(0, 1)
asked = st.floats(-DAY_S, 100 * DAY_S)


def delay_ms(channel: Channel, tries: int, *, retry_after_s: float | None = None, luck: float = 0.5) -> int:
    decision = decide(channel, tries, retry_after_s=retry_after_s, luck=luck)
    assert isinstance(decision, Again)
    return decision.delay_ms


@pytest.mark.parametrize("channel", Channel)
def test_the_schedule_is_followed_to_its_end(channel: Channel) -> None:
    schedule = SCHEDULES[channel]
    assert [delay_ms(channel, tries) for tries in range(1, len(schedule) + 1)] == [pause * 1000 for pause in schedule]
    for tries in (len(schedule) + 1, len(schedule) + 2, 10_000):
        assert decide(channel, tries, retry_after_s=None, luck=0.5) == GiveUp()


@pytest.mark.parametrize("channel", Channel)
def test_a_peer_that_asks_for_a_pause_earns_no_further_try(channel: Channel) -> None:
    assert decide(channel, len(SCHEDULES[channel]) + 1, retry_after_s=60, luck=0.5) == GiveUp()


@pytest.mark.parametrize("channel", Channel)
def test_pauses_never_get_shorter(channel: Channel) -> None:
    assert all(0 < earlier <= later for earlier, later in pairwise(SCHEDULES[channel]))


@pytest.mark.parametrize(
    ("channel", "least_s", "most_s"),
    [
        (Channel.EMAIL, 0.9 * DAY_S, 5 * DAY_S),  # RFC 5321, section 4.5.4.1: no longer than four to five days
        (Channel.WEBHOOK, 2.5 * DAY_S, 3.5 * DAY_S),  # Standard Webhooks, "Retry schedule"
        (Channel.PUSH, 1800, 3 * 3600),
        (Channel.TELEGRAM, 1800, 3 * 3600),
        (Channel.ONSITE, 60, 3600),
    ],
)
def test_how_long_a_channel_tries_in_all(channel: Channel, least_s: float, most_s: float) -> None:
    assert least_s <= sum(SCHEDULES[channel]) <= most_s


@given(steps, lucks)
def test_luck_spreads_a_pause_by_a_fifth_either_way(step: tuple[Channel, int], luck: float) -> None:
    channel, tries = step
    pause_ms = SCHEDULES[channel][tries - 1] * 1000
    assert 0.8 * pause_ms <= delay_ms(channel, tries, luck=luck) <= 1.2 * pause_ms
    assert delay_ms(channel, tries, luck=0) == round(0.8 * pause_ms)
    assert delay_ms(channel, tries, luck=1) == round(1.2 * pause_ms)


@given(steps, lucks, asked)
def test_what_the_peer_asks_for_lengthens_and_never_shortens(
    step: tuple[Channel, int], luck: float, retry_after_s: float
) -> None:
    own = delay_ms(*step, luck=luck)
    delay = delay_ms(*step, luck=luck, retry_after_s=retry_after_s)
    assert delay == max(own, min(round(retry_after_s * 1000), DAY_S * 1000))


@pytest.mark.parametrize("retry_after_s", [DAY_S, DAY_S + 1, 1e12, float("inf")])
def test_no_peer_holds_a_message_back_for_more_than_a_day(retry_after_s: float) -> None:
    assert delay_ms(Channel.EMAIL, 1, retry_after_s=retry_after_s) == DAY_S * 1000
    # A pause of our own may be longer: only what is asked for is cut.
    assert delay_ms(Channel.WEBHOOK, 9, retry_after_s=retry_after_s, luck=1) == round(1.2 * DAY_S * 1000)


@given(steps, lucks, st.none() | asked)
def test_the_same_question_has_the_same_answer(
    step: tuple[Channel, int], luck: float, retry_after_s: float | None
) -> None:
    answers = {decide(*step, retry_after_s=retry_after_s, luck=luck) for _ in range(3)}
    assert len(answers) == 1
